"""The engine reads every byte once, gives the same bits each time, and verifies checksums."""

from __future__ import annotations

import threading
import zlib
from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from weightaudit.catalog import Checksum, Entry, Extent, Flaw, Inline, Region, Tile, Tiles
from weightaudit.checksums import crc32c
from weightaudit.engine import plan as planning
from weightaudit.engine.decoding import PlainDecoder
from weightaudit.engine.numpy_engine import Measurement, measure
from weightaudit.engine.plan import plan
from weightaudit.engine.scanning import Subject
from weightaudit.source import Files
from weightaudit.statistics import AxisNorm, Extremes, Moments, NonFinite, Statistic, Zeros
from weightaudit.tensor import TensorInfo

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

ALL: tuple[Statistic[Any], ...] = (
    NonFinite(),
    Extremes(),
    Moments(),
    Zeros(),
    AxisNorm((0,), inf),
    AxisNorm((0,), 2),
)


def _subject(entry: Entry, statistics: Sequence[Statistic[Any]] = ALL) -> Subject:
    info = TensorInfo(name=entry.key, key=entry.key, shape=entry.shape, dtype=entry.dtype)
    return Subject(info, entry, PlainDecoder(info, entry), tuple(statistics))


def _write(path: Path, arrays: dict[str, NDArray[Any]]) -> list[Entry]:
    """Write arrays one after another, with a few bytes between them."""
    entries: list[Entry] = []
    with path.open("wb") as file:
        for name, array in arrays.items():
            file.write(b"gap")
            extent = Extent(0, file.tell(), array.nbytes)
            file.write(array.tobytes())
            stored = Checksum("crc32c", crc32c(array.tobytes()))
            entries.append(Entry(name, array.shape, array.dtype.name, extent, checksum=stored))
        file.write(b"end")
    return entries


@pytest.fixture
def arrays() -> dict[str, NDArray[Any]]:
    """Several tensors, one of them larger than a unit of work."""
    generator = np.random.default_rng(0)
    large = generator.normal(size=(3_000_017, 1)).astype(np.float32)
    large[123_456, 0] = np.nan
    return {
        "large": large,
        "wide": generator.normal(size=(30, 70_001)).astype(np.float32),
        "half": generator.normal(size=(64, 32)).astype(np.float16),
        "empty": np.zeros((0, 4), np.float32),
        "scalar": np.array(5, np.int64),
    }


def _measure(
    path: Path, entries: list[Entry], regions: Sequence[Region] = (), workers: int = 2
) -> Measurement:
    with Files(path.parent) as files:
        files.open(path.name)
        shaped = [_subject(entry, ALL if len(entry.shape) > 0 else ALL[:4]) for entry in entries]
        return measure(files, shaped, regions, workers=workers)


