"""However tensors lie in files, and however small the pieces of work are, results are those of numpy."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from itertools import product
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.statistics.arrays import arrays, parts
from weightaudit.catalog import Checksum, Entry, Extent, Fill, Inline, Region, Tile, Tiles
from weightaudit.checksums import crc32c
from weightaudit.dtypes import components
from weightaudit.engine import plan, reading, scanning, tiles
from weightaudit.engine.decoding import PlainDecoder
from weightaudit.engine.numpy_engine import Measurement, measure
from weightaudit.engine.scanning import Subject
from weightaudit.kernels import SUMMED_TYPES
from weightaudit.source import Files
from weightaudit.statistics import (
    OVERVIEW,
    Above,
    AxisNorm,
    Below,
    Extremes,
    Moments,
    Negative,
    NonFinite,
    Peak,
    Statistic,
    Stats,
    Tiny,
    Uniform,
    WeakGroups,
    Zeros,
)
from weightaudit.tensor import TensorInfo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

WHOLE: tuple[Statistic[Any], ...] = (
    *(NonFinite(), Zeros(), Extremes(), Moments(), Peak(), Uniform(), Negative(), OVERVIEW),
    *(Below(0.5), Above(0.5), Tiny(2.0**-25, 2.0**-14)),
)
BY_CHANNEL: tuple[Statistic[Any], ...] = (AxisNorm((0,), inf), AxisNorm((-1,), 2), WeakGroups((0,)))


PLACES = st.integers(0, 9999)

ROWS = st.integers(1, 120).map(lambda size: np.linspace(-1, 1, size, dtype=np.float32))
"""Healthy tensors, of which most is told from sums alone; the longer ones are cut into units."""

HOW = ("extent", "extent", "extent", "extent", "tiles", "deflated", "inline", "fill")


@dataclass
class Layout:
    """Files with tensors in them.

    Attributes:
        files: Content of each.
        entries: What the catalog says.
        arrays: Each tensor as it was given; what others were written over has other elements in the end.
        packed: Where the last tile of each file ends; nothing is written over tiles.
    """

    files: tuple[bytearray, bytearray] = field(default_factory=lambda: (bytearray(b"head"), bytearray()))
    entries: list[Entry] = field(default_factory=list[Entry])
    arrays: list[NDArray[Any]] = field(default_factory=list["NDArray[Any]"])
    packed: list[int] = field(default_factory=lambda: [0, 0])

    def put(self, number: int, data: bytes, gap: int = 0) -> Extent:
        """Write behind what is there, or a little over it."""
        file = self.files[number]
        start = max(self.packed[number], len(file) + gap)
        file += bytes(max(0, start - len(file)))
        file[start : start + len(data)] = data
        return Extent(number, start, len(data))

    def content(self, extent: Extent) -> bytes:
        """Return bytes of a file."""
        return bytes(self.files[extent.file][extent.offset : extent.offset + extent.nbytes])

    def expected(self, number: int) -> NDArray[np.float64]:
        """Return the elements of a tensor as they are in the end."""
        entry, array = self.entries[number], self.arrays[number]
        if not isinstance(entry.storage, Extent):
            return parts(array)
        raw = np.frombuffer(self.content(entry.storage), np.uint8)
        return (raw != 0).astype(np.float64) if array.dtype == np.bool_ else parts(raw.view(array.dtype))

    def tiles(self, number: int, array: NDArray[Any], edge: int, filters: tuple[str, ...]) -> Tiles:
        """Write an array as boxes, filled up with zeros where they hang over its edge."""
        found: list[Tile] = []
        for origin in product(*(range(0, length, edge) for length in array.shape)):
            box = np.zeros((edge,) * array.ndim, array.dtype)
            part = array[tuple(slice(start, start + edge) for start in origin)]
            box[tuple(slice(length) for length in part.shape)] = part
            data = zlib.compress(box.tobytes()) if filters else box.tobytes()
            found.append(Tile(origin, box.shape, self.put(number, data), filters))
            self.packed[number] = len(self.files[number])
        return Tiles(tuple(found))

    def add(self, array: NDArray[Any], how: str, number: int, gap: int, *, big_endian: bool) -> None:
        """Add a tensor in one of the ways in which containers hold them."""
        dtype = array.dtype
        if how == "fill":
            array = np.full(array.shape, array.reshape(-1)[0] if array.size else 0, dtype)
        big_endian = big_endian and dtype.kind in "fiuc" and not dtype.name.startswith("float8")
        if big_endian:
            array = array.astype(dtype.newbyteorder(">"))
        raw = array.tobytes()
        storage: Any
        if how == "extent":
            storage = self.put(number, raw, gap)
        elif how == "inline":
            storage = Inline(raw)
        elif how == "fill":
            storage = Fill(raw[: dtype.itemsize])
        else:
            storage = self.tiles(number, array, 1 + gap % 4, ("deflate",) if how == "deflated" else ())
        key = f"tensor{len(self.entries)}"
        self.entries.append(Entry(key, array.shape, dtype.name, storage, big_endian))
        self.arrays.append(array)

    def seal(self, sealed: Sequence[bool]) -> None:
        """Give some of the tensors that lie in one piece a checksum of their own."""
        for number, (entry, is_sealed) in enumerate(zip(self.entries, sealed, strict=False)):
            if is_sealed and isinstance(entry.storage, Extent):
                stored = Checksum("crc32c", crc32c(self.content(entry.storage)))
                self.entries[number] = replace(entry, checksum=stored)

    def region(self, number: int, first: int, last: int) -> Region:
        """Return a stretch of a file under a checksum."""
        low, high = sorted((first % (len(self.files[number]) + 1), last % (len(self.files[number]) + 1)))
        extent = Extent(number, low, high - low)
        return Region(f"{number}:{low}-{high}", extent, Checksum("crc32", zlib.crc32(self.content(extent))))


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """Draw up to twelve tensors side by side, apart, or over each other, in two files."""
    layout = Layout()
    tensor = st.tuples(
        st.one_of(ROWS, arrays(tuple(sorted(SUMMED_TYPES))), arrays()),
        st.sampled_from(HOW),
        st.integers(0, 1),
        st.sampled_from([0, 0, 0, 3, 90, -17]),
        st.booleans(),
    )
    for array, how, number, gap, big_endian in draw(st.lists(tensor, min_size=1, max_size=12)):
        layout.add(array, how, number, gap, big_endian=big_endian)
    layout.seal(draw(st.lists(st.booleans(), min_size=12, max_size=12)))
    return layout


def run(layout: Layout, regions: Sequence[Region] = (), **options: Any) -> Measurement:
    """Write the files and measure all tensors."""
    subjects: list[Subject] = []
    for entry in layout.entries:
        info = TensorInfo(name=entry.key, key=entry.key, shape=entry.shape, dtype=entry.dtype)
        wanted = WHOLE + (BY_CHANNEL if entry.shape else ())
        subjects.append(Subject(info, entry, PlainDecoder(info, entry), wanted))
    with TemporaryDirectory() as name, Files(Path(name)) as files:
        for number, content in enumerate(layout.files):
            (Path(name) / str(number)).write_bytes(content)
            files.open(str(number))
        return measure(files, subjects, regions, **options)


@pytest.fixture
def tiny_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut everything into the smallest pieces, so that small tensors go all the ways of large ones."""
    sizes = {
        plan: {"UNIT_BYTES": 192, "RUN_BYTES": 128, "RUN_UNITS": 3, "GAP_BYTES": 16},
        scanning: {
            "BLOCK_ELEMENTS": 40,
            "FIRST_ELEMENTS": 8,
            "THROUGH_BYTES": 64,
            "PIECE_BYTES": 64,
            "RUN_BYTES": 128,
        },
        reading: {"PIECE_BYTES": 64},
        tiles: {"SLAB_BYTES": 256, "SMALL_SLAB_BYTES": 64, "KEPT_BYTES": 100},
    }
    for module, constants in sizes.items():
        for name, value in constants.items():
            monkeypatch.setattr(module, name, value)


