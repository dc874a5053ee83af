"""Cuts a model into units of work: stretches of tensors, and the bytes between them."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from math import prod
from operator import attrgetter
from typing import TYPE_CHECKING

from weightaudit.catalog import Absent, Entry, Extent, Region
from weightaudit.dtypes import itemsize
from weightaudit.engine.reading import row_step

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

UNIT_BYTES = 32 << 20
"""Bytes of one stretch: large tensors are measured by several workers at once. Folds that pass over blocks
begin anew with every stretch, so it is not short."""

RUN_BYTES = 1 << 20
RUN_UNITS = 512
GAP_BYTES = 16 << 10
"""Small units that lie side by side, or nearly so, are read at once and handed to a worker together."""


@dataclass(slots=True)  # not frozen: there is one for each tensor, and that takes twice as long to make
class Unit:
    """A stretch of work; it holds numbers only, so it can travel to another process. Nothing changes it.

    Attributes:
        tensor: Number of the tensor in the model, or -1 for bytes between tensors.
        start: First element.
        count: Number of elements.
        extent: Where the bytes lie, if they lie in one piece.
        region: Number of the checksummed region that the bytes belong to, or -1.
        checksum: Kind of checksum to compute of the bytes; empty for none.
    """

    tensor: int
    start: int
    count: int
    extent: Extent | None = None
    region: int = -1
    checksum: str = ""

    @property
    def weight(self) -> int:
        """Bytes to be read, for sharing out the work."""
        return self.extent.nbytes if self.extent else self.count


@dataclass(frozen=True, slots=True)
class Run:
    """Units for one worker: one large one, or small ones that are read at once.

    Attributes:
        units: The units, in the order of the file.
        extent: From the first byte of the first to the last of the last, if each lies in one piece.
            In a region there is no gap between them.
    """

    units: tuple[Unit, ...]
    extent: Extent | None

    @property
    def weight(self) -> int:
        """Bytes of all units."""
        return sum(unit.weight for unit in self.units)


def plan(entries: Sequence[Entry], regions: Sequence[Region]) -> list[Unit]:
    """Cut tensors and regions into units, in the order in which they lie in the files.

    Every byte of an extent is in one unit, and every byte of a region too, unless its tensors overlap,
    are tiled, or are checksummed elsewhere: those bytes are read a second time for the region alone.
    """
    covered = _coverage(entries, regions) if regions else {}
    owner = {number: region for region, numbers in covered.items() for number in numbers}
    units: list[Unit] = []
    for number, entry in enumerate(entries):
        if itemsize(entry.dtype) and not isinstance(entry.storage, Absent):
            region = owner.get(number, -1)
            checksum = regions[region].checksum if region >= 0 else entry.checksum
            units += _tensor_units(number, entry, region, checksum.kind if checksum else "")
    for index, one in enumerate(regions):
        units += _gap_units(index, one, [_extent(entries[number]) for number in covered[index]])
    whole = [unit for unit in units if unit.extent is not None]
    whole.sort(key=attrgetter("extent.file", "extent.offset"))
    return whole + [unit for unit in units if unit.extent is None]


def runs(units: Sequence[Unit]) -> Iterator[Run]:
    """Group small units that lie side by side."""
    some: list[Unit] = []
    begin = end = 0
    for unit in units:
        # What does not lie in one piece is weighed as if it lay behind the unit before it.
        extent = unit.extent
        start, nbytes = (extent.offset, extent.nbytes) if extent else (end, unit.count)
        fits = len(some) < RUN_UNITS and start + nbytes - begin <= RUN_BYTES
        if some and not (fits and _follows(unit, some[-1], start - end)):
            yield _run(some, begin, end)
            some = []
        begin = begin if some else start
        end = start + nbytes
        some.append(unit)
    if some:
        yield _run(some, begin, end)


def _follows(unit: Unit, last: Unit, gap: int) -> bool:
    """Say whether a unit that lies `gap` bytes behind another can be read together with it."""
    one, other = last.extent, unit.extent
    if one is None or other is None:
        is_near = one is other
    else:
        is_near = one.file == other.file and 0 <= gap <= (GAP_BYTES if unit.region < 0 else 0)
    # What is left of a large tensor looks like a small one, but is no whole tensor: it is folded alone.
    return is_near and unit.region == last.region and not (unit.start or last.start)


def _run(units: list[Unit], begin: int, end: int) -> Run:
    extent = units[0].extent
    return Run(tuple(units), Extent(extent.file, begin, end - begin) if extent else None)


def _tensor_units(number: int, entry: Entry, region: int, kind: str) -> list[Unit]:
    size = itemsize(entry.dtype)
    total = prod(entry.shape)
    if isinstance(entry.storage, Extent) and total * size == entry.storage.nbytes <= UNIT_BYTES:
        return [Unit(number, 0, total, entry.storage, region, kind)]
    row = max(1, row_step(entry))
    step = max(1, UNIT_BYTES // size // row) * row
    if not isinstance(entry.storage, Extent):
        # One worker unpacks a tiled tensor from front to back, so that no tile is unpacked twice.
        return [Unit(number, 0, total)]
    units: list[Unit] = []
    for start in range(0, total, step) if total else (0,):
        count = min(step, total - start)
        extent = Extent(entry.storage.file, entry.storage.offset + start * size, count * size)
        units.append(Unit(number, start, count, extent, region, kind))
    return units


def _coverage(entries: Sequence[Entry], regions: Sequence[Region]) -> dict[int, list[int]]:
    """Return for each region the tensors that lie in it; none if two of them overlap.

    A tensor counts once, so it belongs to one region at most, and to none if it has a checksum of its own.
    """
    covered: dict[int, list[int]] = {}
    taken: set[int] = set()
    # A partitioned checkpoint has a region per slice, so looking at every tensor for each takes too long.
    ordered = sorted(
        (entry.storage.file, entry.storage.offset, index)
        for index, entry in enumerate(entries)
        if isinstance(entry.storage, Extent)
    )
    for number, region in enumerate(regions):
        first = (region.extent.file, region.extent.offset, -1)
        last = (region.extent.file, region.extent.offset + region.extent.nbytes, -1)
        near = ordered[bisect_left(ordered, first) : bisect_left(ordered, last)]
        inside = [
            index for _, _, index in near if index not in taken and _is_inside(entries[index], region.extent)
        ]
        place = region.extent.offset
        for index in inside:
            extent = _extent(entries[index])
            if extent.offset < place:
                inside = []
                break
            place = extent.offset + extent.nbytes
        covered[number] = inside
        taken.update(inside)
    return covered


def _extent(entry: Entry) -> Extent:
    if not isinstance(entry.storage, Extent):
        raise TypeError(f"{entry.key} does not lie in one piece")
    return entry.storage


def _is_inside(entry: Entry, region: Extent) -> bool:
    extent = entry.storage
    return (
        isinstance(extent, Extent)
        and entry.checksum is None
        and itemsize(entry.dtype) > 0
        and extent.nbytes > 0
        and extent.file == region.file
        and region.offset <= extent.offset
        and extent.offset + extent.nbytes <= region.offset + region.nbytes
    )


def _gap_units(number: int, region: Region, stretches: list[Extent]) -> Iterator[Unit]:
    place, end = region.extent.offset, region.extent.offset + region.extent.nbytes
    for begin, stop in [*((s.offset, s.offset + s.nbytes) for s in stretches), (end, end)]:
        while place < begin:
            nbytes = min(UNIT_BYTES, begin - place)
            yield Unit(-1, 0, 0, Extent(region.extent.file, place, nbytes), number, region.checksum.kind)
            place += nbytes
        place = stop
