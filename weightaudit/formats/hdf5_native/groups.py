"""Symbol tables: the names in a group, and the objects that they lead to."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from weightaudit.formats.hdf5_native.btree import Entry, Kind, leaf_nodes
from weightaudit.formats.hdf5_native.reader import DamagedError, UnfamiliarError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from weightaudit.formats.hdf5_native.reader import Reader
    from weightaudit.formats.hdf5_native.superblock import Superblock

_TABLE = struct.Struct("<QQ")
_HEAP = struct.Struct("<4sB3xQQQ")
_FREE = struct.Struct("<QQ")
_NO_FREE_BLOCK = 1
_SYMBOLS = struct.Struct("<4sBxH")
_HARD = {0, 1}
"""What a symbol may have cached where it is a hard link: nothing, or where its symbol table is."""

_SYMBOL = struct.Struct("<QQI20x")
_KEY, _ENTRY = struct.Struct("<Q"), struct.Struct("<QQ")


def read_links(reader: Reader, superblock: Superblock, table: bytes, most: int) -> list[tuple[bytes, int]]:
    """Return the links of a group: names, in strictly ascending order, and addresses of object headers.

    Args:
        reader: The data.
        superblock: Its superblock.
        table: The group's symbol table message.
        most: Links after which reading stops: there is one more than the limit.

    Raises:
        DamagedError: The group contradicts itself.
        LimitError: Its names are many times as long as the data.
        UnfamiliarError: It holds other links than hard ones, or names that are paths.
    """
    if len(table) < _TABLE.size:
        raise DamagedError("a group does not say where its links are")
    root, place = _TABLE.unpack_from(table)
    heap = _read_heap(reader, place)

    def name_of(fields: Entry) -> bytes:
        return _name(heap, fields[0], reader)

    kind = Kind(0, superblock.group_rank, _KEY, _ENTRY, name_of)
    links: list[tuple[bytes, int]] = []
    for node in leaf_nodes(reader, root, kind):
        for (_, symbols), before, last in zip(node.entries, node.bounds, node.bounds[1:], strict=False):
            previous = before
            for place, address, cached in _symbols(reader, symbols, superblock.leaf_rank):
                name = _name(heap, place, reader)
                if not previous < name <= last:
                    raise DamagedError(f"the links of the group with the B-tree at {root} are not in order")
                if cached not in _HARD:
                    raise UnfamiliarError("it holds links that are not hard links")
                if b"/" in name or name == b".":
                    raise UnfamiliarError("it holds a link whose name is a path")
                previous = name
                links.append((name, address))
            if len(links) > most:
                return links
    return links


def _symbols(reader: Reader, address: int, rank: int) -> Iterator[tuple[int, int, int]]:
    """Give the entries of a symbol table node: place of the name, address, and what is cached."""
    raw, place = reader.at(address, _SYMBOLS.size + 2 * rank * _SYMBOL.size)
    magic, version, count = _SYMBOLS.unpack_from(raw, place)
    if (magic, version) != (b"SNOD", 1) or not 0 < count <= 2 * rank:
        raise DamagedError(f"there is no symbol table node at {address}")
    place += _SYMBOLS.size
    return _SYMBOL.iter_unpack(raw[place : place + count * _SYMBOL.size])


def _read_heap(reader: Reader, address: int) -> bytes:
    """Return the names of a group: its local heap."""
    raw, place = reader.at(address, _HEAP.size)
    magic, version, size, free, segment = _HEAP.unpack_from(raw, place)
    if (magic, version) != (b"HEAP", 0):
        raise DamagedError(f"there is no local heap at {address}")
    raw, place = reader.at(segment, size)
    heap = raw[place : place + size]
    # Only a writer needs the list of free blocks, but libhdf5 does not open a group with a wrong one.
    blocks = 0
    while free != _NO_FREE_BLOCK:
        blocks += 1
        if free + _FREE.size > size or blocks * _FREE.size > size:
            raise DamagedError(f"the local heap at {address} has a wrong list of free blocks")
        free_at = free
        free, length = _FREE.unpack_from(heap, free_at)
        if free == 0 or free_at + length > size:
            raise DamagedError(f"the local heap at {address} has a wrong list of free blocks")
    return heap


def _name(heap: bytes, place: int, reader: Reader) -> bytes:
    """Return the name at a place of a local heap."""
    end = heap.find(b"\0", place)
    if end < 0:
        raise DamagedError("a name in a group has no end")
    # Names may share the bytes of the heap, so that many long ones fit into little.
    reader.spend(end - place)
    return heap[place:end]
