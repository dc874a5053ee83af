"""Writes sorted string tables as TensorFlow does: the same pairs become the same bytes.

The format, and what follows from the pairs alone, are those of tensorflow/core/lib/io:
table_builder.cc, block_builder.cc and format.cc, with the options of a checkpoint's index: blocks
of 256 KiB, a restart point every 16 entries, no compression.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from weightaudit.checksums import crc32c
from weightaudit.formats.sstable import MAGIC, mask, read_table
from weightaudit.writing.messages import VARINT, varint, with_field

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from weightaudit.formats.sstable import Pair
    from weightaudit.source import ByteSource

_BLOCK_BYTES = 256 << 10
_INTERVAL = 16
_HANDLES = 40
"""Bytes of the footer that hold the places of metaindex and index, padded with zeros."""

_UNCOMPRESSED = b"\0"
_SHARDS = 1 << 3 | VARINT
"""BundleHeaderProto.num_shards."""


class _Block:
    """A block under way: entries that share the beginning of their key with the one before.

    Args:
        interval: How many entries follow each other before one stores its whole key again.
    """

    def __init__(self, interval: int) -> None:
        self._interval = interval
        self._content = bytearray()
        self._restarts = [0]
        self._since = 0
        self._last = b""

    def add(self, key: bytes, value: bytes) -> None:
        if self._since == self._interval:
            self._restarts.append(len(self._content))
            self._since = 0
            shared = 0
        else:
            shared = _shared(self._last, key)
        self._content += varint(shared) + varint(len(key) - shared) + varint(len(value))
        self._content += key[shared:] + value
        self._since += 1
        self._last = key

    @property
    def size(self) -> int:
        return len(self._content) + 4 * (len(self._restarts) + 1)

    def __bool__(self) -> bool:
        return bool(self._content)

    def encoded(self) -> bytes:
        tail = [*self._restarts, len(self._restarts)]
        return bytes(self._content) + b"".join(number.to_bytes(4, "little") for number in tail)


def encode_table(pairs: Iterable[Pair]) -> bytes:
    """Return the table of some pairs of key and value, which come in strictly increasing order."""
    table, index, block = bytearray(), _Block(1), _Block(_INTERVAL)
    last, handle = b"", b""
    for key, value in pairs:
        if handle:
            index.add(_separator(last, key), handle)
            handle = b""
        block.add(key, value)
        last = key
        if block.size >= _BLOCK_BYTES:
            handle, block = _append(table, block), _Block(_INTERVAL)
    if block:
        handle = _append(table, block)
    metaindex = _append(table, _Block(_INTERVAL))
    if handle:
        index.add(_successor(last), handle)
    handles = metaindex + _append(table, index)
    return bytes(table) + handles.ljust(_HANDLES, b"\0") + MAGIC


def renumbered_index(index: ByteSource, shards: int) -> bytes:
    """Return the index of a checkpoint with another number of shards in its header.

    Args:
        index: The index, an uncompressed or Snappy-compressed table.
        shards: The number that is in the names of its shards from now on.

    Raises:
        ReadError: The index is damaged.
    """
    return encode_table(_renumbered(index, shards))


def _renumbered(index: ByteSource, shards: int) -> Iterator[Pair]:
    for key, value in read_table(index):
        yield key, value if key else with_field(value, _SHARDS, shards, index.label)


def _append(table: bytearray, block: _Block) -> bytes:
    """Add a block with its trailer, and return its encoded place."""
    content = block.encoded() + _UNCOMPRESSED
    handle = varint(len(table)) + varint(len(content) - 1)
    table += content + mask(crc32c(content)).to_bytes(4, "little")
    return handle


def _shared(last: bytes, key: bytes) -> int:
    """Return how many bytes two keys have in common at their beginning."""
    size = min(len(last), len(key))
    if last[:size] == key[:size]:
        return size
    return next(place for place in range(size) if last[place] != key[place])


def _separator(last: bytes, following: bytes) -> bytes:
    """Return a short key that is not below the last key of a block and below the first of the next."""
    shared = _shared(last, following)
    if shared < min(len(last), len(following)) and last[shared] + 1 < following[shared]:
        return last[:shared] + bytes([last[shared] + 1])
    return last


def _successor(last: bytes) -> bytes:
    """Return a short key that is not below the last one."""
    for place, byte in enumerate(last):
        if byte != 0xFF:
            return last[:place] + bytes([byte + 1])
    return last
