"""Writes HDF5 structures one by one, so that tests can lead to them from wherever they like."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from weightaudit.formats.hdf5_native import UNDEFINED

if TYPE_CHECKING:
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

    def named(self, objects: list[tuple[str, int]]) -> int:
        """Add a group of objects with names of the caller's, in ascending order."""
        heap = self.heap(bytes(8) + b"".join(name.encode() + b"\0" for name, _ in objects))
        place = 8
        links: list[tuple[int, int]] = []
        for name, address in objects:
            links.append((place, address))
            place += len(name.encode()) + 1
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
