"""TensorFlow's numbering of data types, and its messages for shapes."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import NamedTuple

from weightaudit.errors import ReadError
from weightaudit.formats.protobuf import Message

MAX_RANK = 254
"""Most dimensions that a tensorflow::TensorShape can have; TensorFlow itself aborts above it."""

_MAX_ELEMENTS = (1 << 63) - 1


class DataType(NamedTuple):
    """A type of tensorflow/core/framework/types.proto: its name, and the bytes of one stored element.

    `itemsize` is 0 where elements have no fixed size.
    """

    name: str
    itemsize: int


DATA_TYPES = {
    1: DataType("float32", 4),
    2: DataType("float64", 8),
    3: DataType("int32", 4),
    4: DataType("uint8", 1),
    5: DataType("int16", 2),
    6: DataType("int8", 1),
    7: DataType("string", 0),
    8: DataType("complex64", 8),
    9: DataType("int64", 8),
    10: DataType("bool", 1),
    11: DataType("qint8", 1),
    12: DataType("quint8", 1),
    13: DataType("qint32", 4),
    14: DataType("bfloat16", 2),
    15: DataType("qint16", 2),
    16: DataType("quint16", 2),
    17: DataType("uint16", 2),
    18: DataType("complex128", 16),
    19: DataType("float16", 2),
    20: DataType("resource", 0),
    21: DataType("variant", 0),
    22: DataType("uint32", 4),
    23: DataType("uint64", 8),
    24: DataType("float8_e5m2", 1),
    25: DataType("float8_e4m3fn", 1),
    26: DataType("float8_e4m3fnuz", 1),
    27: DataType("float8_e4m3b11fnuz", 1),
    28: DataType("float8_e5m2fnuz", 1),
    # Types of less than a byte take a byte each in memory, and TensorFlow stores memory.
    29: DataType("int4", 1),
    30: DataType("uint4", 1),
    31: DataType("int2", 1),
    32: DataType("uint2", 1),
    33: DataType("float4_e2m1fn", 1),
}


def data_type(number: int, what: str) -> DataType:
    """Return the type with that number; ReadError if TensorFlow has none."""
    found = DATA_TYPES.get(number)
    if found is None:
        raise ReadError(f"{what} is damaged or newer than this program: there is no data type {number}.")
    return found


@lru_cache(maxsize=4096)
def parse_shape(data: bytes, what: str) -> tuple[int, ...]:
    """Return the dimensions of an encoded TensorShapeProto that is fully known.

    Raises:
        ReadError: It has an unknown rank, more than 254 dimensions, a negative one, or more
            elements than 63 bits can count.
    """
    message = Message(data, what)
    if message.integer(3):
        raise ReadError(f"{what} is damaged: a stored tensor has no known rank.")
    shape = tuple(dimension.integer(1) for dimension in message.messages(2))
    if len(shape) > MAX_RANK or any(size < 0 for size in shape):
        raise ReadError(f"{what} is damaged: a tensor has {len(shape)} dimensions or a negative one.")
    if prod(size for size in shape if size) > _MAX_ELEMENTS:
        raise ReadError(f"{what} is damaged: a tensor has more elements than can be counted.")
    return shape
