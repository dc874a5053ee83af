"""A strict, bounded decoder of the protocol buffer wire format: what TensorFlow's files are made of.

Source of the format: https://protobuf.dev/programming-guides/encoding. Nothing recurses, so how
deep a stranger's message nests is bounded by how deep our own code looks into it.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Any

from weightaudit.errors import ReadError

VARINT, FIXED64, CHUNK, FIXED32 = 0, 1, 2, 5
_FIXED = {FIXED64: 8, FIXED32: 4}
_MAX_TAG = 1 << 32
_MAX_UINT64 = (1 << 64) - 1
_CUT = "a message ends in the middle of a field"
_BEYOND = "a field reaches beyond its message or has no valid number"

MOST_FIELDS = 1 << 20
"""Fields of one message that is decoded: one of two bytes takes sixty in memory."""


class MalformedError(Exception):
    """Bytes break their format. Its text is a clause; whoever knows the file turns it into a ReadError."""


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """Return the unsigned number at `position` and the position behind it.

    Raises:
        IndexError: The data ends inside the number.
        MalformedError: It is longer than 10 bytes or does not fit 64 bits.
    """
    value = data[position]
    if value < 128:
        return value, position + 1
    value &= 127
    for shift in range(7, 70, 7):
        position += 1
        byte = data[position]
        value |= (byte & 127) << shift
        if byte < 128:
            if value > _MAX_UINT64:
                break
            return value, position + 1
    raise MalformedError("a number is longer than 64 bits")


def signed(value: int) -> int:
    """Return an unsigned 64-bit value as the two's complement number that int32 and int64 fields mean."""
    return value - (1 << 64) if value >> 63 else value


def read_fields(data: bytes, what: str) -> Iterator[tuple[int, int, bytes]]:
    """Yield every field of a message as (tag, number, chunk).

    Args:
        data: The encoded message.
        what: File, and place in it, for the error.

    Yields:
        The tag (field number * 8 + wire type); the value of a number, little-endian for the fixed
        types, else 0; the bytes of a length-delimited field, else none.

    Raises:
        ReadError: The message is cut off, or uses a wire type that no longer exists.
    """
    position, end = 0, len(data)
    try:
        while position < end:
            # Most numbers are one byte, and a large object graph has millions: no call for those.
            tag = data[position]
            position += 1
            if tag > 127:
                tag, position = read_varint(data, position - 1)
            kind = tag & 7
            number, chunk = 0, b""
            if kind == VARINT:
                number = data[position]
                position += 1
                if number > 127:
                    number, position = read_varint(data, position - 1)
            elif kind == CHUNK:
                length, start = data[position], position + 1
                if length > 127:
                    length, start = read_varint(data, position)
                position = start + length
                chunk = data[start:position]
            else:
                number, position = _read_fixed(data, position, kind)
            if position > end or not 8 <= tag < _MAX_TAG:
                raise _damaged(what, _BEYOND)
            yield tag, number, chunk
    except IndexError:
        raise _damaged(what, _CUT) from None
    except MalformedError as error:
        raise _damaged(what, str(error)) from None


def read_once(data: bytes, what: str, many: Container[int] = ()) -> dict[int, Any]:
    """Return the fields of a small message by tag: the value of a number, the bytes of a chunk.

    It does what `read_fields` does, without an iterator: for messages of which a file has hundreds of
    thousands.

    Args:
        data: The encoded message.
        what: File, and place in it, for the error.
        many: Tags of the length-delimited fields that may be there more than once; each gives a list.

    Raises:
        ReadError: The message is malformed, has more than `MOST_FIELDS` fields, or has another field twice:
            readers disagree on which counts.
    """
    found: dict[int, Any] = {}
    position, end = 0, len(data)
    try:
        while position < end:
            tag = data[position]
            position += 1
            if tag > 127:
                tag, position = read_varint(data, position - 1)
            kind = tag & 7
            value: Any
            if kind in (VARINT, CHUNK):
                value = data[position]
                position += 1
                if value > 127:
                    value, position = read_varint(data, position - 1)
                if kind == CHUNK:
                    start, position = position, position + value
                    value = data[start:position]
            else:
                value, position = _read_fixed(data, position, kind)
            if position > end or not 8 <= tag < _MAX_TAG:
                raise _damaged(what, _BEYOND)
            if tag in many:
                _append(found.setdefault(tag, []), value, what)
            elif tag in found:
                raise _damaged(what, f"field {tag >> 3} occurs more than once")
            else:
                found[tag] = value
    except IndexError:
        raise _damaged(what, _CUT) from None
    except MalformedError as error:
        raise _damaged(what, str(error)) from None
    return found


