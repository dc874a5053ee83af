"""Datatypes: which of the storage types that are measured here an HDF5 type is."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import NamedTuple

from weightaudit.formats.hdf5_native.reader import UnfamiliarError

_HEAD = struct.Struct("<B3sI")
_FIXED, _FLOAT, _STRING, _OPAQUE, _ENUM, _VARIABLE = 0, 1, 3, 5, 8, 9
_NEWEST_VERSION = 3
_SIGNED, _BIG_ENDIAN = 0x08, 0x01
_INTEGER_SIZES = {1, 2, 4, 8}
_NULL_TERMINATED, _NULL_PADDED = 0, 1
_VARIABLE_STRING = 1

_PACKING = struct.Struct("<HH")
_FIELDS = struct.Struct("<4BI")
_FLOATS = {
    (31, 23, 8, 0, 23, 127): "float32",
    (63, 52, 11, 0, 52, 1023): "float64",
    (15, 10, 5, 0, 10, 15): "float16",
    (15, 7, 8, 0, 7, 127): "bfloat16",
    (7, 3, 4, 0, 3, 7): "float8_e4m3fn",
    (7, 2, 5, 0, 2, 15): "float8_e5m2",
}
"""Sign position, exponent position and size, mantissa position and size, exponent bias."""

_IMPLIED_ONE = 0x20
"""Bits of a float's class that say that the first bit of its mantissa is not stored."""


class Datatype(NamedTuple):
    """A datatype.

    Attributes:
        name: Our name of it, ``string`` or ``opaque`` where there are no numbers.
        size: Bytes of an element in the file.
        big_endian: Byte order.
        is_text: Whether it is a string.
        is_variable: Whether it is a string that lies in a global heap.
        is_opaque: Whether its elements are bytes without a meaning.
        is_native: Whether numpy has it, and stores it by the same bytes.
        is_terminated: Whether a string of fixed length ends at its first NUL.
    """

    name: str
    size: int
    big_endian: bool = False
    is_text: bool = False
    is_variable: bool = False
    is_opaque: bool = False
    is_native: bool = False
    is_terminated: bool = False


@lru_cache(maxsize=256)
def parse_datatype(body: bytes) -> Datatype:
    """Return what a datatype message says.

    Raises:
        UnfamiliarError: It is not one that is known here.
    """
    try:
        head, bits, size = _HEAD.unpack_from(body)
        version, category = head >> 4, head & 15
        if not 1 <= version <= _NEWEST_VERSION or not size:
            raise UnfamiliarError("a datatype is of an unknown version")
        return _PARSERS[category](bits, size, body[_HEAD.size :], version)
    except (KeyError, struct.error):
        raise UnfamiliarError("a datatype is of an unknown kind") from None


def _fixed(bits: bytes, size: int, rest: bytes, _version: int) -> Datatype:
    if size not in _INTEGER_SIZES or bits[0] & ~(_SIGNED | _BIG_ENDIAN) or bits[1:] != b"\0\0":
        raise UnfamiliarError("an integer type has an unknown form")
    _check_packing(rest, size)
    sign = "int" if bits[0] & _SIGNED else "uint"
    return Datatype(f"{sign}{8 * size}", size, size > 1 and bool(bits[0] & _BIG_ENDIAN), is_native=True)


def _float(bits: bytes, size: int, rest: bytes, _version: int) -> Datatype:
    _check_packing(rest, size)
    exponent, exponent_size, mantissa, mantissa_size, bias = _FIELDS.unpack_from(rest, _PACKING.size)
    name = _FLOATS.get((bits[1], exponent, exponent_size, mantissa, mantissa_size, bias))
    if name is None or bits[0] & ~_BIG_ENDIAN != _IMPLIED_ONE or bits[2] or size != (bits[1] + 1) // 8:
        raise UnfamiliarError("a floating point type has an unknown form")
    big_endian = size > 1 and bool(bits[0] & _BIG_ENDIAN)
    return Datatype(name, size, big_endian, is_native=name in {"float16", "float32", "float64"})


def _string(bits: bytes, size: int, _rest: bytes, _version: int) -> Datatype:
    padding = bits[0] & 15
    if padding not in {_NULL_TERMINATED, _NULL_PADDED} or bits[0] >> 4 > 1 or bits[1:] != b"\0\0":
        raise UnfamiliarError("a string type has an unknown form")
    return Datatype("string", size, is_text=True, is_terminated=padding == _NULL_TERMINATED)


def _opaque(bits: bytes, size: int, rest: bytes, _version: int) -> Datatype:
    if bits[1:] != b"\0\0" or len(rest) < bits[0]:
        raise UnfamiliarError("an opaque type has an unknown form")
    return Datatype("opaque", size, is_opaque=True)


def _enum(bits: bytes, size: int, rest: bytes, version: int) -> Datatype:
    """Know booleans as h5py writes them; other enumerations are rare."""
    base = _integer(rest)
    rest = rest[_HEAD.size + _PACKING.size :]
    names = b"FALSE\0TRUE\0" if version == _NEWEST_VERSION else b"FALSE\0\0\0TRUE\0\0\0\0"
    is_bool = bits == b"\2\0\0" and rest.startswith(names + b"\0\1")
    if not is_bool or size != 1 or base.name not in {"int8", "uint8"}:
        raise UnfamiliarError("an enumeration is not h5py's boolean")
    return Datatype("bool", size, is_native=True)


def _variable(bits: bytes, size: int, rest: bytes, _version: int) -> Datatype:
    if bits[0] & 15 != _VARIABLE_STRING or bits[0] >> 4 > _NULL_PADDED or bits[1] > 1 or bits[2]:
        raise UnfamiliarError("a type of variable length is not a string")
    if size != 16 or _integer(rest).size != 1:
        raise UnfamiliarError("a string of variable length has an unknown form")
    return Datatype("string", size, is_text=True, is_variable=True)


def _integer(body: bytes) -> Datatype:
    """Return the whole number that another type is made of."""
    head, bits, size = _HEAD.unpack_from(body)
    if head & 15 != _FIXED or head >> 4 > _NEWEST_VERSION:
        raise UnfamiliarError("a type is made of another than whole numbers")
    return _fixed(bits, size, body[_HEAD.size :], head >> 4)


def _check_packing(rest: bytes, size: int) -> None:
    if _PACKING.unpack_from(rest) != (0, 8 * size):
        raise UnfamiliarError("a number type does not use all of its bits")


_PARSERS = {
    _FIXED: _fixed,
    _FLOAT: _float,
    _STRING: _string,
    _OPAQUE: _opaque,
    _ENUM: _enum,
    _VARIABLE: _variable,
}