def check(stats: Stats, numbers: NDArray[np.float64], entry: Entry) -> None:
    """Compare what was measured of a tensor with numpy; only sums may differ, by rounding."""
    finite = numbers[np.isfinite(numbers)]
    magnitude = np.abs(finite)
    bad = ~np.isfinite(numbers)
    count = stats[NonFinite()]
    assert (count.nan, count.total) == (np.isnan(numbers).sum(), bad.sum())
    assert count.first == (bad.argmax() if bad.any() else -1)
    assert stats[Zeros()] == (numbers == 0).sum()
    assert stats[Below(0.5)] == (magnitude < 0.5).sum()
    assert stats[Above(0.5)].count == (magnitude >= 0.5).sum()
    assert stats[Negative()].count == (finite < 0).sum()
    assert stats[Peak()] == magnitude.max(initial=0)
    same = numbers.size > 0 and not bad.any() and bool((numbers == numbers[0]).all())
    assert stats[Uniform()] == (numbers[0] if same else None)
    tiny = stats[Tiny(2.0**-25, 2.0**-14)]
    assert tiny.flushed == ((magnitude > 0) & (magnitude <= 2.0**-25)).sum()
    assert tiny.subnormal == ((magnitude > 2.0**-25) & (magnitude < 2.0**-14)).sum()
    extremes, moments = stats[Extremes()], stats[Moments()]
    assert moments.count == finite.size
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(moments.squares, (finite * finite).sum(), rtol=1e-12)
    if finite.size:
        assert (extremes.minimum, extremes.maximum) == (finite.min(), finite.max())
        assert stats[Negative()].minimum == finite.min()
    if not entry.shape:
        return
    cleaned = np.where(bad, 0, numbers).reshape(*entry.shape, components(entry.dtype))
    peaks = np.abs(cleaned).max(axis=(0, -1), initial=0)
    np.testing.assert_array_equal(stats[AxisNorm((0,), inf)], peaks)
    with np.errstate(over="ignore"):
        norms = np.sqrt((cleaned * cleaned).sum(axis=(-2, -1)))
    np.testing.assert_allclose(stats[AxisNorm((-1,), 2)], norms, rtol=1e-12)
    bound = 1e-6 * peaks.max(initial=0)
    groups = stats[WeakGroups((0,))]
    assert not (groups < 1e-6 * groups.max(initial=0))[peaks >= bound].any()


