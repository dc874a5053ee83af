"""The wire-format decoder: right on what TensorFlow writes, strict on everything else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.formats.tensorflow_files import chunk, number, varint
from weightaudit.errors import ReadError
from weightaudit.formats.graph_nodes import Ahead
from weightaudit.formats.protobuf import (
    CHUNK,
    MalformedError,
    Message,
    read_fields,
    read_once,
    read_varint,
    signed,
)
from weightaudit.limits import DEFAULT_LIMITS
from weightaudit.source import LocalFile


@given(st.integers(min_value=-(1 << 63), max_value=(1 << 63) - 1))
def test_numbers_survive(value: int) -> None:
    """Every 64-bit number comes back from its encoding, negative ones too."""
    data = varint(value)
    decoded, position = read_varint(data, 0)
    assert (signed(decoded), position) == (value, len(data))


def test_a_message_gives_its_fields() -> None:
    """Numbers, text and repeated messages are found under their field numbers."""
    message = Message(number(1, -4) + chunk(2, b"name") + chunk(3, number(1, 7)) + chunk(3, b""), "file")
    assert message.integer(1) == -4
    assert message.integer(9, default=5) == 5
    assert message.text(2) == "name"
    assert [part.integer(1) for part in message.messages(3)] == [7, 0]
    assert message.message(8) is None


@pytest.mark.parametrize(
    "data",
    [
        b"\x08",
        b"\x08\xff",
        b"\x0a\x05abcd",
        b"\x0b",
        b"\x0c",
        b"\x0e\x00",
        b"\x00\x01",
        b"\x0d\x00\x00",
        b"\x09\x00",
        b"\x08" + b"\xff" * 9 + b"\x02",
        b"\x08" + b"\xff" * 11,
        b"\x0a" + varint(-5),
        varint(1 << 35) + b"\x00",
    ],
)
def test_malformed_messages_are_refused(data: bytes) -> None:
    """Cut-off fields, groups, field number 0 and numbers beyond 64 bits are errors that name the file."""
    with pytest.raises(ReadError, match=r"^the file is damaged"):
        list(read_fields(data, "the file"))
    with pytest.raises(ReadError, match=r"^the file is damaged"):
        read_once(data, "the file")


@given(st.binary(max_size=60))
def test_no_bytes_crash_the_decoder(data: bytes) -> None:
    """Any bytes are either a message or a ReadError."""
    try:
        fields = list(read_fields(data, "file"))
    except ReadError:
        return
    assert bool(fields) == bool(data)


_FIELDS = st.builds(number, st.integers(1, 40), st.integers(0, 1 << 40)) | st.builds(
    chunk, st.integers(1, 40), st.binary(max_size=200)
)


@given(st.lists(_FIELDS, max_size=6).map(b"".join) | st.binary(max_size=60))
def test_small_messages_give_the_same_fields_at_once(data: bytes) -> None:
    """Both decoders tell the same of any bytes, except that one of them refuses repeated fields."""
    try:
        listed = [
            (tag, value if tag & 7 == CHUNK else held) for tag, held, value in read_fields(data, "file")
        ]
    except ReadError:
        listed = []
        refused = bool(data)
    else:
        refused = len(dict(listed)) < len(listed)
    if refused:
        with pytest.raises(ReadError, match=r"^file is damaged"):
            read_once(data, "file")
    else:
        assert list(read_once(data, "file").items()) == listed


def test_some_fields_of_a_small_message_may_be_repeated() -> None:
    """A field that is named gives a list of all its chunks, and every other must be there once."""
    data = chunk(7, b"a") + number(1, 5) + chunk(7, b"")
    assert read_once(data, "file", many=(7 << 3 | CHUNK,)) == {7 << 3 | CHUNK: [b"a", b""], 1 << 3: 5}
    with pytest.raises(ReadError, match="field 7 occurs more than once"):
        read_once(data, "file")


def test_a_repeated_singular_field_is_refused() -> None:
    """A field that says two things is an error, because another reader may believe the other."""
    with pytest.raises(ReadError, match="field 1 occurs 2 times"):
        Message(number(1, 1) + number(1, 2), "file").integer(1)


def test_text_must_be_utf8() -> None:
    """A name that is not UTF-8 is refused with a clear sentence."""
    with pytest.raises(ReadError, match="not valid UTF-8"):
        Message(chunk(1, b"\xff\xfe"), "file").text(1)


def test_varints_end_within_ten_bytes() -> None:
    """A number that does not fit 64 bits is an error and is not cut off."""
    with pytest.raises(MalformedError):
        read_varint(b"\x80" * 10 + b"\x01", 0)


def test_walk_gives_the_places_of_fields(tmp_path: Path) -> None:
    """Walking a file by position finds the same fields as decoding it does."""
    data = chunk(1, b"abc") + number(2, 300) + b"\x1d\0\0\0\0" + b"\x21" + b"\0" * 8 + chunk(40, b"")
    path = tmp_path / "message"
    path.write_bytes(data)
    source = LocalFile(path)
    fields = Ahead(source, DEFAULT_LIMITS).walk(0, source.size)
    assert [(field, data[start:end]) for field, start, end in fields] == [(1, b"abc"), (40, b"")]
    source.close()


@pytest.mark.parametrize(
    "data", [b"\x0a\x7fabc", b"\x0b", b"\x08", b"\x02\x00", b"\x0a" + b"\xff" * 10, b"\x0d\0"]
)
def test_walk_refuses_malformed_messages(tmp_path: Path, data: bytes) -> None:
    """A field that leads out of the file, or is none, is an error that names the file."""
    path = tmp_path / "message"
    path.write_bytes(data)
    source = LocalFile(path)
    with pytest.raises(ReadError, match="message is damaged"):
        list(Ahead(source, DEFAULT_LIMITS).walk(0, source.size))
    source.close()
