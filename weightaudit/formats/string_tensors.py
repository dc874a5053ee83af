"""Tensors of strings in TensorFlow checkpoints: read piece by piece to verify their checksum, never kept.

Stored are the lengths of all strings as varints, the masked CRC32C of these lengths, and the strings. The
lengths count as 32-bit numbers, or as 64-bit ones where they do not fit. The checksum of the tensor goes on
from that of the lengths, over its stored form and the strings. Source: ``WriteStringTensor`` in
tensorflow/core/util/tensor_bundle/tensor_bundle.cc.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from weightaudit.checksums import crc32c
from weightaudit.formats.protobuf import MalformedError, read_varint
from weightaudit.formats.sstable import unmask

if TYPE_CHECKING:
    from weightaudit.catalog import Extent
    from weightaudit.source import ByteSource

_PIECE = 1 << 20
_LONGEST = 10
"""Bytes of the longest varint."""

_SUM = 4
"""Bytes of a stored checksum."""


def check_strings(source: ByteSource, place: Extent, count: int, checksum: int) -> None:
    """Verify the stored bytes of a tensor of strings.

    Args:
        source: The file that holds them.
        place: Where they are in it.
        count: How many strings there are.
        checksum: CRC32C of the tensor, unmasked.

    Raises:
        MalformedError: The bytes are not that many strings, or a checksum is wrong.
        ReadError: They cannot be read.
    """
    position, end = place.offset, place.offset + place.nbytes
    total = crc = 0
    while count:
        piece = source.read(position, min(_PIECE, end - position))
        numbers, taken, used, length = _lengths(piece, count)
        if not taken:
            raise MalformedError("it ends in the middle of the lengths of its strings")
        crc = crc32c(numbers, crc)
        count, position, total = count - taken, position + used, total + length
    if end - position != _SUM + total:
        raise MalformedError("its strings have other lengths than it says")
    stored_sum = source.read(position, _SUM)
    if unmask(int.from_bytes(stored_sum, "little")) != crc:
        raise MalformedError("the checksum of its strings' lengths is wrong")
    crc = crc32c(stored_sum, crc)
    for start in range(position + _SUM, end, _PIECE):
        crc = crc32c(source.read(start, min(_PIECE, end - start)), crc)
    if crc != checksum:
        raise MalformedError("the checksum of its strings is wrong")


def _lengths(piece: bytes, most: int) -> tuple[bytes, int, int, int]:
    """Return lengths as they count for the checksum, how many, bytes that were read, and their sum."""
    short = piece[:most]
    if short and max(short) < 128:
        wide = bytearray(4 * len(short))
        wide[::4] = short
        return bytes(wide), len(short), len(short), sum(short)
    # No varint that is begun before this place can end outside of the piece.
    last = len(piece) if len(piece) < _PIECE else len(piece) - _LONGEST
    position = taken = total = 0
    numbers: list[bytes] = []
    while taken < most and position < last:
        try:
            length, position = read_varint(piece, position)
        except IndexError:
            raise MalformedError("it ends in the middle of the lengths of its strings") from None
        numbers.append(length.to_bytes(4 if length < 1 << 32 else 8, "little"))
        taken, total = taken + 1, total + length
    return b"".join(numbers), taken, position, total