@pytest.mark.parametrize("compiled", [True, False])
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(layout=layouts(), workers=st.sampled_from([1, 3]))
@pytest.mark.usefixtures("tiny_steps")
def test_every_tensor_equals_numpy(layout: Layout, workers: int, compiled: bool) -> None:  # noqa: FBT001 - a parameter
    """Counts and extremes are exact and sums right, whatever a tensor's neighbours, type and storage."""
    measured = run(layout, workers=workers, compiled=compiled)
    assert not measured.failures
    assert not measured.defects
    for number, entry in enumerate(layout.entries):
        check(measured.stats[entry.key], layout.expected(number), entry)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    layout=layouts(),
    ranges=st.lists(
        st.tuples(st.integers(0, 1), st.just(0) | PLACES, st.just(-1) | PLACES), min_size=1, max_size=4
    ),
    number=st.integers(0, 1),
    byte=PLACES,
)
@pytest.mark.usefixtures("tiny_steps")
def test_a_flipped_bit_is_blamed_on_what_holds_it(
    layout: Layout, ranges: list[tuple[int, int, int]], number: int, byte: int
) -> None:
    """Exactly the tensors and regions whose checksum covers the byte are defects, overlapping or not."""
    regions = [layout.region(*one) for one in ranges]
    # What is packed cannot be read when it is damaged, which is another matter.
    if any(
        isinstance(one.storage, Tiles) and one.storage.tiles[:1] and one.storage.tiles[0].filters
        for one in layout.entries
    ):
        return
    assert not run(layout, regions).defects
    if not layout.files[number]:
        return
    byte %= len(layout.files[number])
    layout.files[number][byte] ^= 16

    def holds(extent: Any) -> bool:
        return (
            isinstance(extent, Extent)
            and extent.file == number
            and extent.offset <= byte < extent.offset + extent.nbytes
        )

    defects = run(layout, regions).defects
    assert {one.tensor for one in defects if one.tensor} == {
        entry.key for entry in layout.entries if entry.checksum and holds(entry.storage)
    }
    assert sorted(one.message.partition(" ")[0] for one in defects if not one.tensor) == sorted(
        region.label for region in regions if holds(region.extent)
    )
