"""Where HDF5 says how a dataset is stored: the records that change when a packed chunk does.

Only the structures that h5py makes by default are known here, in which nothing is under a
checksum: superblocks of version 0 and 1, object headers of version 1, layouts of version 3, and
version 1 B-trees. Whatever is different is refused. Source: HDF5 File Format Specification 3.0.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from weightaudit.formats.hdf5 import MAGIC

if TYPE_CHECKING:
    from collections.abc import Iterator

    from weightaudit.formats.hdf5 import Hdf5Data

_UNDEFINED = (1 << 64) - 1
"""The address of what is not there."""

_HEADER = struct.Struct("<BxHII4x")
_MESSAGE = struct.Struct("<HHB3x")
_LAYOUT, _CONTINUATION = 8, 16
_SHARED = 2
_COMPACT, _CHUNKED = 0, 2
_LAYOUT_VERSION = 3
_NODE = struct.Struct("<4sBBHQQ")
_SMALLEST_USER_BLOCK = 512


class UnknownStructureError(Exception):
    """A structure is not one that is changed here. Its text is a clause without a subject's file."""


@dataclass(frozen=True, slots=True)
class Superblock:
    """Where HDF5 data begins, and where it says that it ends; places count from the file's beginning.

    Attributes:
        base: What addresses are counted from.
        end: Where the address of the end of the data is stored.
    """

    base: int
    end: int


@dataclass(frozen=True, slots=True)
class ChunkRecord:
    """What a B-tree says of one chunk; places count from the file's beginning.

    Attributes:
        size: Stored bytes of the chunk.
        mask: Bit n is set if filter n was left out.
        offset: Where the chunk is.
        size_places: Where the size is stored: four bytes in its record, and in copies of its key
            in the nodes above.
        address_place: Where its address is stored: eight bytes.
    """

    size: int
    mask: int
    offset: int
    size_places: tuple[int, ...]
    address_place: int


def find_superblock(data: Hdf5Data) -> Superblock:
    """Return what the superblock of HDF5 data says.

    Raises:
        UnknownStructureError: It is of another version.
    """
    user_block = 0
    while _read(data, data.base + user_block, len(MAGIC)) != MAGIC:
        user_block = max(_SMALLEST_USER_BLOCK, 2 * user_block)
    place = data.base + user_block
    head = _read(data, place, 64)
    version = head[8]
    if version > 1:
        raise UnknownStructureError(f"the superblock is of version {version}, not 0 or 1")
    if (head[13], head[14]) != (8, 8):
        raise UnknownStructureError("the superblock has addresses or lengths of less than 8 bytes")
    addresses = 24 + 4 * version
    if int.from_bytes(head[addresses : addresses + 8], "little") != user_block:
        raise UnknownStructureError("the superblock counts addresses from another place than its own")
    return Superblock(place, place + addresses + 16)


def find_compact(data: Hdf5Data, block: Superblock, header: int) -> tuple[int, int]:
    """Return where the values of a compact dataset are, as (place, bytes).

    Args:
        data: The HDF5 data.
        block: Its superblock.
        header: Where the object header of the dataset begins.

    Raises:
        UnknownStructureError: The dataset is described in another way.
    """
    place, body = _layout(data, block, header)
    size = int.from_bytes(body[2:4], "little")
    if body[1] != _COMPACT or 4 + size > len(body):
        raise UnknownStructureError("its layout is not what it was when the file was listed")
    return place + 4, size


def chunk_records(
    data: Hdf5Data, block: Superblock, header: int, most: int
) -> dict[tuple[int, ...], ChunkRecord]:
    """Return the record of every chunk of a dataset, by the index of its first element.

    Args:
        data: The HDF5 data.
        block: Its superblock.
        header: Where the object header of the dataset begins.
        most: How many chunks there are at most.

    Raises:
        UnknownStructureError: The dataset is described in another way.
    """
    _, body = _layout(data, block, header)
    rank = body[2] - 1
    if body[1] != _CHUNKED or rank < 1 or len(body) < 11 + 4 * (rank + 1):
        raise UnknownStructureError("its layout is not what it was when the file was listed")
    root = int.from_bytes(body[3:11], "little")
    records: dict[tuple[int, ...], ChunkRecord] = {}
    if root != _UNDEFINED:
        for origin, record in _walk(data, block, root, rank, most):
            if origin in records or len(records) == most:
                raise UnknownStructureError("the index of its chunks holds more of them than were listed")
            records[origin] = record
    return records


