"""Reads two tensors in step, block by block: whether their bytes are the same, and their numbers."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from weightaudit.catalog import Tiles
from weightaudit.digests import little_endian
from weightaudit.dtypes import components, itemsize
from weightaudit.engine.decoding import Decoder, PlainDecoder
from weightaudit.engine.plan import UNIT_BYTES
from weightaudit.engine.reading import read_pieces
from weightaudit.engine.tiles import room_for
from weightaudit.errors import ReadError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from weightaudit.catalog import Entry
    from weightaudit.checkpoint import Checkpoint
    from weightaudit.source import Files
    from weightaudit.statistics.block import Scratch
    from weightaudit.tensor import TensorInfo

BLOCK_NUMBERS = 1 << 17
"""Numbers of one block: both tensors and their difference in float64 stay in a core's cache."""

Bits = NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True, slots=True)
class Operand:
    """One of two tensors that are compared: where it is, and what makes numbers of its bytes.

    Attributes:
        label: What its model is called, for messages.
        files: Open files of its model.
        entry: How it is stored.
        decoder: What makes numbers of its bytes.
    """

    label: str
    files: Files
    entry: Entry
    decoder: Decoder

    @property
    def size(self) -> int:
        """Number of stored elements; weights of four bits are stored two in one."""
        return prod(self.entry.shape)

    @property
    def is_plain(self) -> bool:
        """Whether its numbers are the stored ones, so that a stretch of them is a stretch of bytes."""
        return isinstance(self.decoder, PlainDecoder)


@dataclass(frozen=True, slots=True)
class Part:
    """Consecutive numbers of a tensor, or bytes, and the bits of each number if they can be compared.

    Attributes:
        start: Index of the first in the flattened tensor.
        values: float32 or float64, or uint8 for bytes.
        bits: The stored bits of the same numbers as unsigned integers; None where those of two tensors
            do not mean the same.
    """

    start: int
    values: NDArray[Any]
    bits: Bits | None

    @property
    def end(self) -> int:
        """Index after the last number."""
        return self.start + self.values.size

    def between(self, start: int, end: int) -> Part:
        """Return the numbers from `start` up to `end`."""
        cut = slice(start - self.start, end - self.start)
        return Part(start, self.values[cut], None if self.bits is None else self.bits[cut])


def operands(
    models: tuple[Checkpoint, Checkpoint], labels: tuple[str, str], infos: tuple[TensorInfo, TensorInfo]
) -> tuple[Operand, Operand]:
    """Return two tensors as they are to be compared.

    Quantized tensors are compared as the weights they stand for, unless the same type is a quantized
    weight in one model and of unknown meaning in the other: then as they are stored.

    Raises:
        ReadError: What is needed to decode a quantized tensor cannot be read.
    """
    one, other = infos
    unclear = one.dtype == other.dtype and (one.quantization is None) != (other.quantization is None)
    sides: list[Operand] = []
    for model, label, info in zip(models, labels, infos, strict=True):
        entry = model.entry(info)
        try:
            decoder = PlainDecoder(info, entry) if unclear else model.decoder(info)
        except ReadError as error:
            raise ReadError(f"{label}: {error}") from error
        sides.append(Operand(label, model.files, entry, decoder))
    return sides[0], sides[1]


def stretches(one: Operand, other: Operand) -> Iterator[tuple[int, int]]:
    """Yield (first element, elements) of pieces that may be compared on their own, and merged in order.

    Where the numbers are not the stored ones, the only piece is the whole of the first tensor.
    """
    total = one.size
    whole = not (one.is_plain and other.is_plain) or any(
        isinstance(side.entry.storage, Tiles) for side in (one, other)
    )
    size = max(itemsize(one.entry.dtype), itemsize(other.entry.dtype))
    step = total if whole else UNIT_BYTES // size
    for start in range(0, total, step) if total else ():
        yield start, min(step, total - start)


def same_bits(one: Operand, other: Operand, start: int, count: int, scratch: Scratch) -> bool:
    """Say whether a stretch of two tensors of one storage type is stored with the same bits.

    Raises:
        ReadError: One of them cannot be read.
    """
    sides = (_bytes(one, start, count, scratch, "one"), _bytes(other, start, count, scratch, "other"))
    with room_for((one.files, other.files), (one.entry, other.entry)):
        return all(_equal(left.values, right.values) for left, right in _in_step(*sides))


def numbers_in_step(
    one: Operand, other: Operand, start: int, count: int, scratch: Scratch
) -> Iterator[tuple[Part, Part]]:
    """Yield the same stretches of numbers of two tensors of one decoded shape, valid until the next.

    Raises:
        ReadError: One of them cannot be read.
    """
    comparable = one.is_plain and other.is_plain and one.entry.dtype == other.entry.dtype
    there = other.size if count == one.size else count
    with room_for((one.files, other.files), (one.entry, other.entry)):
        yield from _in_step(
            _numbers(one, start, count, scratch, "one", with_bits=comparable),
            _numbers(other, start, there, scratch, "other", with_bits=comparable),
        )


def _in_step(one: Iterator[Part], other: Iterator[Part]) -> Iterator[tuple[Part, Part]]:
    """Cut two rows of parts, each without a gap, at the ends of both."""
    left, right = next(one, None), next(other, None)
    while left is not None and right is not None:
        start, end = max(left.start, right.start), min(left.end, right.end)
        if start < end:
            yield left.between(start, end), right.between(start, end)
        # A buffer is filled again when its next part is asked for, so not before this one is done with.
        done_left, done_right = left.end == end, right.end == end
        left = next(one, None) if done_left else left
        right = next(other, None) if done_right else right


def _bytes(side: Operand, start: int, count: int, scratch: Scratch, name: str) -> Iterator[Part]:
    size = itemsize(side.entry.dtype)
    for first, raw in _pieces(side, start, count, scratch, name):
        yield Part(first * size, little_endian(raw, side.entry), None)


def _numbers(
    side: Operand, start: int, count: int, scratch: Scratch, name: str, *, with_bits: bool
) -> Iterator[Part]:
    parts = components(side.entry.dtype)
    width = itemsize(side.entry.dtype) // parts
    for first, raw in _pieces(side, start, count, scratch, name):
        bits = little_endian(raw, side.entry).view(f"<u{width}") if with_bits else None
        for place, values in side.decoder.blocks(first, raw, BLOCK_NUMBERS):
            begin = place - first * parts
            yield Part(place, values, None if bits is None else bits[begin : begin + values.size])


def _pieces(
    side: Operand, start: int, count: int, scratch: Scratch, name: str
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    def take(size: int) -> NDArray[np.uint8]:
        return scratch.take(name, size, np.uint8)

    try:
        yield from read_pieces(side.files, side.entry, start, count, take)
    except ReadError as error:
        raise ReadError(f"{side.label}: {error}") from error


def _equal(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    whole = one.size // 8 * 8
    return np.array_equal(one[:whole].view(np.uint64), other[:whole].view(np.uint64)) and np.array_equal(
        one[whole:], other[whole:]
    )
