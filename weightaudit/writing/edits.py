"""What is to be written where: every stored place of every edited tensor, checked before anything is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from weightaudit.catalog import Absent, Entry, Tile, Tiles
from weightaudit.digests import entry_digest
from weightaudit.dtypes import itemsize
from weightaudit.engine.filters import undo
from weightaudit.engine.reading import PIECE_BYTES
from weightaudit.engine.tiles import filled
from weightaudit.errors import WriteError
from weightaudit.tensor import Role

if TYPE_CHECKING:
    from weightaudit.checkpoint import Checkpoint
    from weightaudit.source import Files

Bytes = NDArray[np.uint8]
Edit = Callable[[], Iterator[tuple[int, Bytes]]]
"""Yields the new stored bytes of a tensor as (first element, bytes): in stored byte order, row-major,
the whole tensor once, and the same again at every call."""


@dataclass(frozen=True, slots=True)
class Place:
    """One place where an edited tensor is stored; exports store a variable at two.

    Attributes:
        name: The tensor.
        entry: Where and how it is stored there.
        edit: Its new bytes.
    """

    name: str
    entry: Entry
    edit: Edit

    @property
    def files(self) -> frozenset[int]:
        """Numbers of the files that hold its bytes, or describe it."""
        header = () if self.entry.header is None else (self.entry.header,)
        return frozenset(extent.file for extent in (*self.entry.extents, *header))

    @property
    def width(self) -> int:
        """Bytes of one element."""
        return itemsize(self.entry.dtype)

    def pieces(self) -> Iterator[tuple[int, Bytes]]:
        """Yield the new bytes as (first byte, bytes), never more than `PIECE_BYTES` at once.

        Raises:
            WriteError: They are not those of the whole tensor, in order.
        """
        size = prod(self.entry.shape) * self.width
        done = 0
        for first, piece in self.edit():
            raw = np.ascontiguousarray(piece).reshape(-1)
            if first * self.width != done or done + raw.size > size:
                raise WriteError(f"The new bytes of {self.name} do not come in order.")
            for low in range(0, raw.size, PIECE_BYTES):
                yield done + low, raw[low : low + PIECE_BYTES]
            done += raw.size
        if done != size:
            raise WriteError(f"{self.name} has {size} bytes, and {done} new ones came for it.")


def places_of(checkpoint: Checkpoint, edits: Mapping[str, Edit]) -> tuple[Place, ...]:
    """Return every place that has to be written.

    Raises:
        UsageError: There is no tensor of some name.
        WriteError: A tensor cannot be changed: it is a constant of a graph, holds no numbers, is not wholly
            there, shares its bytes with another one, or its two stored copies differ.
    """
    places: list[Place] = []
    for name, edit in edits.items():
        info = checkpoint[name]
        if info.role is Role.CONSTANT:
            raise WriteError(f"{name} is a constant of the graph, which is read but not changed.")
        entries = checkpoint.entries(info)
        for entry in entries:
            if not itemsize(entry.dtype):
                raise WriteError(f"{name} is of type {entry.dtype}, holds no numbers and cannot be changed.")
            if isinstance(entry.storage, Absent):
                raise WriteError(f"{name} cannot be changed, for it is not all there. {entry.storage.reason}")
        if len(entries) > 1 and len({entry_digest(checkpoint.files, entry) for entry in entries}) > 1:
            raise WriteError(
                f"{name} is stored twice, as {' and '.join(entry.key for entry in entries)}, and the copies "
                "differ, so it is not known which one counts; export the model again."
            )
        places += [Place(name, entry, edit) for entry in entries]
    if places:
        _check_unshared(checkpoint, {place.name for place in places})
    return tuple(places)


def tile_contents(files: Files, place: Place, tiles: Tiles) -> Iterator[tuple[Tile, Bytes, Bytes]]:
    """Yield every tile of a place with its unpacked bytes as they are and as they will be.

    What hangs over the tensor's edge stays as it is. The whole tensor is in memory, and one tile.

    Raises:
        ReadError: A tile cannot be read or unpacked.
        WriteError: A part of the tensor for which nothing is stored would change.
    """
    width, shape = place.width, place.entry.shape or (1,)
    whole = np.empty(prod(shape) * width, np.uint8)
    for start, raw in place.pieces():
        whole[start : start + raw.size] = raw
    grid = whole.reshape(*shape, width)
    empty = filled(tiles.fill, 1, width)
    for tile in tiles.tiles:
        origin, lengths = tile.origin or (0,), tile.shape or (1,)
        source = files[tile.extent.file]
        stored = np.frombuffer(source.read(tile.extent.offset, tile.extent.nbytes), np.uint8)
        label = f"{source.label}: {place.entry.key}"
        old = undo(stored, tile.filters, prod(lengths) * width, width, label)
        part = tuple(slice(low, low + length) for low, length in zip(origin, lengths, strict=True))
        inside = grid[part]
        new = old.copy()
        new.reshape(*lengths, width)[tuple(slice(length) for length in inside.shape[:-1])] = inside
        yield tile, old, new
        inside[...] = empty  # so that what is left at the end is what no tile holds
    if _differs(whole, empty):
        raise WriteError(
            f"{place.name} is not stored as a whole: parts that were never written have the fill value of "
            "its dataset and cannot be changed; save the model again first."
        )


def _differs(whole: Bytes, element: Bytes, step: int = 1 << 20) -> bool:
    """Say whether any element of a tensor is another than the given one."""
    rows = whole.reshape(-1, element.size)
    return any(bool((rows[low : low + step] != element).any()) for low in range(0, len(rows), step))


def _check_unshared(checkpoint: Checkpoint, edited: set[str]) -> None:
    """Refuse to change bytes that belong to something else too."""
    claims = sorted(
        (extent.file, extent.offset, extent.offset + extent.nbytes, info.name)
        for info in checkpoint
        for entry in checkpoint.entries(info)
        for extent in entry.extents
        if extent.nbytes
    )
    reach, owner, last = 0, "", -1
    for number, begin, end, name in claims:
        if number == last and begin < reach and {name, owner} & edited:
            label = checkpoint.files[number].label
            one, other = sorted({name, owner}) if name != owner else (name, "itself")
            raise WriteError(
                f"{one} shares bytes of {label} with {other}, so neither can be changed alone; "
                "load the model and save it again first."
            )
        if number != last or end > reach:
            reach, owner, last = end, name, number
