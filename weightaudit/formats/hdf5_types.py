"""Names of HDF5 types, as libhdf5 describes them.

Imported by the process that lists HDF5 files, and by nothing else; it imports nothing of weightaudit.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

h5py: Any = import_module("h5py")  # it has no types

_FLOATS = {
    (31, 23, 8, 0, 23, 127): "float32",
    (63, 52, 11, 0, 52, 1023): "float64",
    (15, 10, 5, 0, 10, 15): "float16",
    (15, 7, 8, 0, 7, 127): "bfloat16",
    (7, 3, 4, 0, 3, 7): "float8_e4m3fn",
    (7, 2, 5, 0, 2, 15): "float8_e5m2",
}
"""Sign position, exponent position and size, mantissa position and size, exponent bias."""


def name_of(kind: Any) -> tuple[str, bool]:
    """Return our name of an HDF5 type, ``opaque`` where there are no numbers, and its byte order."""
    size = kind.get_size()
    category = kind.get_class()
    if category == h5py.h5t.COMPOUND:
        return _complex(kind)
    if category == h5py.h5t.ENUM:
        members = {kind.get_member_name(i) for i in range(min(kind.get_nmembers(), 3))}
        return ("bool" if size == 1 and members == {b"FALSE", b"TRUE"} else "enum"), False
    if category not in {h5py.h5t.INTEGER, h5py.h5t.FLOAT}:
        return ("string" if category in {h5py.h5t.STRING, h5py.h5t.VLEN} else "opaque"), False
    big_endian = size > 1 and kind.get_order() == h5py.h5t.ORDER_BE
    if kind.get_precision() != 8 * size or kind.get_offset() != 0:
        return "packed number", big_endian
    if category == h5py.h5t.FLOAT:
        # Of the same fields, libhdf5 makes other numbers where the first bit of a mantissa is stored, and in
        # VAX order.
        if kind.get_norm() != h5py.h5t.NORM_IMPLIED or kind.get_order() == h5py.h5t.ORDER_VAX:
            return "unknown float", False
        return _FLOATS.get((*kind.get_fields(), kind.get_ebias()), "unknown float"), big_endian
    if size not in {1, 2, 4, 8}:
        return "wide integer", big_endian
    sign = "int" if kind.get_sign() == h5py.h5t.SGN_2 else "uint"
    return f"{sign}{8 * size}", big_endian


def _complex(kind: Any) -> tuple[str, bool]:
    if kind.get_nmembers() == 2 and {kind.get_member_name(0), kind.get_member_name(1)} == {b"r", b"i"}:
        parts = [name_of(kind.get_member_type(i)) for i in (0, 1)]
        total = sum(kind.get_member_type(i).get_size() for i in (0, 1))
        if parts[0] == parts[1] and total == kind.get_size():
            name = {"float32": "complex64", "float64": "complex128"}.get(parts[0][0], "opaque")
            return name, parts[0][1]
    return "opaque", False
