"""From the integers of a quantized Keras layer to the weights that the layer computes with.

Conventions after Keras 3.11 to 3.15 (``quantizers.abs_max_quantize``, ``dequantize_with_sz_map``,
``unpack_int4``, and ``_gptq_call`` and ``_awq_call`` of the layers): int8 and per-channel int4 store a
scale to divide by; all others store a scale to multiply with and a zero point to subtract first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from math import prod
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from weightaudit.dtypes import decode
from weightaudit.errors import ReadError
from weightaudit.tensor import Quantization, Role, TensorInfo

if TYPE_CHECKING:
    from weightaudit.catalog import Entry
    from weightaudit.engine.decoding import Decoder

Sibling = Callable[[str], NDArray[Any]]
"""Reads another tensor of the same checkpoint by its key."""


def quantized_decoder(
    info: TensorInfo, entry: Entry, quantization: Quantization, sibling: Sibling
) -> Decoder:
    """Return the decoder of a quantized tensor.

    Args:
        info: What the tensor is.
        entry: How it is stored.
        quantization: How it is quantized.
        sibling: Reads another tensor of the same checkpoint by its key.

    Raises:
        ReadError: What decodes it cannot be read, or does not fit its shape.
    """
    if quantization.mode == "int8":
        return Int8Decoder(info, entry, quantization, sibling)
    if quantization.packed_axis == 0:
        return RowsDecoder(info, quantization, sibling)
    if len(info.shape) != 2:
        raise ReadError(f"its quantization ({quantization.mode}) does not fit the shape {info.shape}")
    return Int4Decoder(info, quantization, sibling)


class Int8Decoder:
    """Weights stored as one signed byte each, divided by the scale of their channel."""

    summed = ""

    def __init__(self, info: TensorInfo, entry: Entry, quantization: Quantization, sibling: Sibling) -> None:
        self.info = info
        self._dtype = entry.dtype
        self._scale = _spread(sibling(quantization.scale), info)

    def blocks(self, first: int, raw: NDArray[np.uint8], elements: int) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield (index of the first weight, float32 weights)."""
        for place in range(0, raw.size, elements):
            stored = decode(raw[place : place + elements], self._dtype)
            start = first + place
            yield start, stored / self._scale.flat[start : start + stored.size]


def _spread(scale: NDArray[Any], info: TensorInfo) -> NDArray[Any]:
    """Return a scale for each element: by the axes of outputs, or by its shape where these are unknown."""
    shape = [n if axis in info.output_axes else 1 for axis, n in enumerate(info.shape)]
    if scale.size not in {1, prod(shape)}:
        # Keras keeps the axes that an EinsumDense sums over, with a length of 1.
        shape = [1] * len(info.shape) + list(scale.shape)
        shape, before = shape[len(shape) - len(info.shape) :], shape[: len(shape) - len(info.shape)]
        if prod(before) != 1 or any(n not in {1, size} for n, size in zip(shape, info.shape, strict=True)):
            raise _misfit(scale, info)
    return np.broadcast_to(scale.reshape(() if scale.size == 1 else shape), info.shape)


class Int4Decoder:
    """Weights stored two in a byte along the last axis, the first of them in the low nibble."""

    summed = ""

    def __init__(self, info: TensorInfo, quantization: Quantization, sibling: Sibling) -> None:
        self._packed = info.shape[1]
        self._by_row = info.role is Role.EMBEDDING
        self._zero: NDArray[Any] | None = None
        self._group: NDArray[np.intp] | None = None
        if quantization.zero is None or quantization.group is None:
            self._scale = sibling(quantization.scale)
        else:
            found = _groups(info, quantization, sibling, axis=1 if self._by_row else 0)
            self._scale, self._zero, self._group = found
        self._columns = self._count_columns(info)
        self.info = dataclasses.replace(info, shape=(info.shape[0], self._columns))

    def _count_columns(self, info: TensorInfo) -> int:
        """Return the width of the unpacked matrix: an odd one is padded by a nibble."""
        scale, group = self._scale, self._group
        if self._by_row:
            width = 2 * self._packed if group is None else group.size
            fits = scale.shape[:1] == info.shape[:1]
        else:
            width = scale.shape[-1] if scale.ndim else 0
            fits = group is None or group.size == info.shape[0]
        if not fits or (width + 1) // 2 != self._packed or scale.ndim != (1 if group is None else 2):
            raise _misfit(scale, info)
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