def test_results_equal_numpy(tmp_path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Statistics of tensors that are cut into units equal numpy's on the whole array."""
    measured = _measure(tmp_path / "data", _write(tmp_path / "data", arrays))
    for name, array in arrays.items():
        wide = array.astype(np.float64)
        finite = wide[np.isfinite(wide)]
        stats = measured.stats[name]
        assert stats[NonFinite()].nan == np.isnan(wide).sum()
        assert stats[Zeros()] == (wide == 0).sum()
        assert stats[Moments()].squares == pytest.approx((finite**2).sum(), rel=1e-12)
        if array.ndim == 2:
            columns = np.sqrt((np.nan_to_num(wide) ** 2).sum(axis=0))
            np.testing.assert_allclose(stats[AxisNorm((0,), 2)], columns, rtol=1e-12)
            peaks = np.abs(np.nan_to_num(wide)).max(axis=0, initial=0)
            np.testing.assert_array_equal(stats[AxisNorm((0,), inf)], peaks)
    assert measured.stats["large"][NonFinite()].first == 123_456
    assert not measured.defects


def test_same_bits_for_any_number_of_workers(tmp_path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """One worker and five give results that are equal to the last bit."""
    entries = _write(tmp_path / "data", arrays)
    one, five = (_measure(tmp_path / "data", entries, workers=count) for count in (1, 5))
    for name in arrays:
        assert one.stats[name][Moments()] == five.stats[name][Moments()]


def _many(generator: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Three hundred small tensors of several types, and some that are too large to be read with others."""
    types = ("float32", "float16", "float64", "int8")
    small: dict[str, NDArray[Any]] = {
        f"small{n}": (generator.normal(size=(n % 37 + 1, 16)) * 9).astype(types[n % 4]) for n in range(300)
    }
    return small | {f"middle{n}": generator.normal(size=(n * 150_000, 1)).astype("f4") for n in (1, 2, 3)}


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_a_crash_of_any_worker_ends_the_measurement(tmp_path: Path, workers: int) -> None:
    """An error in a statistic is raised to who asked, and no other worker waits for the lost results."""
    arrays = {f"t{number}": np.zeros((3, 100_003), np.float32) for number in range(40)}
    entries = _write(tmp_path / "data", arrays)
    with Files(tmp_path) as files:
        files.open("data")
        subjects = [_subject(entry, [AxisNorm((7,))] if entry.key == "t9" else ALL) for entry in entries]
        with pytest.raises(ValueError, match="t9"):
            measure(files, subjects, workers=workers)


@pytest.mark.parametrize("count", [0, 1, 8])
def test_no_thread_without_work(tmp_path: Path, count: int) -> None:
    """What is read at once, or known already, starts no thread; what is cut into many pieces does."""
    entries = _write(tmp_path / "data", {f"t{n}": np.zeros((3, 100_003), np.float32) for n in range(count)})
    others: set[int] = set()
    with Files(tmp_path) as files:
        files.open("data")
        subjects = [_subject(entry) for entry in entries]
        threading.setprofile(lambda *_: others.add(threading.get_ident()))  # what only new threads call
        try:
            measured = measure(files, subjects, workers=5)
        finally:
            threading.setprofile(None)
    assert len(measured.stats) == count
    assert bool(others) == (count > 1)


def test_same_bits_whatever_is_read_together(tmp_path: Path) -> None:
    """A tensor that is measured alone has the results, to the last bit, of one among others."""
    entries = _write(tmp_path / "data", _many(np.random.default_rng(1)))
    together = _measure(tmp_path / "data", entries)
    for entry in entries[::7] + entries[-3:]:
        (alone,) = _measure(tmp_path / "data", [entry]).stats.values()
        for statistic in ALL:
            np.testing.assert_array_equal(alone[statistic], together.stats[entry.key][statistic])


def test_the_rest_of_a_large_tensor_counts(tmp_path: Path) -> None:
    """The last elements of a tensor in two stretches count as the others do, beside a small tensor too."""
    large = np.ones(planning.UNIT_BYTES // 4 + 1000, np.float32)
    large[-1] = 7
    path = tmp_path / "data"
    entries = _write(path, {"large": large, "small": np.ones(10, np.float32)})
    stats = _measure(path, entries).stats["large"]
    assert stats[Moments()].count == large.size
    assert stats[Moments()].total == large.size + 6
    assert stats[Extremes()].maximum == 7


def test_kernels_and_numpy_agree(tmp_path: Path) -> None:
    """Without compiled kernels counts and extremes are the same, and sums up to rounding."""
    path = tmp_path / "data"
    entries = _write(path, _many(np.random.default_rng(2)))
    with Files(path.parent) as files:
        files.open(path.name)
        subjects = [_subject(entry, ALL) for entry in entries]
        one, other = (measure(files, subjects, compiled=compiled) for compiled in (True, False))
    for entry in entries:
        with_kernels, without = one.stats[entry.key], other.stats[entry.key]
        assert with_kernels[NonFinite()] == without[NonFinite()]
        assert with_kernels[Zeros()] == without[Zeros()]
        assert with_kernels[Extremes()] == without[Extremes()]
        assert with_kernels[Moments()].squares == pytest.approx(without[Moments()].squares, rel=1e-12)


@pytest.mark.parametrize("victim", ["small0", "small150", "small299"])
def test_one_damaged_tensor_among_many_is_named(tmp_path: Path, victim: str) -> None:
    """Of small tensors that are read at once, exactly the one with a flipped bit is a defect."""
    path = tmp_path / "data"
    entries = _write(path, _many(np.random.default_rng(3)))
    (extent,) = [one.storage for one in entries if one.key == victim]
    assert isinstance(extent, Extent)
    raw = bytearray(path.read_bytes())
    raw[extent.offset + extent.nbytes - 1] ^= 8
    path.write_bytes(raw)
    assert [defect.tensor for defect in _measure(path, entries).defects] == [victim]


def test_a_file_that_shrank_fails_only_what_is_gone(tmp_path: Path) -> None:
    """Of tensors that are read at once, those before the end are measured and those beyond it told."""
    path = tmp_path / "data"
    entries = _write(path, _many(np.random.default_rng(4)))
    place = next(one.storage for one in entries if one.key == "small200")
    assert isinstance(place, Extent)
    path.write_bytes(path.read_bytes()[: place.offset])
    measured = _measure(path, entries)
    names = [entry.key for entry in entries]
    assert list(measured.stats) == names[: names.index("small200")]
    assert list(measured.failures) == names[names.index("small200") :]
    assert all("truncated" in reason for reason in measured.failures.values())


def test_flipped_bit_is_a_defect(tmp_path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """One flipped bit in a tensor with a CRC-32C is a defect that names the tensor."""
    path = tmp_path / "data"
    entries = _write(path, arrays)
    raw = bytearray(path.read_bytes())
    raw[9_000_000] ^= 1
    path.write_bytes(raw)
    measured = _measure(path, entries)
    assert [(defect.flaw, defect.tensor) for defect in measured.defects] == [(Flaw.CHECKSUM, "large")]


@pytest.mark.parametrize("byte", [0, 9_000_000, -1])
def test_region_covers_tensors_and_gaps(tmp_path: Path, arrays: dict[str, NDArray[Any]], byte: int) -> None:
    """A region's CRC-32 is verified over tensors and the bytes between them, wherever a bit flips."""
    path = tmp_path / "data"
    entries = _write(path, arrays)
    raw = bytearray(path.read_bytes())
    region = Region("member", Extent(0, 0, len(raw)), Checksum("crc32", zlib.crc32(raw)))
    assert not _measure(path, entries, [region]).defects
    raw[byte] ^= 1
    path.write_bytes(raw)
    assert [defect.flaw for defect in _measure(path, entries, [region]).defects if not defect.tensor] == [
        Flaw.CHECKSUM
    ]


def test_plan_reads_every_byte_of_a_region_once(tmp_path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Units of a region are disjoint and cover it."""
    entries = [replace(entry, checksum=None) for entry in _write(tmp_path / "data", arrays)]
    size = (tmp_path / "data").stat().st_size
    region = Region("member", Extent(0, 0, size), Checksum("crc32", 0))
    place = 0
    for unit in plan(entries, [region]):
        if unit.extent is not None and unit.extent.nbytes:
            assert unit.extent.offset == place
            place += unit.extent.nbytes
    assert place == size


@pytest.mark.parametrize("wrong", ["tensor", "first", "second"])
def test_checksums_of_the_same_bytes_are_all_verified(tmp_path: Path, wrong: str) -> None:
    """Where a tensor with a checksum lies in two regions, exactly the checksum that is wrong is a defect."""
    path = tmp_path / "data"
    raw = np.arange(100, dtype=np.float32).tobytes()
    path.write_bytes(raw)
    values = {name: crc32c(raw) ^ (name == wrong) for name in ("tensor", "first", "second")}
    place = Extent(0, 0, 400)
    entry = Entry("tensor", (100,), "float32", place, checksum=Checksum("crc32c", values["tensor"]))
    regions = [Region(name, place, Checksum("crc32c", values[name])) for name in ("first", "second")]
    defects = _measure(path, [entry], regions).defects
    assert [one.tensor or one.message.partition(" ")[0] for one in defects] == [wrong]


def test_overlapping_tensors_do_not_break_a_region(tmp_path: Path) -> None:
    """Where two tensors share bytes, the region's checksum is still right."""
    path = tmp_path / "data"
    raw = np.arange(100, dtype=np.float32).tobytes()
    path.write_bytes(raw)
    entries = [
        Entry("a", (100,), "float32", Extent(0, 0, 400)),
        Entry("b", (50,), "float32", Extent(0, 100, 200)),
    ]
    region = Region("member", Extent(0, 0, 400), Checksum("crc32", zlib.crc32(raw)))
    with Files(tmp_path) as files:
        files.open("data")
        measured = measure(files, [_subject(entry, ALL[:4]) for entry in entries], [region])
    assert not measured.defects
    assert measured.stats["b"][Extremes()].minimum == 25


def test_file_that_ends_early_is_a_failure(tmp_path: Path) -> None:
    """A tensor whose bytes end early has no statistics and a reason; the others are measured."""
    path = tmp_path / "data"
    path.write_bytes(np.ones(10, np.float32).tobytes())
    entries = [
        Entry("whole", (10,), "float32", Extent(0, 0, 40)),
        Entry("cut", (20,), "float32", Extent(0, 0, 80)),
    ]
    with Files(tmp_path) as files:
        files.open("data")
        measured = measure(files, [_subject(entry, ALL[:4]) for entry in entries])
    assert set(measured.stats) == {"whole"}
    assert "ends at byte 40" in measured.failures["cut"]


def test_tiles_in_any_partition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tensor cut into boxes along both axes is put together in order, slab by slab."""
    monkeypatch.setattr(planning, "UNIT_BYTES", 64)
    values = np.arange(7 * 9, dtype=np.float32).reshape(7, 9)
    tiles: list[Tile] = []
    with (tmp_path / "data").open("wb") as file:
        for row in range(0, 7, 3):
            for column in range(0, 9, 4):
                box = np.zeros((3, 4), np.float32)
                part = values[row : row + 3, column : column + 4]
                box[: part.shape[0], : part.shape[1]] = part
                tiles.append(Tile((row, column), (3, 4), Extent(0, file.tell(), box.nbytes)))
                file.write(box.tobytes())
    entry = Entry("x", (7, 9), "float32", Tiles(tuple(tiles)))
    measured = _measure(tmp_path / "data", [entry])
    assert measured.stats["x"][Moments()].total == values.sum()
    np.testing.assert_array_equal(measured.stats["x"][AxisNorm((0,), inf)], values.max(axis=0))


def test_inline_big_endian(tmp_path: Path) -> None:
    """A small tensor that came with the catalog, in the other byte order, is measured."""
    (tmp_path / "data").write_bytes(b"")
    entry = Entry("x", (3,), "float64", Inline(np.array([1, 2, 4], ">f8").tobytes()), big_endian=True)
    assert _measure(tmp_path / "data", [entry]).stats["x"][Moments()].total == 7
