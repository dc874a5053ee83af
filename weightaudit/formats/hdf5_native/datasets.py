"""Datasets: what one is, and where its values are."""

from __future__ import annotations

import struct
from base64 import b64encode
from typing import TYPE_CHECKING, Any

from weightaudit.formats.hdf5_native.chunks import read_chunks
from weightaudit.formats.hdf5_native.headers import FILL, FILTERS, LAYOUT, OLD_FILL, SPACE
from weightaudit.formats.hdf5_native.messages import parse_fill, parse_filters, parse_old_fill, parse_space
from weightaudit.formats.hdf5_native.reader import UNDEFINED, UnfamiliarError

if TYPE_CHECKING:
    from weightaudit.formats.hdf5_native.datatypes import Datatype
    from weightaudit.formats.hdf5_native.reader import Reader
    from weightaudit.formats.hdf5_native.superblock import Superblock

_VERSION = 3
_COMPACT, _CONTIGUOUS, _CHUNKED = 0, 1, 2
_PLACE = struct.Struct("<QQ")
_CHUNKS_AT = 3
VALUES_AT = 4
"""Where the values begin in the layout message of a compact dataset."""
_LARGEST_ELEMENT = 16
"""Bytes of the largest number; the fill value of what is larger is not told."""


def storage(
    reader: Reader, superblock: Superblock, messages: dict[int, bytes], kind: Datatype, most: int
) -> dict[str, Any]:
    """Return the shape of a dataset, and where its values are, as the other process tells it.

    Args:
        reader: The data.
        superblock: Its superblock.
        messages: The messages of the dataset.
        kind: Its type.
        most: Chunks that it may have; where there are more, one more is told.

    Raises:
        DamagedError: It contradicts itself.
        UnfamiliarError: It is stored in a way that is not known here.
    """
    space = parse_space(messages[SPACE])
    fill = _fill(messages, kind)
    if space.shape is None:
        return {"shape": [0], "fill": ""}
    body = messages[LAYOUT]
    told: dict[str, Any] = {"shape": space.shape}
    nbytes = space.elements * kind.size
    if len(body) < VALUES_AT or body[0] != _VERSION or (body[1] != _CHUNKED and FILTERS in messages):
        raise UnfamiliarError("a dataset has a layout of an unknown version")
    if body[1] == _CONTIGUOUS and len(body) >= 2 + _PLACE.size:
        address, stored = _PLACE.unpack_from(body, 2)
        if stored != nbytes:
            raise UnfamiliarError("a dataset has another size than its values")
        if address == UNDEFINED or not nbytes:
            return told | {"fill": _told(fill, kind)}
        if address + stored > reader.size:
            raise UnfamiliarError("a dataset is not all inside the data")
        return told | {"offset": superblock.start + address, "nbytes": stored}
    if body[1] == _COMPACT:
        values = parse_compact(body)
        if len(values) != nbytes or not (kind.is_native or kind.is_opaque):
            raise UnfamiliarError("a compact dataset has another size than its values, or unknown ones")
        return told | {"inline": b64encode(values).decode()}
    root, box = parse_chunked(body)
    if box != (*box[: len(space.shape)], kind.size):
        raise UnfamiliarError("a dataset and its chunks have different axes or elements")
    chunks = read_chunks(reader, superblock, root, box, most)
    how = {"chunk": box[:-1], "filters": _filters(messages, kind), "fill": _told(fill, kind)}
    return told | how | {"chunks": chunks}


def parse_chunked(body: bytes) -> tuple[int, tuple[int, ...]]:
    """Return where the index of chunks begins, and the shape of a chunk: the last length is an element's.

    Args:
        body: The layout message of a chunked dataset.

    Raises:
        UnfamiliarError: It is not one, or of another version.
    """
    rank = body[2] if len(body) > 2 else 0
    if body[:2] != bytes([_VERSION, _CHUNKED]) or rank < 2 or len(body) < _CHUNKS_AT + 8 + 4 * rank:
        raise UnfamiliarError("its layout is not that of chunks")
    root, *box = struct.unpack_from(f"<Q{rank}I", body, _CHUNKS_AT)
    if not all(box):
        raise UnfamiliarError("its chunks have no elements")
    return root, tuple(box)


def parse_compact(body: bytes) -> bytes:
    """Return the values in the layout message of a compact dataset.

    Raises:
        UnfamiliarError: It is not one, or of another version.
    """
    end = VALUES_AT + int.from_bytes(body[2:VALUES_AT], "little")
    if body[:2] != bytes([_VERSION, _COMPACT]) or end > len(body):
        raise UnfamiliarError("its layout is not that of values beside it")
    return body[VALUES_AT:end]


def _filters(messages: dict[int, bytes], kind: Datatype) -> list[str]:
    """Return the names of the filters of a dataset."""
    if FILTERS not in messages:
        return []
    filters = parse_filters(messages[FILTERS])
    # Whoever takes the stored number would get other values than we do, who take the element.
    if any(one.name == "shuffle" and one.values != (kind.size,) for one in filters):
        raise UnfamiliarError("a dataset is shuffled in other pieces than its elements")
    return [one.name for one in filters]


def _fill(messages: dict[int, bytes], kind: Datatype) -> bytes | None:
    """Return the bytes of an element that was never written: empty for zeros, None if undefined."""
    value = parse_fill(messages[FILL]) if FILL in messages else b""
    if OLD_FILL in messages:
        old = parse_old_fill(messages[OLD_FILL])
        value = value or old
    if value and len(value) != kind.size:
        raise UnfamiliarError("a fill value has another size than an element")
    return value


def _told(fill: bytes | None, kind: Datatype) -> str:
    """Return a fill value in Base64; nothing for what is no number."""
    if fill is None or kind.size > _LARGEST_ELEMENT or kind.is_variable:
        return ""
    if not (kind.is_native or kind.is_opaque):
        raise UnfamiliarError("a dataset that was not written has a type that numpy does not have")
    return b64encode(fill or bytes(kind.size)).decode()
