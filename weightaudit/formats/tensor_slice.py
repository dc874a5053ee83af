"""Slices of partitioned TensorFlow variables: their messages, their keys, and whether they are complete."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from weightaudit.errors import ReadError
from weightaudit.formats.protobuf import Message

_WHOLE = -1
_MAX_SLICES = 4096
MAX_TILED_RANK = 32
"""Most dimensions of a tensor in slices; numpy has at most 64."""


@dataclass(frozen=True, slots=True)
class TensorSlice:
    """A box of a tensor, as a TensorSliceProto says it.

    Attributes:
        starts: First index along each dimension.
        lengths: Number of indices along each dimension, -1 for all of them.
    """

    starts: tuple[int, ...]
    lengths: tuple[int, ...]

    def box(self, shape: Sequence[int], what: str) -> Box:
        """Return the slice within a tensor of that shape; ReadError if it is not inside."""
        lengths = tuple(
            size if length == _WHOLE else length for size, length in zip(shape, self.lengths, strict=False)
        )
        inside = len(shape) == len(self.starts) and all(
            0 <= start <= start + length <= size
            for start, length, size in zip(self.starts, lengths, shape, strict=True)
        )
        if not inside:
            raise ReadError(f"{what} is damaged: a slice lies outside its tensor of shape {list(shape)}.")
        return Box(self.starts, lengths)

    def key(self, name: str) -> bytes:
        """Return the key under which a checkpoint stores this slice of a tensor.

        Sources: ``EncodeTensorNameSlice`` in tensorflow/core/util/saved_tensor_slice_util.cc, and for
        the code of each part, whose bytes sort like what they mean, tsl/lib/strings/ordered_code.cc.
        """
        parts = [_ordered_unsigned(0), _ordered_text(name), _ordered_unsigned(len(self.starts))]
        for start, length in zip(self.starts, self.lengths, strict=True):
            parts += [_ordered_signed(start), _ordered_signed(length)]
        return b"".join(parts)


@dataclass(frozen=True, slots=True)
class Box:
    """A box inside a tensor: index of its first element, and its shape."""

    origin: tuple[int, ...]
    shape: tuple[int, ...]


def parse_slice(data: bytes, what: str) -> TensorSlice:
    """Return an encoded TensorSliceProto; ReadError if it is malformed."""
    extents = list(Message(data, what).messages(1))
    starts = tuple(extent.integer(1) for extent in extents)
    lengths = tuple(extent.integer(2) if extent.has_integer(2) else _WHOLE for extent in extents)
    if any(start < 0 for start in starts) or any(length < _WHOLE for length in lengths):
        raise ReadError(f"{what} is damaged: a slice begins before its tensor or has a negative length.")
    return TensorSlice(starts, lengths)


def check_cover(boxes: Sequence[Box], shape: Sequence[int], what: str) -> None:
    """Raise ReadError unless boxes that lie inside a tensor cover each of its elements exactly once."""
    if len(shape) > MAX_TILED_RANK:
        raise ReadError(f"{what} is cut along {len(shape)} dimensions; the limit is {MAX_TILED_RANK}.")
    filled = [box for box in boxes if prod(box.shape)]
    if len(filled) > _MAX_SLICES:
        raise ReadError(f"{what} has {len(filled)} slices; the limit is {_MAX_SLICES}.")
    # Boxes that do not overlap and have the tensor's volume in all leave no hole.
    if sum(prod(box.shape) for box in filled) != prod(shape):
        raise ReadError(
            f"{what} is damaged: its slices do not cover the tensor of shape {list(shape)} exactly once."
        )
    starts = np.array([box.origin for box in filled], dtype=np.int64).reshape(len(filled), len(shape))
    ends = starts + np.array([box.shape for box in filled], dtype=np.int64).reshape(starts.shape)
    for i in range(1, len(filled)):
        meets = (starts[:i] < ends[i]) & (starts[i] < ends[:i])
        if meets.all(axis=1).any():
            raise ReadError(f"{what} is damaged: two of its slices overlap.")


def _ordered_unsigned(value: int) -> bytes:
    size = (value.bit_length() + 7) // 8
    return bytes([size]) + value.to_bytes(size, "big")


def _ordered_text(text: str) -> bytes:
    # The code escapes 0xff too, which UTF-8 never contains.
    return text.encode().replace(b"\0", b"\0\xff") + b"\0\1"


def _ordered_signed(value: int) -> bytes:
    magnitude = ~value if value < 0 else value
    size = magnitude.bit_length() // 7 + 1
    header = ((1 << size) - 1) << (7 * size)
    return ((value & ((1 << 8 * size) - 1)) ^ header).to_bytes(size, "big")
