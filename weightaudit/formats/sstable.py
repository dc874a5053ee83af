"""Sorted string tables: the container of TensorFlow's checkpoint indexes and V1 checkpoints.

The format is LevelDB's (tensorflow/core/lib/io/format.h): data blocks of prefix-compressed
entries, a metaindex block, an index block that locates the data blocks, and a footer.
Every block carries a checksum. Whatever is left unread or does not fit is an error: a reader that
returns a shorter list than the file holds would let a tensor pass unseen.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from weightaudit.checksums import crc32c
from weightaudit.errors import ReadError
from weightaudit.formats.protobuf import MalformedError, read_varint
from weightaudit.formats.snappy import decompress
from weightaudit.source import ByteSource

MAGIC = 0xDB4775248B80FB57.to_bytes(8, "little")
_FOOTER = 48
_TRAILER = 5  # compression type, masked CRC32C
_UNCOMPRESSED, _SNAPPY = 0, 1

MAX_BLOCK = 64 << 20
"""Most bytes of one block of an index, compressed or not; TensorFlow writes 256 KiB."""

MAX_TOTAL = 256 << 20
"""Most bytes of all keys and values of an index."""

Pair = tuple[bytes, bytes]


class _Handle(NamedTuple):
    offset: int
    size: int

    @property
    def end(self) -> int:
        return self.offset + self.size + _TRAILER


def unmask(masked: int) -> int:
    """Return the CRC32C that LevelDB and TensorFlow store as a rotated sum.

    Formula: tensorflow/tsl/lib/hash/crc32c.h, ``Unmask``.
    """
    rotated = (masked - 0xA282EAD8) & 0xFFFFFFFF
    return (rotated >> 17 | rotated << 15) & 0xFFFFFFFF


def mask(crc: int) -> int:
    """Return a CRC32C as it is stored: rotated, so that data with its sum in it has another sum.

    Formula: tensorflow/tsl/lib/hash/crc32c.h, ``Mask``.
    """
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def is_table(source: ByteSource) -> bool:
    """Say whether the file ends as a sorted string table does."""
    return source.size >= _FOOTER and source.read(source.size - len(MAGIC), len(MAGIC)) == MAGIC


def read_table(
    source: ByteSource, *, max_block: int = MAX_BLOCK, max_total: int = MAX_TOTAL
) -> Iterator[Pair]:
    """Yield every key and value of a table, in strictly increasing order of the keys.

    Args:
        source: The file.
        max_block: Most bytes of one block, compressed or not.
        max_total: Most bytes of all keys and values, which share bytes or are packed in the file.

    Raises:
        ReadError: The file is not a table, a checksum is wrong, or anything in it does not fit.
    """
    metaindex, index = _footer(source)
    position = total = 0
    previous: bytes | None = None
    for separator, encoded in _block(source, index, max_block):
        handle, _ = _handle(source, encoded)
        # The writer leaves no gaps, so a gap is a block that some index has lost.
        if handle.offset != position:
            raise ReadError(
                f"{source.label} is damaged: its index leaves out bytes {position} to {handle.offset}."
            )
        position = handle.end
        last: bytes | None = None
        for key, value in _block(source, handle, max_block):
            if previous is not None and key <= previous:
                raise ReadError(f"{source.label} is damaged: key {key[:80]!r} is out of order.")
            previous = last = key
            total += len(key) + len(value)
            if total > max_total:
                raise ReadError(
                    f"{source.label} unpacks to more than {max_total} bytes of names and values, "
                    "which is not plausible."
                )
            yield key, value
        if last is None or separator < last:
            raise ReadError(
                f"{source.label} is damaged: its index and its data blocks do not belong together."
            )
        previous = separator
    if (metaindex.offset, metaindex.end, index.end) != (position, index.offset, source.size - _FOOTER):
        raise ReadError(f"{source.label} is damaged: its blocks do not fill the file.")
    for _ in _block(source, metaindex, max_block):
        pass  # It holds nothing that is needed, and its checksum counts like any other.


def _footer(source: ByteSource) -> tuple[_Handle, _Handle]:
    """Return where the metaindex and the index block lie."""
    if not is_table(source):
        raise ReadError(
            f"{source.label} is cut off, or is no checkpoint index: its last bytes are not an index's."
        )
    footer = source.read(source.size - _FOOTER, _FOOTER)
    metaindex, used = _handle(source, footer)
    index, _ = _handle(source, footer[used:])
    return metaindex, index


def _handle(source: ByteSource, encoded: bytes) -> tuple[_Handle, int]:
    """Return the place of a block and how many bytes said so."""
    try:
        offset, position = read_varint(encoded, 0)
        size, position = read_varint(encoded, position)
    except (IndexError, MalformedError):
        raise ReadError(f"{source.label} is damaged: its index does not say where a block lies.") from None
    return _Handle(offset, size), position


def _block(source: ByteSource, handle: _Handle, max_block: int) -> Iterator[Pair]:
    """Read, verify and unpack one block, and yield its entries."""
    if handle.size > max_block or handle.end > source.size - _FOOTER:
        raise ReadError(
            f"{source.label} is damaged: a block of {handle.size} bytes at {handle.offset} does not fit."
        )
    stored = source.read(handle.offset, handle.size + _TRAILER)
    content, kind = stored[: handle.size], stored[handle.size]
    if crc32c(stored[: handle.size + 1]) != unmask(int.from_bytes(stored[-4:], "little")):
        raise ReadError(
            f"{source.label} is damaged: the checksum of the block at byte {handle.offset} is wrong."
        )
    try:
        yield from _entries(_unpack(content, kind, max_block))
    except IndexError:
        raise ReadError(f"{source.label} is damaged: the block at {handle.offset} ends too early.") from None
    except MalformedError as error:
        raise ReadError(f"{source.label} is damaged in the block at byte {handle.offset}: {error}.") from None


def _unpack(content: bytes, kind: int, max_block: int) -> bytes:
    if kind == _SNAPPY:
        return decompress(content, max_block)
    if kind != _UNCOMPRESSED:
        raise MalformedError(f"compression {kind} does not exist")
    return content


def _entries(block: bytes) -> Iterator[Pair]:
    """Yield the entries of an unpacked block, which must fill it up to its restart array."""
    end, restarts = _restarts(block)
    restart = next(restarts, None)
    if restart != 0:
        raise MalformedError("its first restart point is not its beginning")
    position, key = 0, b""
    while position < end:
        start = position
        # Nearly always three bytes; the restart array keeps them inside the block.
        shared, unshared, length = block[position : position + 3]
        position += 3
        if shared | unshared | length > 127:
            shared, position = read_varint(block, start)
            unshared, position = read_varint(block, position)
            length, position = read_varint(block, position)
        if shared > len(key) or unshared > end - position or length > end - position - unshared:
            raise MalformedError("an entry reaches beyond its block or shares more than there is")
        if start == restart and not shared:
            restart = next(restarts, None)
        key = key[:shared] + block[position : position + unshared]
        position += unshared + length
        yield key, block[position - length : position]
    if restart is not None and (end or next(restarts, None) is not None):
        raise MalformedError("its restart points are not the beginnings of entries, in order")


def _restarts(block: bytes) -> tuple[int, Iterator[int]]:
    """Return where the restart array of a block begins, and the positions that it holds, one at a time."""
    count = int.from_bytes(block[-4:], "little")
    end = len(block) - 4 * (count + 1)
    if count < 1 or end < 0:
        raise MalformedError("its restart array does not fit")
    return end, (place for (place,) in struct.iter_unpack("<I", memoryview(block)[end:-4]))
