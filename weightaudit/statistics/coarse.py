"""Numbers that have fewer digits than their type keeps."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from weightaudit.statistics.base import UNKNOWN, Unknown
from weightaudit.statistics.summary import Following

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from weightaudit.statistics.block import Block
    from weightaudit.statistics.summary import Summary
    from weightaudit.tensor import TensorInfo

LOW_BITS = {"float32": 13, "float64": 29}
"""Bits that the significand of a type has more than that of the next narrower one."""

LEVELS = (127, 7, 1)
"""Steps from zero to the largest magnitude where numbers were rounded to 8, 4 or 2 bits."""

MOST_VALUES = 2 * LEVELS[0] + 1
"""More different numbers are not looked at for levels."""

HEAD = 512
"""How many elements are looked at first: they nearly always settle it."""


@dataclass(frozen=True, slots=True)
class Coarse:
    """How coarse the numbers of a tensor are.

    Attributes:
        zero_bits: Lowest bits of the significand that are 0 in every number; 0 unless they are at least
            as many as the next narrower type lacks (13 of float32, 29 of float64).
        levels: 127, 7 or 1 if every number is a multiple of the largest magnitude divided by this;
            0 if not.
    """

    zero_bits: int = 0
    levels: int = 0


_NONE = Coarse()


@dataclass(frozen=True, slots=True)
class Coarseness(Following[Coarse]):
    """How many digits the finite numbers of a float32 or float64 tensor really have.

    Nothing is said of other types and of tensors of a single value.
    """

    lazy: ClassVar[bool] = True

    def start(self, info: TensorInfo) -> CoarsenessFold:
        return CoarsenessFold(info.dtype)

    def follow(self, info: TensorInfo, overview: Summary) -> Coarse | Unknown:
        low = LOW_BITS.get(info.dtype, 0)
        if not low or not overview.count or overview.minimum == overview.maximum:
            return _NONE
        # Three elements that are known: were all numbers coarse, these would be too.
        known = overview.minimum, overview.maximum, overview.smallest
        one, two, three = _UNPACK[info.dtype](_PACK[info.dtype](*known))
        is_round = not (one | two | three) & ((1 << low) - 1)
        return UNKNOWN if is_round or _may_have_levels(known, overview.peak) else _NONE


_PACK = {"float32": struct.Struct("<3f").pack, "float64": struct.Struct("<3d").pack}
_UNPACK = {"float32": struct.Struct("<3I").unpack, "float64": struct.Struct("<3Q").unpack}


def _may_have_levels(numbers: tuple[float, float, float], peak: float) -> bool:
    """Say the same as `_levels_of`, or yes where that says no, of three numbers in less time."""
    one, two, three = numbers[0] / peak, numbers[1] / peak, numbers[2] / peak
    for levels in LEVELS:
        # For every tensor, so without a loop over the numbers.
        slack = 2e-5 * levels
        if (
            abs(two * levels - round(two * levels)) <= slack
            and abs(one * levels - round(one * levels)) <= slack
            and abs(three * levels - round(three * levels)) <= slack
        ):
            return True
    return False


class CoarsenessFold:
    """Joins the bits of all numbers, and collects the numbers while they are few."""

    def __init__(self, dtype: str) -> None:
        self._low = LOW_BITS.get(dtype, 0)
        self._bits = 0 if self._low else (1 << 64) - 1
        self._values: NDArray[Any] = np.zeros(0)
        self._is_many = not self._low

    def update(self, block: Block) -> None:
        if self._is_settled or not block.size:
            return
        for chunk in block.chunks():
            size = min(HEAD, chunk.size)
            self._look(chunk.part(0, size).finite)
            if not self._is_settled and size < chunk.size:
                self._look(chunk.part(size, chunk.size - size).finite)
            if self._is_settled:
                return

    @property
    def _is_settled(self) -> bool:
        return self._is_many and bool(self._bits & ((1 << self._low) - 1))

    def _look(self, values: NDArray[Any]) -> None:
        words = values.view(np.uint32 if values.itemsize == 4 else np.uint64)
        self._bits |= int(np.bitwise_or.reduce(words, initial=0))
        if not self._is_many:
            self._collect(values)

    def _collect(self, values: NDArray[Any]) -> None:
        values = np.sort(np.concatenate([self._values, values]))
        values = values[np.append(True, values[1:] != values[:-1])] if values.size else values
        self._is_many = values.size > MOST_VALUES
        if not self._is_many:
            self._values = values

    def merge(self, other: Self) -> None:
        self._bits |= other._bits
        self._is_many = self._is_many or other._is_many
        if not self._is_many:
            self._collect(other._values)

    def finish(self) -> Coarse:
        if not self._bits or (not self._is_many and self._values.size < 2):
            return _NONE
        zero_bits = (self._bits & -self._bits).bit_length() - 1
        levels = 0
        if not self._is_many:
            levels = _levels_of(self._values, float(np.abs(self._values).max()))
        return Coarse(zero_bits if zero_bits >= self._low else 0, levels)


def _levels_of(values: NDArray[Any], peak: float) -> int:
    """Return the fewest levels of which all values are multiples; 0 if there are none."""
    if not 0 < peak < float("inf"):
        return 0
    for levels in reversed(LEVELS):
        steps = values.astype(np.float64) / peak * levels
        if np.abs(steps - np.round(steps)).max() <= 1e-5 * levels:
            return levels
    return 0
