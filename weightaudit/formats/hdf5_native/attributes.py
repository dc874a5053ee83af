"""Attributes: their values where they are text or whole numbers."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from weightaudit.formats.hdf5_native.datatypes import Datatype, parse_datatype
from weightaudit.formats.hdf5_native.messages import Space, parse_space
from weightaudit.formats.hdf5_native.reader import DamagedError, UnfamiliarError

if TYPE_CHECKING:
    from weightaudit.formats.hdf5_native.heaps import GlobalHeaps

_HEAD = struct.Struct("<BBHHH")
_PADDED, _LATEST = 1, 3
_REFERENCE = struct.Struct("<IQI")

Value = str | int | None | list[str | int | None]
"""What an attribute holds, None for what is neither text nor a whole number."""


class Attribute(NamedTuple):
    """An attribute as it is stored.

    Attributes:
        kind: Its type.
        space: Its shape.
        data: Bytes of its value.
    """

    kind: Datatype
    space: Space
    data: bytes


def parse_attribute(body: bytes) -> tuple[str, Attribute]:
    """Return the name of an attribute message, and the attribute.

    Raises:
        DamagedError: It contradicts itself.
        UnfamiliarError: It is of another version or type, or shares its type with other objects.
    """
    if len(body) < _HEAD.size:
        raise DamagedError("an attribute is cut short")
    version, flags, name_size, type_size, space_size = _HEAD.unpack_from(body)
    if not _PADDED <= version <= _LATEST or (flags and version > _PADDED):
        raise UnfamiliarError("an attribute is of an unknown version, or has a shared type")
    start = _HEAD.size + (version == _LATEST)
    name = body[start : start + name_size]
    if version == _PADDED:
        name_size, type_size, space_size = name_size + 7 & ~7, type_size + 7 & ~7, space_size + 7 & ~7
    type_at = start + name_size
    space_at = type_at + type_size
    data_at = space_at + space_size
    if not name or name.find(b"\0") != len(name) - 1:
        raise DamagedError("an attribute has a name without an end")
    kind, space = parse_datatype(body[type_at:space_at]), parse_space(body[space_at:data_at])
    end = data_at + space.elements * kind.size
    if end > len(body):
        raise DamagedError("the value of an attribute reaches beyond its message")
    return _text(name[:-1]), Attribute(kind, space, body[data_at:end])


def read_value(attribute: Attribute, heaps: GlobalHeaps) -> Value:
    """Return the value of an attribute, as the process that lists HDF5 files gives it.

    Raises:
        DamagedError: It is not where it should be.
        UnfamiliarError: There is none.
    """
    kind, space, data = attribute
    heaps.count(len(data))
    if space.shape is None:
        raise UnfamiliarError("an attribute has no value")
    if not kind.is_text and kind.name[:3] not in {"int", "uin"}:
        return None
    pieces = [data[place : place + kind.size] for place in range(0, len(data), kind.size)]
    if space.shape:
        return [_item(kind, piece, heaps) for piece in pieces]
    # numpy's scalar of whole numbers is no Python integer, so the other process tells only text.
    return _item(kind, pieces[0], heaps) if kind.is_text else None


def _item(kind: Datatype, piece: bytes, heaps: GlobalHeaps) -> str | int | None:
    """Return one value of a type from its bytes."""
    if kind.is_variable:
        return _text(heaps.text(*_REFERENCE.unpack(piece)))
    if kind.is_text:
        return _text(piece.partition(b"\0")[0] if kind.is_terminated else piece.rstrip(b"\0"))
    return int.from_bytes(piece, "big" if kind.big_endian else "little", signed=kind.name[0] == "i")


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
