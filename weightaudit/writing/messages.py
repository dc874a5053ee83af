"""Protocol buffer messages of which one field is changed, and nothing else."""

from __future__ import annotations

from weightaudit.formats.protobuf import CHUNK, FIXED32, FIXED64, VARINT, read_fields

__all__ = ["FIXED32", "VARINT", "varint", "with_field"]

_WIDTHS = {FIXED32: 4, FIXED64: 8}


def varint(value: int) -> bytes:
    """Return the encoded form of a number that is not negative: seven bits a byte, the lowest first."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def with_field(message: bytes, tag: int, value: int, what: str) -> bytes:
    """Return a message with another value of one number in it.

    Args:
        message: The encoded message. Its other fields keep their order and their values, those that
            are not known too.
        tag: Field number * 8 + wire type of the number, of which the message has at most one.
        value: Its new value. Zero is left out, as protobuf's version 3 does.
        what: File, and place in it, for the error.

    Raises:
        ReadError: The message is malformed.
    """
    fields = [(own, _encoded(own, number, chunk)) for own, number, chunk in read_fields(message, what)]
    held = [place for place, (own, _) in enumerate(fields) if own == tag]
    behind = [place for place, (own, _) in enumerate(fields) if own >> 3 > tag >> 3]
    encoded = [field for own, field in fields if own != tag]
    if value:
        encoded.insert(min(held or behind or [len(fields)]), _encoded(tag, value, b""))
    return b"".join(encoded)


def _encoded(tag: int, number: int, chunk: bytes) -> bytes:
    kind = tag & 7
    if kind == CHUNK:
        return varint(tag) + varint(len(chunk)) + chunk
    return varint(tag) + (number.to_bytes(_WIDTHS[kind], "little") if kind in _WIDTHS else varint(number))
