"""From the integers of a quantized Keras layer to the weights that the layer computes with.

Conventions after Keras 3.15 (``quantizers.abs_max_quantize``, ``dequantize_with_sz_map``,
``unpack_int4``): int8 and per-channel int4 store a scale to divide by; grouped int4 stores a
scale to multiply with and a zero point to subtract first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from weightaudit.dtypes import decode
from weightaudit.errors import ReadError
from weightaudit.tensor import Quantization, Role, TensorInfo

if TYPE_CHECKING:
    from weightaudit.catalog import Entry

Sibling = Callable[[str], NDArray[Any]]
"""Reads another tensor of the same checkpoint by its key."""


class Int8Decoder:
    """Weights stored as one signed byte each, divided by the scale of their channel."""

    summed = ""

    def __init__(self, info: TensorInfo, entry: Entry, quantization: Quantization, sibling: Sibling) -> None:
        self.info = info
        self._dtype = entry.dtype
        scale = sibling(quantization.scale)
        channels = tuple(info.shape[axis] for axis in info.output_axes)
        if scale.size != prod(channels) and scale.size != 1:
            raise ReadError(
                f"the quantization scale of shape {scale.shape} does not fit the shape {info.shape}"
            )
        shape = [n if axis in info.output_axes else 1 for axis, n in enumerate(info.shape)]
        self._scale = np.broadcast_to(scale.reshape(shape if scale.size > 1 else -1), info.shape)

    def blocks(self, first: int, raw: NDArray[np.uint8], elements: int) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield (index of the first weight, float32 weights)."""
        for place in range(0, raw.size, elements):
            stored = decode(raw[place : place + elements], self._dtype)
            start = first + place
            yield start, stored / self._scale.flat[start : start + stored.size]


class Int4Decoder:
    """Weights stored two in a byte along the last axis, the first of them in the low nibble."""

    summed = ""

    def __init__(self, info: TensorInfo, quantization: Quantization, sibling: Sibling) -> None:
        rows, packed = info.shape
        self._packed = packed
        self._by_row = info.role is Role.EMBEDDING
        self._scale = sibling(quantization.scale)
        self._zero = sibling(quantization.zero) if quantization.zero else None
        self._group = sibling(quantization.group).astype(np.intp) if quantization.group else None
        self._columns = self._count_columns(rows)
        self.info = dataclasses.replace(info, shape=(rows, self._columns))

    def _count_columns(self, rows: int) -> int:
        """Return the width of the unpacked matrix: an odd one is padded by a nibble."""
        grouped = self._group is not None and self._zero is not None
        if self._by_row:
            width = self._group.size if self._group is not None else 2 * self._packed
            fits = self._scale.shape[:1] == (rows,)
        else:
            width = self._scale.shape[-1] if self._scale.ndim else 0
            fits = not grouped or (self._group is not None and self._group.size == rows)
        if not fits or (width + 1) // 2 != self._packed or self._scale.ndim != (2 if grouped else 1):
            raise ReadError(
                f"the quantization scale of shape {self._scale.shape} does not fit the packed kernel"
            )
        if self._group is not None and grouped:
            groups = self._scale.shape[1 if self._by_row else 0]
            if self._group.size and not 0 <= self._group.min() <= self._group.max() < groups:
                raise ReadError("the quantization groups point outside the scale")
        return width

    def blocks(self, first: int, raw: NDArray[np.uint8], elements: int) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield (index of the first weight, float32 weights)."""
        step = max(1, elements // 2)
        for place in range(0, raw.size, step):
            piece = raw[place : place + step]
            nibbles = np.empty(2 * piece.size, np.int8)
            nibbles[0::2] = (piece << 4).view(np.int8) >> 4
            nibbles[1::2] = piece.view(np.int8) >> 4
            row, column = np.divmod(
                np.arange(2 * (first + place), 2 * (first + place + piece.size)), 2 * self._packed
            )
            real = column < self._columns
            row, column = row[real], column[real]
            if row.size:
                yield int(row[0]) * self._columns + int(column[0]), self._weights(nibbles[real], row, column)

    def _weights(
        self, stored: NDArray[np.int8], row: NDArray[Any], column: NDArray[Any]
    ) -> NDArray[np.float32]:
        values = stored.astype(np.float32)
        if self._group is None or self._zero is None:
            scale: NDArray[np.float32] = self._scale[row if self._by_row else column]
            return values / scale
        place = (row, self._group[column]) if self._by_row else (self._group[row], column)
        zero: NDArray[np.float32] = self._zero[place]
        step: NDArray[np.float32] = self._scale[place]
        return (values - zero) * step
