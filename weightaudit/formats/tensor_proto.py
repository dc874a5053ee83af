"""The values of a TensorProto, as the bytes that TensorFlow would hold in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from weightaudit.errors import ReadError
from weightaudit.formats.tensorflow_types import DataType

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from weightaudit.formats.protobuf import Message

PLAIN = {
    "float32": 5,
    "float64": 6,
    "complex64": 9,
    "complex128": 12,
    "float8_e5m2": 18,
    "float8_e4m3fn": 18,
    "float8_e4m3fnuz": 18,
    "float8_e4m3b11fnuz": 18,
    "float8_e5m2fnuz": 18,
    "float4_e2m1fn": 18,
}
"""Types whose field holds the elements as memory does, little-endian, one after another; and the field."""

# Types whose field holds varints: the field, and the numpy type of an element.
_VARINTS = {
    "int8": (7, "<i1"),
    "qint8": (7, "<i1"),
    "uint8": (7, "<u1"),
    "quint8": (7, "<u1"),
    "int16": (7, "<i2"),
    "qint16": (7, "<i2"),
    "uint16": (7, "<u2"),
    "quint16": (7, "<u2"),
    "int32": (7, "<i4"),
    "qint32": (7, "<i4"),
    "int64": (10, "<i8"),
    "bool": (11, "<u1"),
    "float16": (13, "<u2"),
    "int4": (7, "<i1"),
    "uint4": (7, "<u1"),
    "int2": (7, "<i1"),
    "uint2": (7, "<u1"),
}
LISTS = {**PLAIN, **{name: field for name, (field, _) in _VARINTS.items()}}
"""The field of a TensorProto that lists the elements, by their type."""

_STRINGS = 8
_LONGEST_VARINT = 10


def encode_values(tensor: Message, dtype: DataType) -> bytes:
    """Return the elements of a TensorProto that lists each of them, little-endian.

    Source of the fields: tensorflow/core/framework/tensor.proto. The strings of a string tensor are
    joined.

    Raises:
        ReadError: The type is one that a TensorProto does not list, or the values are malformed.
    """
    if dtype.name == "string":
        return b"".join(tensor.chunks(_STRINGS))
    if dtype.name in PLAIN:
        return b"".join(tensor.chunks(PLAIN[dtype.name]))
    if dtype.name not in _VARINTS:
        raise ReadError(
            f"{tensor.what} stores {dtype.name} values, which a checkpoint of this kind cannot hold."
        )
    field, letter = _VARINTS[dtype.name]
    numbers = _varints(b"".join(tensor.chunks(field)), tensor.what)
    values = numbers.astype(letter)
    # Negative numbers are stored with their sign extended to 64 bits.
    if (values.astype(np.uint64) != numbers).any():
        raise ReadError(f"{tensor.what} is damaged: a number does not fit {dtype.name}.")
    return values.tobytes()


def _varints(data: bytes, what: str) -> NDArray[np.uint64]:
    """Decode numbers of one to ten bytes that follow each other."""
    raw = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(raw < 128) + 1
    starts = np.concatenate([[0], ends[:-1]]) if len(ends) else ends
    lengths = ends - starts
    if (ends[-1] if len(ends) else 0) != len(raw) or (lengths > _LONGEST_VARINT).any():
        raise ReadError(f"{what} is damaged: its values are not whole numbers.")
    values = np.zeros(len(ends), np.uint64)
    for place in range(int(lengths.max(initial=0))):
        here = np.flatnonzero(lengths > place)
        values[here] |= (raw[starts[here] + place] & 127).astype(np.uint64) << np.uint64(7 * place)
    return values
