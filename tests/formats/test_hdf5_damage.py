"""HDF5 structures that contradict themselves are refused by our parser in one sentence each."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.formats.hdf5_listings import ours
from weightaudit.errors import ReadError
from weightaudit.formats.hdf5 import Hdf5Data, list_hdf5
from weightaudit.limits import DEFAULT_LIMITS
from weightaudit.source import Files

Damage = Callable[[bytearray], None]
TREE_KEYS = 24
"""Where the keys of a B-tree node begin in it."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with 400 links in its root, which makes a B-tree of several nodes, and 900 chunks."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.attrs["name"] = "a name"
        for number in range(399):
            file[f"d{number:03}"] = np.ones(2, "f4")
        file.create_dataset("packed", data=np.ones((30, 30), "f4"), chunks=(1, 1))
    return tmp_path / "x.h5"


def _put(raw: bytearray, place: int, value: int, size: int = 8) -> None:
    raw[place : place + size] = value.to_bytes(size, "little")


def _word(raw: bytearray, place: int) -> int:
    return int.from_bytes(raw[place : place + 8], "little")


def _nodes(raw: bytearray, kind: int, level: int) -> list[int]:
    """Return where the B-tree nodes of a kind and level are."""
    head, places, place = b"TREE" + bytes([kind, level]), [], raw.find(b"TREE")
    while place >= 0:
        places += [place] if raw[place : place + 6] == head else []
        place = raw.find(b"TREE", place + 1)
    return places


def _longer(raw: bytearray) -> None:
    _put(raw, 40, len(raw) + 1)


def _cut(raw: bytearray) -> None:
    del raw[-100:]


def _root_elsewhere(raw: bytearray) -> None:
    _put(raw, 64, len(raw) + 8)


def _child_is_root(raw: bytearray) -> None:
    (top,) = _nodes(raw, 0, 1)
    _put(raw, top + TREE_KEYS + 8, top)


def _child_twice(raw: bytearray) -> None:
    (top,) = _nodes(raw, 0, 1)
    _put(raw, top + TREE_KEYS + 24, _word(raw, top + TREE_KEYS + 8))


def _sibling_elsewhere(raw: bytearray) -> None:
    (top,) = _nodes(raw, 1, 1)
    _put(raw, _word(raw, top + TREE_KEYS + 32) + 16, top)


def _sibling_of_root(raw: bytearray) -> None:
    (top,) = _nodes(raw, 1, 1)
    _put(raw, top + 16, top)


def _empty_leaf(raw: bytearray) -> None:
    _put(raw, _nodes(raw, 0, 0)[0] + 6, 0, 2)


def _full_leaf(raw: bytearray) -> None:
    _put(raw, _nodes(raw, 0, 0)[0] + 6, 0xFFFF, 2)


def _many_levels(raw: bytearray) -> None:
    raw[_nodes(raw, 0, 1)[0] + 5] = 200


def _empty_symbols(raw: bytearray) -> None:
    _put(raw, raw.index(b"SNOD") + 6, 0, 2)


def _names_swapped(raw: bytearray) -> None:
    first = raw.index(b"SNOD") + 8
    one, other = _word(raw, first), _word(raw, first + 40)
    _put(raw, first, other)
    _put(raw, first + 40, one)


def _name_twice(raw: bytearray) -> None:
    first = raw.index(b"SNOD") + 8
    _put(raw, first + 40, _word(raw, first))


def _name_without_end(raw: bytearray) -> None:
    _put(raw, raw.index(b"SNOD") + 8, len(raw))


def _free_blocks_in_circles(raw: bytearray) -> None:
    heap = raw.index(b"HEAP")
    free, segment = _word(raw, heap + 16), _word(raw, heap + 24)
    raw[segment + free : segment + free + 16] = struct.pack("<QQ", free, 16)


def _chunk_beside_grid(raw: bytearray) -> None:
    (top,) = _nodes(raw, 1, 1)
    leaf = _word(raw, top + TREE_KEYS + 32)
    _put(raw, leaf + TREE_KEYS + 24, 2)


def _chunks_swapped(raw: bytearray) -> None:
    (top,) = _nodes(raw, 1, 1)
    leaf = _word(raw, top + TREE_KEYS + 32) + TREE_KEYS
    first, second = raw[leaf : leaf + 40], raw[leaf + 40 : leaf + 80]
    raw[leaf : leaf + 80] = second + first


def _no_string(raw: bytearray) -> None:
    _put(raw, raw.index(b"GCOL") + 16, 9, 2)


def _string_twice(raw: bytearray) -> None:
    heap = raw.index(b"GCOL")
    raw[heap + 40 : heap + 64] = raw[heap + 16 : heap + 40]


def _message_too_long(raw: bytearray) -> None:
    _put(raw, 96 + 16 + 2, 0xFFF8, 2)


def _header_goes_nowhere(raw: bytearray) -> None:
    # The dataspace message of the first dataset becomes a continuation without an address.
    header = _word(raw, raw.index(b"SNOD") + 16)
    _put(raw, header + 16, 0x10, 2)
    raw[header + 24 : header + 40] = bytes(16)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_longer, "it should be [0-9]+ bytes long"),
        (_cut, "it should be [0-9]+ bytes long"),
        (_root_elsewhere, "lies beyond its end"),
        (_child_is_root, "does not belong where it is"),
        (_child_twice, "does not belong where it is"),
        (_sibling_elsewhere, "does not follow the one before it"),
        (_sibling_of_root, "goes on beyond its last node"),
        (_empty_leaf, "does not belong where it is"),
        (_full_leaf, "no B-tree node of the right kind"),
        (_many_levels, "impossible number of levels"),
        (_empty_symbols, "no symbol table node"),
        (_names_swapped, "links of the group with the B-tree at [0-9]+ are not in order"),
        (_name_twice, "links of the group with the B-tree at [0-9]+ are not in order"),
        (_name_without_end, "a name in a group has no end"),
        (_free_blocks_in_circles, "wrong list of free blocks"),
        (_chunk_beside_grid, "inside of another|keys of the B-tree node"),
        (_chunks_swapped, "keys of the B-tree node at [0-9]+ are not in order"),
        (_no_string, "does not hold string 1 of 6 bytes"),
        (_string_twice, "the heap of strings at [0-9]+ contradicts itself"),
        (_message_too_long, "message of the object header at 96 reaches beyond it"),
        (_header_goes_nowhere, "does not say where it goes on"),
    ],
)
def test_damage(path: Path, damage: Damage, reason: str) -> None:
    """Each contradiction is an error that names the file and what is wrong; libhdf5 is not asked."""
    raw = bytearray(path.read_bytes())
    assert len(ours(path)["datasets"]) == 400
    damage(raw)
    path.write_bytes(raw)
    with Files(path.parent) as files, pytest.raises(ReadError, match=rf"x\.h5 is damaged: .*({reason})"):
        list_hdf5(Hdf5Data.whole(files[files.open(path.name)], 0), DEFAULT_LIMITS)
