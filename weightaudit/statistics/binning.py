"""How many elements have each sign and size: the upper bits of a number tell its bin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Self, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from weightaudit.statistics.block import Block

T = TypeVar("T")

Counted = Callable[[int, tuple[int, ...], tuple[int, ...], int], T]
"""Makes a result of the fields of `SignedCounts`."""


@dataclass(frozen=True, slots=True)
class SignedCounts:
    """Counts of finite elements by sign and bin; exact. Parts of complex numbers count each for itself.

    Attributes:
        lowest: Number of the first bin of either sign; 0 if there is no element but zeros.
        positive: Counts of the elements above zero, by bin, from `lowest` on.
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


class Scale(NamedTuple):
    """How a power of two is cut into bins; bin 0 begins at 1.

    Attributes:
        starts: Where the bins of ``[1, 2)`` begin, times ``2**bits``.
        bits: So many bits of the significand, the first ones behind the point, tell the bin.
    """

    starts: tuple[int, ...]
    bits: int


class _Layout(NamedTuple):
    """How the upper bits of a floating point type tell the bin.

    Attributes:
        mantissa: Bits of the significand that are stored.
        least: Exponent of the smallest subnormal number.
        integer: An unsigned integer as wide.
        bins: By the bits that are left without the lower ones of the significand, which are from 0 to
            ``2**(1 + exponent bits + Scale.bits)``: the place of the bin among those of both signs. As
            many bins for each value of the exponent's bits as the scale has.
        cuts: Where a new bin begins in `bins`.
    """

    mantissa: int
    least: int
    integer: type[np.unsignedinteger[Any]]
    bins: NDArray[np.uint16]
    cuts: NDArray[np.intp]


@cache
def _layout(scale: Scale, itemsize: int) -> _Layout:
    """Return the layout of float32 (4 bytes) or float64 (8)."""
    mantissa, exponent, integer = (23, 8, np.uint32) if itemsize == 4 else (52, 11, np.uint64)
    codes = np.arange(1 << (1 + exponent + scale.bits))
    one = 1 << scale.bits
    steps = np.searchsorted(scale.starts, codes % one + one, side="right") - 1
    bins = ((codes >> scale.bits) * len(scale.starts) + steps).astype(np.uint16)
    cuts = np.flatnonzero(np.diff(bins.astype(np.intp), prepend=-1))
    return _Layout(mantissa, 2 - (1 << (exponent - 1)) - mantissa, integer, bins, cuts)


class BinFold(Generic[T]):
    """Counts by the upper bits; subnormal elements, which share these bits with zero, apart.

    Bins are counted from that of the smallest subnormal number of the type on.

    Args:
        scale: The bins.
        counted: Makes the result.
    """

    def __init__(self, scale: Scale, counted: Counted[T]) -> None:
        self._scale = scale
        self._steps = len(scale.starts)
        self._counted = counted
        self._counts: NDArray[np.int64] | None = None
        self._least = 0
        self._zeros = 0

    def update(self, block: Block) -> None:
        if not block.size:
            return
        layout, steps = _layout(self._scale, block.values.itemsize), self._steps
        bits = block.values.view(layout.integer)
        codes = (bits >> layout.integer(layout.mantissa - self._scale.bits)).view(f"i{bits.itemsize}")
        # With more elements than codes, counting all codes is faster than looking up the bin of each element.
        if block.size >= layout.bins.size:
            signed = np.add.reduceat(np.bincount(codes, minlength=layout.bins.size), layout.cuts)
        else:
            signed = np.bincount(layout.bins[codes], minlength=layout.cuts.size)
        signed = signed.reshape(2, -1)
        counts = self._room(layout, signed.shape[1])
        # The last exponent is that of NaN and Inf, the first that of zeros and subnormal numbers.
        counts[:, layout.mantissa * steps :] += signed[:, steps:-steps]
        if signed[:, :steps].any():
            self._add_smallest(bits, layout, counts)

    def _room(self, layout: _Layout, bins: int) -> NDArray[np.int64]:
        if self._counts is None:
            self._least = layout.least
            self._counts = np.zeros((2, bins + (layout.mantissa - 2) * self._steps), np.int64)
        return self._counts

    def _add_smallest(
        self, bits: NDArray[np.unsignedinteger[Any]], layout: _Layout, counts: NDArray[np.int64]
    ) -> None:
        held = bits & layout.integer((1 << (bits.itemsize * 8 - 1)) - 1)
        smallest = held < layout.integer(1 << layout.mantissa)
        held, signed = held[smallest], bits[smallest]
        subnormal = held != 0
        self._zeros += held.size - int(np.count_nonzero(subnormal))
        if not subnormal.any():
            return
        # They are multiples of the smallest one, 2 ** least.
        fractions, exponents = np.frexp(held[subnormal].astype(np.float64))
        steps = np.searchsorted(self._scale.starts, fractions * (2 << self._scale.bits), side="right") - 1
        is_negative = signed[subnormal] != held[subnormal]
        np.add.at(counts, (is_negative.astype(np.intp), (exponents - 1) * self._steps + steps), 1)

    def merge(self, other: Self) -> None:
        self._zeros += other._zeros
        if self._counts is None:
            self._counts, self._least = other._counts, other._least
        elif other._counts is not None:
            self._counts += other._counts

    def finish(self) -> T:
        if self._counts is None:
            return self._counted(0, (), (), 0)
        used = np.flatnonzero(self._counts.any(axis=0))
        if not used.size:
            return self._counted(0, (), (), self._zeros)
        low, high = int(used[0]), int(used[-1]) + 1
        positive, negative = self._counts[:, low:high].tolist()
        return self._counted(low + self._least * self._steps, tuple(positive), tuple(negative), self._zeros)