def _layout(data: Hdf5Data, block: Superblock, header: int) -> tuple[int, bytes]:
    """Return where the layout message of a dataset begins, and its bytes."""
    found = [message for message in _messages(data, block, header) if message.kind == _LAYOUT]
    if len(found) != 1 or found[0].flags & _SHARED:
        raise UnknownStructureError("its object header has no layout of its own")
    body = _read(data, found[0].place, found[0].size)
    if body[:1] != bytes([_LAYOUT_VERSION]) or len(body) < 11:
        raise UnknownStructureError(f"its layout is not of version {_LAYOUT_VERSION}")
    return found[0].place, body


def _messages(data: Hdf5Data, block: Superblock, header: int) -> Iterator[_Message]:
    """Yield the messages of an object header."""
    version, count, _, size = _HEADER.unpack(_read(data, header, _HEADER.size))
    if version != 1:
        raise UnknownStructureError("its object header is not of version 1")
    blocks = [(header + _HEADER.size, size)]
    while blocks and count:
        place, left = blocks.pop(0)
        while left >= _MESSAGE.size and count:
            kind, size, flags = _MESSAGE.unpack(_read(data, place, _MESSAGE.size))
            message = _Message(kind, size, flags, place + _MESSAGE.size)
            place, left, count = message.end, left - _MESSAGE.size - message.size, count - 1
            if left < 0:
                raise UnknownStructureError("a message of its object header reaches beyond it")
            if message.kind == _CONTINUATION:
                where, length = struct.unpack("<QQ", _read(data, message.place, 16))
                blocks.append((block.base + where, length))
            yield message


class _Message(NamedTuple):
    kind: int
    size: int
    flags: int
    place: int

    @property
    def end(self) -> int:
        return self.place + self.size


@dataclass(frozen=True, slots=True)
class _Node:
    """A node of a B-tree that is still to be read.

    Attributes:
        address: Where it is.
        level: How far it is above the leaves; None if not known.
        first: Index of the first element below it, and where its parents store the size of that chunk.
    """

    address: int
    level: int | None = None
    first: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())


def _walk(
    data: Hdf5Data, block: Superblock, root: int, rank: int, most: int
) -> Iterator[tuple[tuple[int, ...], ChunkRecord]]:
    """Yield every chunk that a version 1 B-tree finds, by the index of its first element."""
    key = struct.Struct(f"<II{rank + 1}QQ")
    waiting = [_Node(root)]
    while waiting:
        node = waiting.pop()
        place = block.base + node.address
        magic, kind, level, count, _, _ = _NODE.unpack(_read(data, place, _NODE.size))
        expected = level if node.level is None else node.level
        # Every entry leads to a chunk, so an index that has more of them is none.
        if (magic, kind, level) != (b"TREE", 1, expected) or not 0 < count <= most - len(waiting):
            raise UnknownStructureError("the index of its chunks is damaged")
        place += _NODE.size
        for size, mask, *where, child in key.iter_unpack(_read(data, place, count * key.size)):
            origin = tuple(where[:-1])
            known, above = node.first
            sizes = (*above, place) if origin == known else (place,)
            if level:
                waiting.append(_Node(child, level - 1, (origin, sizes)))
            else:
                yield origin, ChunkRecord(size, mask, block.base + child, sizes, place + key.size - 8)
            place += key.size


def _read(data: Hdf5Data, place: int, nbytes: int) -> bytes:
    if not data.base <= place <= place + nbytes <= data.base + data.size:
        raise UnknownStructureError("a structure of it lies outside the file")
    return data.file.read(place, nbytes)