def _append(values: list[Any], value: Any, what: str) -> None:
    if len(values) == MOST_FIELDS:
        raise _refused(what)
    values.append(value)


def _read_fixed(data: bytes, start: int, kind: int) -> tuple[int, int]:
    """Return a little-endian number of a fixed size, and the position behind it."""
    if kind not in _FIXED:
        raise MalformedError(f"wire type {kind} is not in use")
    end = start + _FIXED[kind]
    return int.from_bytes(data[start:end], "little"), end


def _damaged(what: str, clause: str) -> ReadError:
    return ReadError(f"{what} is damaged: {clause}.")


def _refused(what: str) -> ReadError:
    return ReadError(f"{what} is refused: a message has more than {MOST_FIELDS} fields.")


class Message:
    """A decoded message. A field of another wire type than asked for counts as absent, as in protobuf.

    Args:
        data: The encoded message.
        what: File, and place in it, for errors.

    Raises:
        ReadError: The message is malformed, or has more than `MOST_FIELDS` fields.
    """

    __slots__ = ("_chunks", "_numbers", "what")

    def __init__(self, data: bytes, what: str) -> None:
        self.what = what
        self._numbers: dict[int, list[int]] = {}
        self._chunks: dict[int, list[bytes]] = {}
        for count, (tag, number, chunk) in enumerate(read_fields(data, what)):
            if count == MOST_FIELDS:
                raise _refused(what)
            if tag & 7 == CHUNK:
                self._chunks.setdefault(tag >> 3, []).append(chunk)
            elif tag & 7 == VARINT:
                self._numbers.setdefault(tag >> 3, []).append(number)

    def _check_single(self, field: int, count: int) -> None:
        # Protobuf merges or takes the last: two readers could see two different models in one file.
        if count > 1:
            raise ReadError(f"{self.what} is damaged: field {field} occurs {count} times instead of once.")

    def integer(self, field: int, default: int = 0) -> int:
        """Return a signed integer, `default` if the field is absent; ReadError if it is repeated."""
        values = self._numbers.get(field)
        if values is None:
            return default
        self._check_single(field, len(values))
        return signed(values[0])

    def has_integer(self, field: int) -> bool:
        """Say whether the field is there as an integer."""
        return field in self._numbers

    def chunk(self, field: int) -> bytes | None:
        """Return the bytes of a field, None if it is absent; ReadError if it is repeated."""
        values = self._chunks.get(field)
        if values is None:
            return None
        self._check_single(field, len(values))
        return values[0]

    def chunks(self, field: int) -> list[bytes]:
        """Return the bytes of every occurrence of a field, in order."""
        return self._chunks.get(field, [])

    def text(self, field: int) -> str:
        """Return a UTF-8 string, empty if the field is absent; ReadError if it is not UTF-8."""
        return decode_text(self.chunk(field) or b"", self.what)

    def texts(self, field: int) -> list[str]:
        """Return every occurrence of a field as a UTF-8 string."""
        return [decode_text(chunk, self.what) for chunk in self.chunks(field)]

    def message(self, field: int) -> Message | None:
        """Return an embedded message, None if it is absent."""
        chunk = self.chunk(field)
        return None if chunk is None else Message(chunk, self.what)

    def messages(self, field: int) -> Iterator[Message]:
        """Yield every occurrence of an embedded message."""
        for chunk in self.chunks(field):
            yield Message(chunk, self.what)


def decode_text(data: bytes, what: str) -> str:
    """Return UTF-8 bytes as text; ReadError if they are something else."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ReadError(f"{what} is damaged: the name {data[:80]!r} is not valid UTF-8.") from None
