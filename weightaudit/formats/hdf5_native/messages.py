"""Messages that describe a dataset: its shape, type, fill value and filters.

Models repeat a few of them in all their tensors, so what was parsed last is kept, by its bytes.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from math import prod
from typing import NamedTuple

from weightaudit.formats.hdf5_native.reader import UnfamiliarError

_SIZE_OF_DIMENSION = 8
_LARGEST_RANK = 32
_LARGEST_EXTENT = 1 << 63
_SCALAR, _SIMPLE, _NULL = 0, 1, 2

_FILL_UNDEFINED, _FILL_VALUE = 0x10, 0x20

FILTERS = {1: "deflate", 2: "shuffle", 3: "fletcher32"}
"""Filters that are undone here, by their number in HDF5."""

_FILTER = struct.Struct("<HHHH")


class Space(NamedTuple):
    """A dataspace.

    Attributes:
        shape: Lengths of its axes, or None if there is nothing, not even an empty array.
        elements: Number of elements.
    """

    shape: tuple[int, ...] | None
    elements: int


@lru_cache(maxsize=256)
def parse_space(body: bytes) -> Space:
    """Return what a dataspace message says.

    Raises:
        UnfamiliarError: It is not one that is known here.
    """
    try:
        version, rank, flags, kind = body[:4]
        start = {1: 8, 2: 4}[version]
    except (ValueError, KeyError):
        raise UnfamiliarError("a dataspace is of an unknown version") from None
    if version == 1:
        kind = _SIMPLE if rank else _SCALAR
    fields = rank * (2 if flags & 1 else 1)
    end = start + fields * _SIZE_OF_DIMENSION
    if rank > _LARGEST_RANK or flags & ~1 or kind > _NULL or (rank and kind != _SIMPLE) or len(body) < end:
        raise UnfamiliarError("a dataspace has an unknown form")
    lengths = struct.unpack_from(f"<{fields}Q", body, start)
    shape, largest = lengths[:rank], lengths[rank:]
    if any(length > most for length, most in zip(shape, largest, strict=False)):
        raise UnfamiliarError("a dataspace is larger than it may become")
    # An axis of length 0 must not hide others that libhdf5 cannot multiply.
    if prod(length or 1 for length in shape) >= _LARGEST_EXTENT:
        raise UnfamiliarError("a dataspace has more elements than can be counted")
    return Space(None, 0) if kind == _NULL else Space(shape, prod(shape))


@lru_cache(maxsize=256)
def parse_fill(body: bytes) -> bytes | None:
    """Return the fill value of a message: empty if there is none of its own, None if it is undefined.

    Raises:
        UnfamiliarError: It is not one that is known here.
    """
    version, flags, _, is_defined = body[:4].ljust(4, b"\xff")
    if version == 2 and is_defined <= 1:
        return _sized(body, 4) if is_defined else None
    if version == 3:
        if flags & _FILL_UNDEFINED:
            return None
        return _sized(body, 2) if flags & _FILL_VALUE else b""
    raise UnfamiliarError("a fill value is of an unknown version")


@lru_cache(maxsize=256)
def parse_old_fill(body: bytes) -> bytes | None:
    """Return the fill value of a message of the old type: None if it is undefined.

    Raises:
        UnfamiliarError: It reaches beyond its message.
    """
    return _sized(body, 0) or None


def _sized(body: bytes, start: int) -> bytes:
    """Return the bytes at a place of a message that are preceded by their number."""
    value = start + 4
    end = value + int.from_bytes(body[start:value], "little")
    if not value <= end <= len(body):
        raise UnfamiliarError("a fill value reaches beyond its message")
    return body[value:end]


class Filter(NamedTuple):
    """A step of the packing of chunks: its name, and the numbers that it is given."""

    name: str
    values: tuple[int, ...]


@lru_cache(maxsize=256)
def parse_filters(body: bytes) -> tuple[Filter, ...]:
    """Return the steps of a filter pipeline, in the order in which they were applied.

    Raises:
        UnfamiliarError: A filter is not undone here, or is there twice.
    """
    version, count = body[:2].ljust(2, b"\xff")
    if version != 1:
        raise UnfamiliarError("a filter pipeline is of an unknown version")
    place = 8
    filters: list[Filter] = []
    for _ in range(count):
        if place + _FILTER.size > len(body):
            raise UnfamiliarError("a filter pipeline reaches beyond its message")
        code, name_length, _, values = _FILTER.unpack_from(body, place)
        place += _FILTER.size + (name_length + 7 & ~7)
        # An odd number of values is padded.
        end = place + 4 * (values + values % 2)
        if code not in FILTERS or end > len(body):
            raise UnfamiliarError(f"HDF5 filter {code} is not undone here")
        filters.append(Filter(FILTERS[code], struct.unpack_from(f"<{values}I", body, place)))
        place = end
    if len({one.name for one in filters}) != len(filters):
        raise UnfamiliarError("a filter is applied twice")
    return tuple(filters)
