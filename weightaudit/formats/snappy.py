"""Decompression of Snappy blocks, which TensorFlow's V1 checkpoints are made of.

Source of the format: https://github.com/google/snappy/blob/main/format_description.txt. Old
checkpoints are rare and no maintained wheel is worth a dependency for them.
"""

from __future__ import annotations

from weightaudit.formats.protobuf import MalformedError, read_varint


def decompress(data: bytes, limit: int) -> bytes:
    """Return the plain bytes of one Snappy block.

    Args:
        data: The compressed block.
        limit: Most bytes that it may become.

    Raises:
        MalformedError: The block is malformed, or declares more than `limit` bytes.
    """
    try:
        size, position = read_varint(data, 0)
        if size > limit:
            raise MalformedError(f"a compressed block declares {size} bytes, the limit is {limit}")
        output = bytearray()
        while position < len(data) and len(output) <= size:
            position = _element(data, position, output)
    except IndexError:
        raise MalformedError("a compressed block ends too early") from None
    if len(output) != size or position != len(data):
        raise MalformedError("a compressed block has another size than it declares")
    return bytes(output)


def _element(data: bytes, position: int, output: bytearray) -> int:
    """Append one literal or copy to `output` and return the position behind it."""
    tag = data[position]
    kind = tag & 3
    position += 1
    if kind == 0:
        length = (tag >> 2) + 1
        if length > 60:
            width = length - 60
            length = int.from_bytes(data[position : position + width], "little") + 1
            position += width
        if position + length > len(data):
            raise MalformedError("a compressed block ends too early")
        output += data[position : position + length]
        return position + length
    if kind == 1:
        length, offset = (tag >> 2 & 7) + 4, (tag >> 5) << 8 | data[position]
        position += 1
    else:
        width = 2 if kind == 2 else 4
        length, offset = (tag >> 2) + 1, int.from_bytes(data[position : position + width], "little")
        position += width
    if not 0 < offset <= len(output):
        raise MalformedError("a compressed block refers to bytes before its beginning")
    start = len(output) - offset
    pattern = output[start : start + length]
    output += (pattern * (length // len(pattern) + 1))[:length]
    return position
