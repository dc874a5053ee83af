"""Tiled tensors are put together in bounded slabs, each packed tile once, whatever their shapes."""

from __future__ import annotations

import threading
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.effort import grows_in_step
from weightaudit.catalog import Checksum, Entry, Extent, Region, Tile, Tiles
from weightaudit.checksums import inflater
from weightaudit.engine import inflating
from weightaudit.engine import plan as planning
from weightaudit.engine import tiles as tiling
from weightaudit.engine.filters import apply, undo
from weightaudit.engine.reading import read_pieces
from weightaudit.engine.room import Room
from weightaudit.errors import ReadError
from weightaudit.source import Files

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from numpy.typing import NDArray


def _write(
    path: Path, values: np.ndarray, box: tuple[int, ...], filters: tuple[str, ...] = ("deflate",)
) -> Entry:
    """Store an array as packed tiles, which hang over its edges."""
    content = bytearray()
    tiles: list[Tile] = []
    for place in np.ndindex(*(-(-n // b) for n, b in zip(values.shape, box, strict=True))):
        origin = tuple(p * b for p, b in zip(place, box, strict=True))
        tile = np.zeros(box, values.dtype)
        part = values[tuple(slice(o, o + b) for o, b in zip(origin, box, strict=True))]
        tile[tuple(slice(0, n) for n in part.shape)] = part
        packed = apply(tile.reshape(-1).view(np.uint8), filters, tile.itemsize, 6).tobytes()
        tiles.append(Tile(origin, box, Extent(0, len(content), len(packed)), filters))
        content += packed
    path.write_bytes(content)
    return Entry("x", values.shape, str(values.dtype), Tiles(tuple(tiles)))


def _read(path: Path, entry: Entry) -> tuple[list[int], bytes]:
    with Files(path.parent) as files:
        files.open(path.name)
        pieces = list(read_pieces(files, entry, 0, int(np.prod(entry.shape))))
    assert [first for first, _ in pieces] == sorted({first for first, _ in pieces})
    return [raw.size for _, raw in pieces], b"".join(raw.tobytes() for _, raw in pieces)


@pytest.mark.parametrize(
    ("shape", "box"),
    [
        ((1, 999), (1, 100)),
        ((7, 300), (3, 70)),
        ((2, 3, 500), (2, 2, 100)),
        ((1000,), (1,)),
        ((100,), (100,)),
    ],
)
def test_slabs_are_bounded_and_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], box: tuple[int, ...]
) -> None:
    """No slab is larger than the bound, not even where a single row is, and the values are the tensor's."""
    monkeypatch.setattr(tiling, "SLAB_BYTES", 512)
    monkeypatch.setattr(tiling, "SMALL_SLAB_BYTES", 128)
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    sizes, data = _read(tmp_path / "x", _write(tmp_path / "x", values, box))
    assert data == values.tobytes()
    assert max(sizes) <= 512


@pytest.mark.parametrize(("count", "length"), [(2000, 1), (1, 5000)])
def test_tiles_are_unpacked_once_in_few_slabs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, length: int
) -> None:
    """Thousands of tiny tiles make few slabs, and a tile larger than a slab is unpacked once for all."""
    monkeypatch.setattr(tiling, "SLAB_BYTES", 4000)
    entry = _write(tmp_path / "x", np.ones(count * length, np.float32), (length,))
    unpacked: list[int] = []

    def counted(*arguments: object) -> object:
        unpacked.append(1)
        return undo(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(tiling, "undo", counted)
    sizes, _ = _read(tmp_path / "x", entry)
    assert len(unpacked) == count
    assert len(sizes) <= 5


def _count_inflaters(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Make tiles of 8 bytes worth a stream, and return a list that gets an item for each that is begun."""
    begun: list[int] = []

    def counted(window_bits: int) -> object:
        begun.append(1)
        return inflater(window_bits)

    monkeypatch.setattr(inflating, "inflater", counted)
    monkeypatch.setattr(tiling, "STREAM_BYTES", 4)
    monkeypatch.setattr(tiling, "SMALL_SLAB_BYTES", 64)
    return begun


@pytest.mark.parametrize(
    ("shape", "box"), [((40, 30), (40, 7)), ((1, 999), (1, 500)), ((3, 7, 50), (2, 4, 50)), ((500,), (500,))]
)
def test_tiles_larger_than_slabs_are_inflated_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], box: tuple[int, ...]
) -> None:
    """Tiles that reach over many slabs are inflated piece by piece, each once, and give the same values."""
    begun = _count_inflaters(monkeypatch)
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    entry = _write(tmp_path / "x", values, box)
    sizes, data = _read(tmp_path / "x", entry)
    assert data == values.tobytes()
    assert len(sizes) > 1
    assert isinstance(entry.storage, Tiles)
    assert len(begun) == len(entry.storage.tiles)


@pytest.mark.parametrize(
    ("shape", "box", "dtype"),
    [((40, 30), (40, 7), np.float32), ((3, 7, 50), (2, 4, 50), np.float16), ((500,), (500,), np.float64)],
)
def test_shuffled_tiles_that_cannot_all_be_kept_are_streamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], box: tuple[int, ...], dtype: type
) -> None:
    """Shuffled tiles of more bytes than are kept are read by one stream for each byte of an element."""
    begun = _count_inflaters(monkeypatch)
    monkeypatch.setattr(tiling, "KEPT_BYTES", 500)
    values: NDArray[Any] = np.random.default_rng(0).normal(size=shape).astype(dtype)
    entry = _write(tmp_path / "x", values, box, ("shuffle", "deflate"))
    sizes, data = _read(tmp_path / "x", entry)
    assert data == values.tobytes()
    assert max(sizes) <= 64
    assert isinstance(entry.storage, Tiles)
    assert len(begun) == len(entry.storage.tiles) * values.itemsize


def test_a_shuffled_stream_that_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shuffled tile that is inflated piece by piece is refused if its checksum is wrong."""
    _count_inflaters(monkeypatch)
    monkeypatch.setattr(tiling, "KEPT_BYTES", 500)
    entry = _write(tmp_path / "x", np.arange(500, dtype=np.float32), (500,), ("shuffle", "deflate"))
    content = bytearray((tmp_path / "x").read_bytes())
    content[-1] ^= 1
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(ReadError, match="x has a chunk that cannot be inflated"):
        _read(tmp_path / "x", entry)


def test_tiles_that_are_all_kept_need_no_large_slabs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where all tiles that reach into the same rows are kept, slabs are small and each is unpacked once."""
    monkeypatch.setattr(tiling, "SMALL_SLAB_BYTES", 400)
    unpacked: list[int] = []

    def counted(*arguments: object) -> object:
        unpacked.append(1)
        return undo(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(tiling, "undo", counted)
    values = np.random.default_rng(0).normal(size=(80, 10)).astype(np.float32)
    sizes, data = _read(tmp_path / "x", _write(tmp_path / "x", values, (40, 3), ("shuffle", "deflate")))
    assert data == values.tobytes()
    assert max(sizes) <= 400
    assert len(unpacked) == 2 * 4


@pytest.mark.parametrize("cut", [1, 5, 300])
def test_a_stream_without_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int) -> None:
    """A tile that is inflated piece by piece is refused if the last byte of its checksum is gone."""
    _count_inflaters(monkeypatch)
    values = np.random.default_rng(0).normal(size=(500,)).astype(np.float32)
    packed = zlib.compress(values.tobytes())[:-cut]
    (tmp_path / "x").write_bytes(packed)
    tile = Tile((0,), (500,), Extent(0, 0, len(packed)), ("deflate",))
    with pytest.raises(ReadError, match="x has a chunk that does not inflate to its length"):
        _read(tmp_path / "x", Entry("x", (500,), "float32", Tiles((tile,))))


def test_tiles_that_do_not_fit_do_not_drive_out_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of ten tiles that reach over four slabs, five are kept and unpacked once, the others each time."""
    monkeypatch.setattr(tiling, "SLAB_BYTES", 400)
    monkeypatch.setattr(tiling, "SMALL_SLAB_BYTES", 400)
    monkeypatch.setattr(tiling, "KEPT_BYTES", 800)
    unpacked: list[int] = []

    def counted(*arguments: object) -> object:
        unpacked.append(1)
        return undo(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(tiling, "undo", counted)
    values = np.random.default_rng(0).normal(size=(40, 10)).astype(np.float32)
    assert _read(tmp_path / "x", _write(tmp_path / "x", values, (40, 1)))[1] == values.tobytes()
    assert len(unpacked) == 5 + 5 * 4


def test_two_tensors_are_given_room_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever reads two tensors side by side asks once, for at least the slabs of both."""
    asked: list[int] = []

    class Counted:
        room = Room(1 << 20)

        def taken(self, nbytes: int) -> AbstractContextManager[None]:
            asked.append(nbytes)
            return self.room.taken(nbytes)

    monkeypatch.setattr(tiling, "_ROOM", Counted())
    entry = _write(tmp_path / "x", np.ones((10, 10), np.float32), (5, 10))
    with Files(tmp_path) as files:
        files.open("x")
        with tiling.room_for((files, files), (entry, entry)):
            list(read_pieces(files, entry, 0, 100))
    assert asked[0] == 2 * asked[1] > 0


def test_a_scalar_in_one_slice(tmp_path: Path) -> None:
    """A scalar that a checkpoint lists as a slice of itself is read."""
    (tmp_path / "x").write_bytes(np.float32(3).tobytes())
    entry = Entry("x", (), "float32", Tiles((Tile((), (), Extent(0, 0, 4)),)))
    assert _read(tmp_path / "x", entry)[1] == np.float32(3).tobytes()


def test_a_plain_tile_of_another_length(tmp_path: Path) -> None:
    """A tile that is stored as it is must have the bytes that its shape needs."""
    (tmp_path / "x").write_bytes(bytes(64))
    entry = Entry("x", (4,), "float32", Tiles((Tile((0,), (4,), Extent(0, 0, 12)),)))
    with pytest.raises(ReadError, match="12 bytes where 16"):
        _read(tmp_path / "x", entry)


def test_regions_look_at_their_own_tensors_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Planning many checksummed slices beside many tensors does not look at each pair."""
    looks: list[int] = []
    inside = planning._is_inside

    def counted(entry: Entry, region: Extent) -> bool:
        looks.append(1)
        return inside(entry, region)

    monkeypatch.setattr(planning, "_is_inside", counted)
    extents = [Extent(0, 4 * number, 4) for number in range(500)]
    entries = [Entry(str(extent.offset), (1,), "float32", extent) for extent in extents]
    units = planning.plan(entries, [Region("r", extent, Checksum("crc32c", 0)) for extent in extents])
    assert len(looks) == 500
    assert [unit.region for unit in units] == list(range(500))


def test_tiles_that_are_kept_are_not_counted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a slab cuts through thousands of packed tiles, the work grows in step with their number."""
    monkeypatch.setattr(tiling, "SLAB_BYTES", 64)
    monkeypatch.setattr(tiling, "SMALL_SLAB_BYTES", 64)
    monkeypatch.setattr(
        tiling, "_boxes", lambda reader, *_: [((row, 0), (1, reader.shape[1])) for row in (0, 1)]
    )

    def read(count: int) -> None:
        _read(tmp_path / "x", _write(tmp_path / "x", np.ones((2, count), np.float32), (2, 1)))

    assert grows_in_step(read, 100)


@pytest.mark.parametrize("needed", [50, 1000])
def test_threads_wait_for_room(needed: int) -> None:
    """Who needs more memory than others left waits for them, even for more than there is."""
    room, order, entered = Room(100), list[str](), threading.Event()

    def other() -> None:
        with room.taken(needed):
            order.append("other")
            entered.set()

    thread = threading.Thread(target=other, daemon=True)
    with room.taken(60):
        thread.start()
        entered.wait(0.1)
        order.append("first")
    thread.join()
    assert order == ["first", "other"]


def test_room_for_what_fits_and_for_a_second_tensor() -> None:
    """Threads whose needs fit hold memory at once, and one that holds some is given more without waiting."""
    room, entered, leave = Room(100), threading.Event(), threading.Event()

    def other() -> None:
        with room.taken(40), room.taken(100):
            entered.set()
            leave.wait()

    thread = threading.Thread(target=other, daemon=True)
    with room.taken(60):
        thread.start()
        assert entered.wait(60)
    leave.set()
    thread.join()
