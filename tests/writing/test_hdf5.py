"""HDF5 is changed in place: h5py reads the new values, whatever the storage, and the rest is as it was."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest

from tests.writing.rewriting import assert_only_changed, edit, other_bytes, rewrite, stored_at
from weightaudit.checkpoint import open_checkpoint
from weightaudit.engine.filters import apply, deflate_level, undo
from weightaudit.errors import WriteError
from weightaudit.writing import write_model

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SHAPE, CHUNK = (37, 19), (10, 7)
FILTERS = [
    order for count in (1, 2, 3) for order in permutations(("shuffle", "deflate", "fletcher32"), count)
]


def _key(number: int) -> str:
    return f"layers/part{number}/vars/0"


def _name(number: int) -> str:
    return f"part{number}/0"


def _packed(
    file: Any, path: str, values: NDArray[Any], chunk: tuple[int, ...], filters: tuple[str, ...]
) -> None:
    """Store an array in chunks, with filters in any order."""
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk(chunk)
    for name in filters:
        {
            "shuffle": plist.set_shuffle,
            "fletcher32": plist.set_fletcher32,
            "deflate": lambda: plist.set_deflate(9),
        }[name]()
    group, _, name = path.rpartition("/")
    kind = h5py.h5t.py_create(values.dtype)
    space = h5py.h5s.create_simple(values.shape)
    dataset = h5py.h5d.create(file.require_group(group).id, name.encode(), kind, space, plist)
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, values)


def _compact(file: Any, path: str, values: NDArray[Any]) -> None:
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_layout(h5py.h5d.COMPACT)
    group, _, name = path.rpartition("/")
    space = h5py.h5s.create_simple(values.shape)
    kind = h5py.h5t.py_create(values.dtype)
    dataset = h5py.h5d.create(file.require_group(group).id, name.encode(), kind, space, plist)
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, values)


def _assert_h5py_reads(path: Path, number: int, values: NDArray[Any]) -> None:
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file[_key(number)][()], values)


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("user_block", [0, 512])
def test_stored_values_are_replaced_where_they_are(tmp_path: Path, libver: str, user_block: int) -> None:
    """Values of every type and byte order, contiguous and in plain chunks, change at their places only."""
    path = tmp_path / "x.weights.h5"
    generator = np.random.default_rng(1)
    dtypes = ["<f2", "<f4", "<f8", ">f4", ">f8", "<i1", ">i4", "<i8", "u1", ">u8", "?", "<c8"]
    with h5py.File(path, "w", libver=libver, userblock_size=user_block) as file:
        for number, dtype in enumerate(dtypes):
            chunks = CHUNK if number % 2 else None
            file.create_dataset(_key(number), data=generator.normal(size=SHAPE).astype(dtype), chunks=chunks)
        file[_key(90)] = np.float32(3)
    values = {_name(n): generator.normal(size=SHAPE).astype(kind) for n, kind in enumerate(dtypes)}
    values[_name(90)] = np.array(4, np.float32)
    copy = rewrite(path, tmp_path / "copy", values).path
    assert_only_changed(path, copy, values)
    for number in (*range(len(dtypes)), 90):
        _assert_h5py_reads(copy, number, values[_name(number)])
    with open_checkpoint(path) as checkpoint:
        allowed = set[int]().union(*(stored_at(checkpoint, name) for name in values))
    assert other_bytes(path.read_bytes(), copy.read_bytes()) <= allowed


@pytest.mark.parametrize("filters", FILTERS, ids="-".join)
@pytest.mark.parametrize("grows", [True, False])
@pytest.mark.parametrize("user_block", [0, 512])
def test_packed_chunks_are_packed_again(
    tmp_path: Path, filters: tuple[str, ...], user_block: int, *, grows: bool
) -> None:
    """Chunks under any filters in any order take other values, at the end of the file if need be."""
    path = tmp_path / "x.weights.h5"
    generator = np.random.default_rng(2)
    dense, constant = generator.normal(size=SHAPE), np.full(SHAPE, 2.5)
    with h5py.File(path, "w", userblock_size=user_block) as file:
        _packed(file, _key(0), constant if grows else dense, CHUNK, filters)
        _packed(file, _key(1), dense, CHUNK, filters)
        file[_key(2)] = dense
    values = {_name(0): dense if grows else constant}
    copy = rewrite(path, tmp_path / "copy", values).path
    assert_only_changed(path, copy, values)
    for number, expected in enumerate((values[_name(0)], dense, dense)):
        _assert_h5py_reads(copy, number, expected)
    has_moved = copy.stat().st_size > path.stat().st_size
    assert has_moved == (grows and "deflate" in filters)


def test_a_changed_file_is_still_one_that_libhdf5_can_write(tmp_path: Path) -> None:
    """After chunks have moved, h5py appends to the file and changes the same chunks again."""
    path = tmp_path / "x.weights.h5"
    generator = np.random.default_rng(3)
    with h5py.File(path, "w") as file:
        _packed(file, _key(0), np.zeros((64, 64)), (8, 8), ("shuffle", "deflate", "fletcher32"))
    values = {_name(0): generator.normal(size=(64, 64))}
    copy = rewrite(path, tmp_path / "copy", values).path
    with h5py.File(copy, "r+") as file:
        file[_key(0)][:8] = 1
        file[_key(1)] = np.arange(1000.0)
    expected = values[_name(0)].copy()
    expected[:8] = 1
    _assert_h5py_reads(copy, 0, expected)
    _assert_h5py_reads(copy, 1, np.arange(1000.0))


def test_an_index_of_many_chunks(tmp_path: Path) -> None:
    """Thousands of chunks, whose index is a tree of several levels, are found and moved one by one."""
    path = tmp_path / "x.weights.h5"
    generator = np.random.default_rng(4)
    with h5py.File(path, "w") as file:
        _packed(file, _key(0), np.zeros((130, 33), np.float32), (1, 1), ("deflate",))
    sparse = np.zeros((130, 33), np.float32)
    sparse[::7, ::5] = generator.normal(size=(19, 7)).astype(np.float32)
    for values in (generator.normal(size=(130, 33)).astype(np.float32), sparse):
        copy = rewrite(path, tmp_path / f"copy{values[1, 1]}", {_name(0): values}).path
        _assert_h5py_reads(copy, 0, values)


def test_only_the_chunks_that_change_are_written(tmp_path: Path) -> None:
    """One other element leaves the bytes of all other packed chunks alone."""
    path = tmp_path / "x.weights.h5"
    before = np.random.default_rng(5).normal(size=SHAPE)
    after = before.copy()
    after[12, 3] = 0
    with h5py.File(path, "w") as file:
        _packed(file, _key(0), before, CHUNK, ("shuffle", "deflate"))
    copy = rewrite(path, tmp_path / "copy", {_name(0): after}).path
    with h5py.File(path) as old, h5py.File(copy) as new:
        for origin in ((x, y) for x in range(0, 37, 10) for y in range(0, 19, 7)):
            same = old[_key(0)].id.read_direct_chunk(origin) == new[_key(0)].id.read_direct_chunk(origin)
            assert same == (origin != (10, 0))


def test_what_hangs_over_the_edge_stays(tmp_path: Path) -> None:
    """The bytes of a packed chunk that lie beyond the tensor keep the values that they have."""
    path = tmp_path / "x.weights.h5"
    chunk = np.arange(16.0).reshape(4, 4)
    with h5py.File(path, "w") as file:
        _packed(file, _key(0), np.zeros((5, 5)), (4, 4), ("deflate",))
        packed = apply(chunk.view(np.uint8).ravel(), ("deflate",), 8, 6)
        file[_key(0)].id.write_direct_chunk((4, 4), packed.tobytes())
    copy = rewrite(path, tmp_path / "copy", {_name(0): np.full((5, 5), 77.0)}).path
    with h5py.File(copy) as file:
        _, stored = file[_key(0)].id.read_direct_chunk((4, 4))
    chunk[0, 0] = 77
    np.testing.assert_array_equal(
        undo(np.frombuffer(stored, np.uint8), ("deflate",), 128, 8, "x").view(float).reshape(4, 4), chunk
    )


def test_chunks_that_left_a_filter_out(tmp_path: Path) -> None:
    """A chunk for which a filter was skipped is stored without it again."""
    path = tmp_path / "x.weights.h5"
    with h5py.File(path, "w") as file:
        _packed(file, _key(0), np.zeros((4, 4)), (2, 4), ("shuffle", "deflate"))
        file[_key(0)].id.write_direct_chunk((2, 0), np.ones((2, 4)).tobytes(), filter_mask=3)
    values = np.arange(16.0).reshape(4, 4)
    copy = rewrite(path, tmp_path / "copy", {_name(0): values}).path
    _assert_h5py_reads(copy, 0, values)
    with h5py.File(copy) as file:
        assert file[_key(0)].id.read_direct_chunk((2, 0)) == (3, values[2:].tobytes())


def test_compact_values_are_changed_in_their_header(tmp_path: Path) -> None:
    """Values that are part of the description of a dataset change there, and nothing else does."""
    path = tmp_path / "x.weights.h5"
    with h5py.File(path, "w") as file:
        _compact(file, _key(0), np.arange(5, dtype=np.float32))
        for number in range(30):
            file[_key(0)].attrs[f"a{number}"] = "so that the header goes on elsewhere"
    values = {_name(0): np.arange(5, 10, dtype=np.float32)}
    copy = rewrite(path, tmp_path / "copy", values).path
    assert_only_changed(path, copy, values)
    _assert_h5py_reads(copy, 0, values[_name(0)])
    assert len(other_bytes(path.read_bytes(), copy.read_bytes())) <= 20


def test_what_has_no_room_for_values_is_refused(tmp_path: Path) -> None:
    """A dataset that was never written, or not wholly, keeps its fill value and takes no other."""
    path = tmp_path / "x.weights.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset(_key(0), shape=(4, 4), dtype="f4", fillvalue=7)
        file.create_dataset(_key(1), shape=(30, 30), chunks=(8, 8), dtype="f4", fillvalue=2.5)[3:5, 20:] = 1
    filled, partly = np.full((4, 4), 7, np.float32), np.full((30, 30), 2.5, np.float32)
    partly[6, 25] = 3
    copy = rewrite(path, tmp_path / "copy", {_name(0): filled, _name(1): partly}).path
    _assert_h5py_reads(copy, 1, partly)
    partly[29, 29] = 3
    for name, values in ((_name(0), filled + 1), (_name(1), partly)):
        with pytest.raises(WriteError, match=rf"{name} (was never written|is not stored as a whole).*save"):
            rewrite(path, tmp_path / name.replace("/", "_"), {name: values})


@pytest.mark.parametrize("kind", ["packed", "compact"])
def test_indexes_under_a_checksum_are_refused(tmp_path: Path, kind: str) -> None:
    """Records of newer forms of the format, which are under checksums, are left alone with one sentence."""
    path = tmp_path / "x.weights.h5"
    with h5py.File(path, "w", libver="latest") as file:
        if kind == "packed":
            _packed(file, _key(0), np.zeros(SHAPE), CHUNK, ("deflate",))
        else:
            _compact(file, _key(0), np.zeros(SHAPE))
    with pytest.raises(WriteError, match=r"x\.weights\.h5: part0/0 .*superblock is of version 3.*h5repack"):
        rewrite(path, tmp_path / "copy", {_name(0): np.ones(SHAPE)})


@pytest.mark.parametrize("damage", ["layout", "index", "record"])
def test_records_that_contradict_the_listing_are_refused(tmp_path: Path, damage: str) -> None:
    """Where our reading of the index is not libhdf5's, nothing is changed."""
    path = tmp_path / "x.weights.h5"
    with h5py.File(path, "w") as file:
        _packed(file, _key(0), np.zeros(SHAPE), CHUNK, ("deflate",))
    data = bytearray(path.read_bytes())
    with open_checkpoint(path) as checkpoint:
        tree = data.index(b"TREE\x01")
        if damage == "index":
            data[tree + 6] += 1
        elif damage == "record":
            data[tree + 24] += 1
        else:
            place = data.index(bytes([3, 2, 3]) + (tree).to_bytes(8, "little"))
            data[place] = 4
        path.write_bytes(data)  # only now, so that the listing is that of the file as it was
        (tmp_path / "copy").mkdir()
        with pytest.raises(WriteError, match="cannot be changed in place"):
            write_model(checkpoint, {_name(0): edit(np.ones(SHAPE))}, tmp_path / "copy")


@pytest.mark.parametrize("filters", FILTERS, ids="-".join)
@pytest.mark.parametrize("size", [1, 7, 8, 4096, 99_999])
def test_filters_undo_what_they_apply(filters: tuple[str, ...], size: int) -> None:
    """Applied and undone filters give the same bytes, of any length, and all zeros too."""
    for raw in (np.random.default_rng(6).integers(0, 256, size, np.uint8), np.zeros(size, np.uint8)):
        packed = apply(raw, filters, 4, 6)
        np.testing.assert_array_equal(undo(packed, filters, size, 4, "x"), raw)


@pytest.mark.parametrize("level", [1, 4, 6, 9])
def test_the_level_of_deflate_is_told_by_its_header(level: int) -> None:
    """A stream is packed again with the level that made it, as far as its header tells."""
    packed = apply(np.zeros(100, np.uint8), ("deflate",), 1, level)
    assert deflate_level(packed[:2].tobytes()) == level
    assert deflate_level(b"\x00\x01") == deflate_level(b"x") == 4
