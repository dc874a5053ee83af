"""How many elements have each sign and exponent: what a cast does to a tensor follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from weightaudit.statistics.base import Statistic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from weightaudit.statistics.block import Block
    from weightaudit.tensor import TensorInfo


class _Layout(NamedTuple):
    """How a floating point type of numpy is put together: fields in bits, the bias, an integer as wide."""

    mantissa: int
    exponent: int
    bias: int
    integer: type[np.unsignedinteger[Any]]


_LAYOUTS = {4: _Layout(23, 8, 127, np.uint32), 8: _Layout(52, 11, 1023, np.uint64)}
"""Layouts of the types that tensors are decoded to, by itemsize."""

_LEAST = -1074
_EXPONENTS = 1023 - _LEAST + 1
"""Exponent of the smallest float64, and how many exponents there are with the largest."""


@dataclass(frozen=True, slots=True)
class ExponentCounts:
    """How many finite elements have each sign and exponent; exact.

    An element x other than zero has the exponent ``floor(log2(|x|))``, subnormal ones too: those
    of exponent e lie in ``[2**e, 2**(e + 1))``.

    Attributes:
        lowest: Exponent of the first count of either sign; 0 if there is no element but zeros.
        positive: Counts of the elements above zero, by exponent, from `lowest` on.
        negative: Counts of the elements below zero, as long as `positive`.
        zeros: Elements that are 0 or -0.
    """

    lowest: int = 0
    positive: tuple[int, ...] = ()
    negative: tuple[int, ...] = ()
    zeros: int = 0

    @property
    def nonzero(self) -> int:
        """Finite elements other than zero."""
        return sum(self.positive) + sum(self.negative)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield each exponent that occurs and its count of either sign, ascending."""
        for place, pair in enumerate(zip(self.positive, self.negative, strict=True)):
            if any(pair):
                yield self.lowest + place, sum(pair)


@dataclass(frozen=True, slots=True)
class Exponents(Statistic[ExponentCounts]):
    """Counts of the finite elements by sign and exponent.

    It looks at every element, so it takes much longer than sums and extremes do: rules should ask
    for it only where a policy asked for them.
    """

    def start(self, info: TensorInfo) -> ExponentsFold:
        return ExponentsFold()


class ExponentsFold:
    """Counts by the sign and exponent bits; subnormal elements, which share these bits with zero, apart."""

    def __init__(self) -> None:
        self._counts = np.zeros((2, _EXPONENTS), np.int64)
        self._zeros = 0

    def update(self, block: Block) -> None:
        if not block.size:
            return
        layout = _LAYOUTS[block.values.itemsize]
        bits = block.values.view(layout.integer)
        signed = np.bincount(
            (bits >> layout.integer(layout.mantissa)).view(f"i{bits.itemsize}"),
            minlength=2 << layout.exponent,
        ).reshape(2, -1)
        # The last exponent is that of NaN and Inf, the first that of zeros and subnormal numbers.
        first = 1 - layout.bias - _LEAST
        self._counts[:, first : first + signed.shape[1] - 2] += signed[:, 1:-1]
        if signed[:, 0].any():
            self._add_smallest(bits, layout)

    def _add_smallest(self, bits: NDArray[np.unsignedinteger[Any]], layout: _Layout) -> None:
        magnitude = bits & layout.integer((1 << (layout.exponent + layout.mantissa)) - 1)
        smallest = magnitude < layout.integer(1 << layout.mantissa)
        held = magnitude[smallest]
        subnormal = held != 0
        self._zeros += held.size - int(np.count_nonzero(subnormal))
        if not subnormal.any():
            return
        # They are multiples of the smallest one, 2 ** (1 - bias - mantissa).
        exponents = np.frexp(held[subnormal].astype(np.float64))[1] - layout.bias - layout.mantissa
        is_negative = bits[smallest][subnormal] != held[subnormal]
        np.add.at(self._counts, (is_negative.astype(np.intp), exponents - _LEAST), 1)

    def merge(self, other: Self) -> None:
        self._counts += other._counts
        self._zeros += other._zeros

    def finish(self) -> ExponentCounts:
        used = np.flatnonzero(self._counts.any(axis=0))
        if not used.size:
            return ExponentCounts(zeros=self._zeros)
        low, high = int(used[0]), int(used[-1]) + 1
        positive, negative = self._counts[:, low:high].tolist()
        return ExponentCounts(low + _LEAST, tuple(positive), tuple(negative), self._zeros)
