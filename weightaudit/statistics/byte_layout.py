"""Whether the bytes of a tensor make better numbers when they are read in another way."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from weightaudit.statistics.base import UNKNOWN, Unknown
from weightaudit.statistics.summary import Following

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from weightaudit.statistics.block import Block
    from weightaudit.statistics.summary import Summary
    from weightaudit.tensor import TensorInfo

HEAD = 1 << 9
"""Elements at the beginning of a tensor that are looked at."""

LEAST = 4
"""Numbers other than zero that tell something."""

MANY = 32
"""How many it takes where a number is usual by chance often."""

MOST = 0.9
"""Share of the numbers that must make sense in the other way."""

_WORDS = {"float16": "u2", "bfloat16": "u2", "float32": "u4", "float64": "u8"}
_SANE = {"float16": (2.0**-14, 8.0)}
_USUAL = (2.0**-24, 2.0**14)
"""Magnitudes that weights have; for float16, whose whole range is hardly larger, those of most."""

_FLOATS = struct.Struct("<3f").pack
_LOWER_HALVES = struct.Struct("<HxxHxxHxx").unpack


@dataclass(frozen=True, slots=True)
class Misread:
    """What the bytes look like.

    Attributes:
        swapped: Share of the numbers, without zeros, that have a usual magnitude once their bytes are in the
            other order; 0 unless it is most of them, while most have none as they are.
        usual: Share that has one as they are.
        bfloat16_pairs: Share of float32 numbers whose lower half is a usual bfloat16 number, of those in
            which it is not zero and whose upper half is their own; 0 unless it is most of them.
        float16_pairs: The same with float16.
    """

    swapped: float = 0.0
    usual: float = 1.0
    bfloat16_pairs: float = 0.0
    float16_pairs: float = 0.0


_NONE = Misread()


@dataclass(frozen=True, slots=True)
class ByteLayout(Following[Misread]):
    """Whether numbers are stored in the other byte order, or are pairs of 16-bit numbers.

    Looked at are the first 512 elements, and only where the extremes of the tensor, or of the block that
    holds them, leave a doubt.
    """

    lazy: ClassVar[bool] = True

    def start(self, info: TensorInfo) -> ByteLayoutFold:
        return ByteLayoutFold(info.dtype)

    def follow(self, info: TensorInfo, overview: Summary) -> Misread | Unknown:
        return UNKNOWN if info.dtype in _WORDS and _is_suspect(info.dtype, overview) else _NONE


def _is_suspect(dtype: str, overview: Summary) -> bool:
    """Say whether sums and extremes of some numbers leave room for what is looked for."""
    peak = overview.peak
    if not peak:
        return False
    low, high = _SANE.get(dtype, _USUAL)
    if peak >= high or overview.squares < low * low * overview.count:
        return True
    return dtype == "float32" and overview.count >= MANY and _may_be_pairs(overview)


def _may_be_pairs(overview: Summary) -> bool:
    """Say whether the lower halves of the extremes look like 16-bit numbers; one in nine does by chance."""
    one, two, three = _LOWER_HALVES(_FLOATS(overview.minimum, overview.maximum, overview.smallest))
    # For every tensor, so without a loop.
    if _is_float16(one) and _is_float16(two) and _is_float16(three):
        return True
    return bool(_is_bfloat16(one) + _is_bfloat16(two) + _is_bfloat16(three) >= 2)


def _is_bfloat16(words: Any) -> Any:
    """Say which words are bfloat16 numbers of 2**-19 to 32: their exponents are 108 to 131."""
    exponents = (words >> 7) & 255
    return (exponents >= 108) & (exponents <= 131)


def _is_float16(words: Any) -> Any:
    """Say which words are float16 numbers of 2**-11 to 8: their exponents are 4 to 17."""
    exponents = (words >> 10) & 31
    return (exponents >= 4) & (exponents <= 17)


class ByteLayoutFold:
    """Counts in the first elements."""

    def __init__(self, dtype: str) -> None:
        self._dtype = dtype
        self._counts = [0] * 6

    def update(self, block: Block) -> None:
        if block.start >= HEAD or self._dtype not in _WORDS or not block.size:
            return
        if block.is_finite and not _is_suspect(self._dtype, block.summary):
            return
        for chunk in block.chunks():
            if chunk.start >= HEAD:
                return
            self._look(chunk.part(0, min(chunk.size, HEAD - chunk.start)))

    def _look(self, part: Block) -> None:
        counts = part.patterns() if self._dtype == "float32" else None
        *first, halves, wide, half = self._count(part.values) if counts is None else counts
        if halves and max(wide, half) >= MOST * halves:
            halves, wide, half = _pairs(_one_of_each(part.values))
        self._add((*first, halves, wide, half))

    def _add(self, counts: Iterable[int]) -> None:
        self._counts = [have + more for have, more in zip(self._counts, counts, strict=True)]

    def _count(self, values: NDArray[Any]) -> tuple[int, ...]:
        """Do what `Native.patterns` does, for any type; 0 for pairs in other types than float32."""
        words = _stored(values, self._dtype)
        other = _decoded(words.byteswap(), self._dtype)
        some = values != 0
        pairs = (0, 0, 0)
        if self._dtype == "float32":
            pairs = _pairs(words)
        return int(some.sum()), _usual(values, self._dtype), _usual(other, self._dtype), *pairs

    def merge(self, other: Self) -> None:
        self._add(other._counts)

    def finish(self) -> Misread:
        count, *_, halves, _, _ = self._counts
        if count < LEAST:
            return _NONE
        usual, swapped = (n / count for n in self._counts[1:3])
        is_swapped = swapped >= MOST and usual <= 0.5
        if self._dtype == "float16":
            is_swapped = count >= MANY and swapped >= 0.97 and usual <= 0.75
        wide, half = (n / halves if halves >= MANY else 0.0 for n in self._counts[4:])
        return Misread(
            swapped if is_swapped else 0.0,
            usual if is_swapped else 1.0,
            wide if wide >= MOST else 0.0,
            half if half >= MOST > wide else 0.0,
        )


def _pairs(words: NDArray[Any]) -> tuple[int, int, int]:
    """Count lower halves that are not zero, and how many are usual bfloat16 and float16 numbers."""
    lower = words.astype(np.uint16)
    lower = lower[lower != 0]
    return lower.size, int(_is_bfloat16(lower).sum()), int(_is_float16(lower).sum())


def _one_of_each(values: NDArray[Any]) -> NDArray[Any]:
    """Return the words of float32 numbers, one of those that have the same upper half.

    Numbers that lie close together, as variances after the first steps of training do, share their upper
    halves, and then their lower ones are alike whatever the type is. The halves of a pair are two weights.
    """
    words = _stored(values, "float32")
    return words[np.unique(words >> 16, return_index=True)[1]]


def _stored(values: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Return the words that numbers of a type are stored as."""
    if dtype == "bfloat16":
        return (values.view(np.uint32) >> np.uint32(16)).astype(np.uint16)
    return values.astype(dtype, copy=False).view(_WORDS[dtype])


def _decoded(words: NDArray[Any], dtype: str) -> NDArray[Any]:
    if dtype == "bfloat16":
        return (words.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return words.view(dtype)


def _usual(values: NDArray[Any], dtype: str) -> int:
    low, high = _SANE.get(dtype, _USUAL)
    magnitudes = np.abs(values)
    return int(np.count_nonzero((magnitudes >= low) & (magnitudes < high)))
