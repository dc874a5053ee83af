"""Small HDF5 data that leads to the same structures again and again is refused before it costs much."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest

from tests.formats.hdf5_listings import ours, theirs
from weightaudit.formats.hdf5_native import UNDEFINED, LimitError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LEAF_RANK, GROUP_RANK = 10_000, 1
"""Half the links, and half the symbol table nodes, that a group of `Writer` has room for."""

Message = tuple[int, bytes]
FLOAT32 = bytes([0x11, 0x20, 31, 0]) + struct.pack("<IHHBBBBI", 4, 0, 32, 23, 8, 0, 23, 127)


class Writer:
    """Lays structures one after the other, at any place and with any contents that a test wants."""

    def __init__(self) -> None:
        self.data = bytearray(96)

    def put(self, raw: bytes) -> int:
        """Add a structure, padded to eight bytes, and return its address."""
        address = len(self.data)
        self.data += raw + bytes(-len(raw) % 8)
        return address

    def header(self, *messages: Message) -> int:
        """Add an object header."""
        body = b"".join(struct.pack("<HHB3x", kind, len(one), 0) + one for kind, one in messages)
        return self.put(struct.pack("<BxHII4x", 1, len(messages), 1, len(body)) + body)

    def heap(self, names: bytes) -> int:
        """Add a local heap."""
        names += bytes(-len(names) % 8)
        return self.put(b"HEAP\0\0\0\0" + struct.pack("<QQQ", len(names), 1, self.put(names)))

    def table(self, heap: int, links: list[tuple[int, int]]) -> Message:
        """Add the links of a group, places of names and addresses, and return the message about them."""
        symbols = b"".join(struct.pack("<QQ24x", *link) for link in links)
        node = b"SNOD\1\0" + struct.pack("<H", len(links)) + symbols.ljust(40 * 2 * LEAF_RANK, b"\0")
        entries = struct.pack("<QQQ", 0, self.put(node), links[-1][0]) if links else b""
        head = b"TREE" + struct.pack("<BBHQQ", 0, 0, len(entries) // 24, UNDEFINED, UNDEFINED)
        return 0x11, struct.pack("<QQ", self.put((head + entries).ljust(64, b"\0")), heap)

    def group(self, objects: list[int]) -> int:
        """Add a group of objects with numbers for names."""
        heap = self.heap(bytes(8) + b"".join(b"%07d\0" % number for number in range(len(objects))))
        links = [(8 + 8 * number, address) for number, address in enumerate(objects)]
        return self.header(self.table(heap, links))

    def dataset(self, count: int, *messages: Message) -> int:
        """Add a compact dataset of float32 zeros."""
        values = bytes(4 * count)
        layout = bytes([3, 0]) + struct.pack("<H", len(values)) + values
        layout += bytes(-len(layout) % 8)
        space = struct.pack("<BB6xQ", 1, 1, count)
        return self.header((1, space), (3, FLOAT32 + bytes(4)), (8, layout), *messages)

    def save(self, path: Path, root: int) -> None:
        """Write everything to a file."""
        sizes = struct.pack("<8BHHI", 0, 0, 0, 0, 0, 8, 8, 0, LEAF_RANK, GROUP_RANK, 0)
        addresses = struct.pack("<4Q", 0, UNDEFINED, len(self.data), UNDEFINED)
        self.data[:96] = b"\x89HDF\r\n\x1a\n" + sizes + addresses + struct.pack("<QQ24x", 0, root)
        path.write_bytes(self.data)


def _names_in_names(writer: Writer) -> int:
    """Make a group whose names are the ends of one long name."""
    heap = writer.heap(bytes(8) + b"a" * 2_000_000 + b"b\0")
    empty = writer.group([])
    return writer.header(writer.table(heap, [(8 + number, empty) for number in range(200)]))


def _one_heap(writer: Writer) -> int:
    """Make groups that share a long heap."""
    table = writer.table(writer.heap(bytes(1_000_000)), [])
    return writer.group([writer.header(table) for _ in range(1000)])


def _one_table(writer: Writer) -> int:
    """Make groups that share their links."""
    heap = writer.heap(bytes(8) + b"".join(b"%07d\0" % number for number in range(5000)))
    dataset = writer.dataset(1)
    table = writer.table(heap, [(8 + 8 * number, dataset) for number in range(5000)])
    return writer.group([writer.header(table) for _ in range(1000)])


def _one_large_dataset(writer: Writer) -> int:
    """Make links to a dataset whose values lie in its header."""
    return writer.group([writer.dataset(16_000)] * 10_000)


def _one_long_header(writer: Writer) -> int:
    """Make links to a dataset with thousands of messages that say nothing."""
    return writer.group([writer.dataset(1, *[(0, b"")] * 60_000)] * 10_000)


def _long_path(writer: Writer) -> int:
    """Make a hundred links to a dataset in a group with a name of a million bytes."""
    group = writer.group([writer.dataset(1)] * 100)
    heap = writer.heap(bytes(8) + b"a" * 1_000_000 + b"\0")
    return writer.header(writer.table(heap, [(8, group)]))


@pytest.mark.parametrize(
    "make", [_names_in_names, _one_heap, _one_table, _one_large_dataset, _one_long_header, _long_path]
)
def test_what_is_led_to_too_often(tmp_path: Path, make: Callable[[Writer], int]) -> None:
    """A few megabytes that unfold to hundreds are refused."""
    path = tmp_path / "x.h5"
    writer = Writer()
    writer.save(path, make(writer))
    with pytest.raises(LimitError, match="leads to the same structures too often|names the same tensors"):
        ours(path)


@pytest.mark.parametrize("make", [_one_large_dataset, _long_path])
def test_too_often_for_libhdf5_too(tmp_path: Path, make: Callable[[Writer], int]) -> None:
    """Where only libhdf5 knows the structures, the process that asks it counts what it repeats."""
    path = tmp_path / "x.h5"
    writer = Writer()
    writer.save(path, make(writer))
    assert "bytes of names and attributes" in theirs(path)["error"]


def test_writer_is_right(tmp_path: Path) -> None:
    """What the tests above write is HDF5: with fewer links, it is listed as libhdf5 lists it."""
    path = tmp_path / "x.h5"
    writer = Writer()
    writer.save(path, writer.group([writer.dataset(3), writer.group([]), writer.dataset(1, (0, b""))]))
    assert len(ours(path)["datasets"]) == 2
    assert ours(path) == theirs(path)


def test_long_paths_are_no_repetition(tmp_path: Path) -> None:
    """Twenty thousand tensors a dozen groups deep, which say their paths again and again, are all listed."""
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("/".join(f"a_rather_long_name_of_a_layer_{level}" for level in range(12)))
        for number in range(20_000):
            group.create_dataset(str(number), data=np.zeros(1, "f4"))
    assert len(ours(path)["datasets"]) == 20_000