class RowsDecoder:
    """Weights stored two in a byte along the first axis, the first of them in the low nibble, or one in each.

    So are kernels of GPTQ and AWQ, output layers of ReversibleEmbedding in int4, and all int4 kernels of
    Keras before 3.14. Blocks are in the order of the tensor, but for rows that a read cuts into two.
    """

    summed = ""

    def __init__(self, info: TensorInfo, quantization: Quantization, sibling: Sibling) -> None:
        if len(info.shape) < 2:
            raise ReadError(f"its quantization ({quantization.mode}) does not fit the shape {info.shape}")
        self._columns = prod(info.shape[1:])
        self._is_signed = info.dtype == "int8"
        if quantization.mode == "int4" and quantization.zero is None:
            self._steps: _Steps = _ByChannel(info, sibling(quantization.scale))
        elif quantization.mode == "int4":
            self._steps = _ByRowGroup(info, quantization, sibling)
        else:
            self._steps = _ByColumnGroup(info, quantization, sibling)
        self._rows = self._steps.rows
        self._in_a_byte = 1 if self._rows == info.shape[0] else 2
        self.info = dataclasses.replace(info, shape=(self._rows, *info.shape[1:]))

    def blocks(self, first: int, raw: NDArray[np.uint8], elements: int) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield (index of the first weight, float32 weights)."""
        place = 0
        while place < raw.size:
            row, column = divmod(first + place, self._columns)
            whole = min((raw.size - place) // self._columns, elements // (self._columns * self._in_a_byte))
            if column or not whole:
                width = min(self._columns - column, raw.size - place, elements)
                yield from self._part(row, column, raw[place : place + width])
                place += width
                continue
            size = whole * self._columns
            halves = self._halves(raw[place : place + size].reshape(whole, 1, -1))
            start = row * self._in_a_byte
            values = np.concatenate(halves, axis=1).reshape(-1, self._columns)[: self._rows - start]
            yield start * self._columns, self._steps.weights(values, start, 0).reshape(-1)
            place += size

    def _part(self, row: int, column: int, raw: NDArray[np.uint8]) -> Iterator[tuple[int, NDArray[Any]]]:
        """Decode a part of a stored row: one of each row that it holds."""
        for half, stored in enumerate(self._halves(raw)):
            target = row * self._in_a_byte + half
            if target < self._rows:
                weights = self._steps.weights(stored.reshape(1, -1), target, column)
                yield target * self._columns + column, weights.reshape(-1)

    def _halves(self, raw: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """Return what the low nibbles hold and what the high ones hold, or whole bytes."""
        if self._in_a_byte == 1:
            return [raw.astype(np.float32)]
        if self._is_signed:
            parts: list[NDArray[Any]] = [(raw << 4).view(np.int8) >> 4, raw.view(np.int8) >> 4]
        else:
            parts = [raw & 15, raw >> 4]
        return [part.astype(np.float32) for part in parts]


class _Steps(Protocol):
    """What integers stand for, by their row and column in the unpacked matrix."""

    rows: int

    def weights(self, stored: NDArray[np.float32], row: int, column: int) -> NDArray[np.float32]:
        """Return the weights of a rectangle whose upper left corner is at a row and a column."""
        ...


class _ByChannel:
    """One scale per column to divide by; how many rows there are is not stored, so they are even."""

    def __init__(self, info: TensorInfo, scale: NDArray[Any]) -> None:
        self.rows = 2 * info.shape[0]
        inner = info.shape[1:]
        try:
            wide = np.broadcast_to(scale.reshape(scale.shape[-len(inner) :]), inner)
        except ValueError:
            raise _misfit(scale, info) from None
        self._scale: NDArray[np.float32] = wide.reshape(-1).astype(np.float32)

    def weights(self, stored: NDArray[np.float32], row: int, column: int) -> NDArray[np.float32]:
        result: NDArray[np.float32] = stored / self._scale[column : column + stored.shape[1]]
        return result


class _ByRowGroup:
    """A scale and a zero point per group of rows and column."""

    def __init__(self, info: TensorInfo, quantization: Quantization, sibling: Sibling) -> None:
        self._scale, self._zero, self._group = _groups(info, quantization, sibling, axis=0)
        self.rows = self._group.size
        if self._scale.shape[1:] != info.shape[1:] or (self.rows + 1) // 2 != info.shape[0]:
            raise _misfit(self._scale, info)

    def weights(self, stored: NDArray[np.float32], row: int, column: int) -> NDArray[np.float32]:
        group = self._group[row : row + len(stored)]
        columns = slice(column, column + stored.shape[1])
        result: NDArray[np.float32] = (stored - self._zero[group, columns]) * self._scale[group, columns]
        return result


class _ByColumnGroup:
    """A scale and a zero point per row and group of columns, and a factor per column that is taken out."""

    def __init__(self, info: TensorInfo, quantization: Quantization, sibling: Sibling) -> None:
        self._scale, self._zero, self._group = _groups(info, quantization, sibling, axis=1)
        self._factor = sibling(quantization.inputs) if quantization.inputs else None
        self.rows = len(self._scale)
        columns = {info.shape[-1:], self._group.shape}
        columns |= {self._factor.shape} if self._factor is not None else set()
        if len(columns) > 1 or info.shape[0] not in {self.rows, (self.rows + 1) // 2}:
            raise _misfit(self._scale, info)

    def weights(self, stored: NDArray[np.float32], row: int, column: int) -> NDArray[np.float32]:
        columns = slice(column, column + stored.shape[1])
        place = (slice(row, row + len(stored)), self._group[columns])
        result: NDArray[np.float32] = (stored - self._zero[place]) * self._scale[place]
        if self._factor is not None:
            result = np.divide(result, self._factor[columns], dtype=np.float32)
        return result


def _groups(
    info: TensorInfo, quantization: Quantization, sibling: Sibling, *, axis: int
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.intp]]:
    """Return scales and zero points, and which of them, along an axis, each place of a tensor has.

    Keras stores the numbers of groups as float32, not always whole, and cuts off what is behind the point.
    """
    if quantization.zero is None or quantization.group is None or len(info.shape) != 2:
        raise ReadError(f"its quantization ({quantization.mode}) lacks groups or zero points")
    scale, zero = sibling(quantization.scale), sibling(quantization.zero)
    group = sibling(quantization.group)
    if scale.ndim != 2 or zero.shape != scale.shape or group.ndim != 1:
        raise _misfit(scale, info)
    # Compared before the cast, which NaN and numbers that no integer holds would break.
    if not ((group > -1) & (group < scale.shape[axis])).all():
        raise ReadError("the quantization groups point outside the scale")
    return scale, zero, group.astype(np.intp)


def _misfit(scale: NDArray[Any], info: TensorInfo) -> ReadError:
    return ReadError(f"the quantization scale of shape {scale.shape} does not fit the shape {info.shape}")
