"""How many elements have each sign and magnitude: what a histogram is drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from weightaudit.statistics.base import Statistic

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from weightaudit.statistics.block import Block
    from weightaudit.tensor import TensorInfo

STEPS = 4
"""Bins of each power of two."""

_BITS = 7
_STARTS = np.array([128, 152, 181, 215])
"""Where the bins of ``[1, 2)`` begin, times ``2**_BITS``: ``2**(k / 4)`` rounded to as many bits of the
significand, so that the upper bits of a number tell its bin. Each is 0.25 powers of two wide, within 1 %."""


def magnitude(bin_number: int) -> float:
    """Return the least magnitude of a bin, exactly: about ``2**(bin_number / 4)``; Inf beyond float64."""
    exponent, step = divmod(bin_number, STEPS)
    with np.errstate(over="ignore"):
        return float(np.ldexp(float(_STARTS[step]), exponent - _BITS))


@dataclass(frozen=True, slots=True)
class MagnitudeCounts:
    """How many finite elements have each sign and magnitude; exact.

    Bin k holds the magnitudes from ``magnitude(k)`` up to, but not including, ``magnitude(k + 1)``;
    bin 4 * e begins at ``2**e``. Parts of complex numbers count each for itself.

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

    @property
    def edges(self) -> tuple[float, ...]:
        """The magnitudes where the bins begin, and where the last one ends; empty without bins."""
        last = self.lowest + len(self.positive)
        return tuple(magnitude(k) for k in range(self.lowest, last + 1)) if self.positive else ()


@dataclass(frozen=True, slots=True)
class Magnitudes(Statistic[MagnitudeCounts]):
    """Counts of the finite elements by sign and magnitude, four bins to a power of two.

    It looks at every element, so it takes much longer than sums and extremes do: it is measured
    where somebody wants to see a histogram, and rules should do without.
    """

    def start(self, info: TensorInfo) -> MagnitudesFold:
        return MagnitudesFold()


class _Layout(NamedTuple):
    """How the upper bits of a floating point type tell the bin.

    Attributes:
        mantissa: Bits of the significand that are stored.
        least: Exponent of the smallest subnormal number.
        integer: An unsigned integer as wide.
        bins: By the bits that are left without the lower ones of the significand, which are from 0 to
            ``2**(1 + exponent bits + _BITS)``: the place of the bin among those of both signs. A block
            of `STEPS` bins for each value of the exponent's bits.
        cuts: Where a new bin begins in `bins`.
    """

    mantissa: int
    least: int
    integer: type[np.unsignedinteger[Any]]
    bins: NDArray[np.uint16]
    cuts: NDArray[np.intp]


@cache
def _layout(itemsize: int) -> _Layout:
    """Return the layout of float32 (4 bytes) or float64 (8)."""
    mantissa, exponent, integer = (23, 8, np.uint32) if itemsize == 4 else (52, 11, np.uint64)
    codes = np.arange(1 << (1 + exponent + _BITS))
    steps = np.searchsorted(_STARTS, (codes & 127) + 128, side="right") - 1
    bins = ((codes >> _BITS) * STEPS + steps).astype(np.uint16)
    cuts = np.flatnonzero(np.diff(bins.astype(np.intp), prepend=-1))
    return _Layout(mantissa, 2 - (1 << (exponent - 1)) - mantissa, integer, bins, cuts)


class MagnitudesFold:
    """Counts by the upper bits; subnormal elements, which share these bits with zero, apart.

    Bins are counted from that of the smallest subnormal number of the type on.
    """

    def __init__(self) -> None:
        self._counts: NDArray[np.int64] | None = None
        self._least = 0
        self._zeros = 0

    def update(self, block: Block) -> None:
        if not block.size:
            return
        layout = _layout(block.values.itemsize)
        bits = block.values.view(layout.integer)
        codes = (bits >> layout.integer(layout.mantissa - _BITS)).view(f"i{bits.itemsize}")
        # With more elements than codes, counting all codes is faster than looking up the bin of each element.
        if block.size >= layout.bins.size:
            signed = np.add.reduceat(np.bincount(codes, minlength=layout.bins.size), layout.cuts)
        else:
            signed = np.bincount(layout.bins[codes], minlength=layout.cuts.size)
        signed = signed.reshape(2, -1)
        counts = self._room(layout, signed.shape[1])
        # The last exponent is that of NaN and Inf, the first that of zeros and subnormal numbers.
        counts[:, layout.mantissa * STEPS :] += signed[:, STEPS:-STEPS]
        if signed[:, :STEPS].any():
            self._add_smallest(bits, layout, counts)

    def _room(self, layout: _Layout, bins: int) -> NDArray[np.int64]:
        if self._counts is None:
            self._least = layout.least
            self._counts = np.zeros((2, bins + (layout.mantissa - 2) * STEPS), np.int64)
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
        steps = np.searchsorted(_STARTS, fractions * (2 << _BITS), side="right") - 1
        is_negative = signed[subnormal] != held[subnormal]
        np.add.at(counts, (is_negative.astype(np.intp), (exponents - 1) * STEPS + steps), 1)

    def merge(self, other: Self) -> None:
        self._zeros += other._zeros
        if self._counts is None:
            self._counts, self._least = other._counts, other._least
        elif other._counts is not None:
            self._counts += other._counts

    def finish(self) -> MagnitudeCounts:
        if self._counts is None:
            return MagnitudeCounts()
        used = np.flatnonzero(self._counts.any(axis=0))
        if not used.size:
            return MagnitudeCounts(zeros=self._zeros)
        low, high = int(used[0]), int(used[-1]) + 1
        positive, negative = self._counts[:, low:high].tolist()
        return MagnitudeCounts(low + self._least * STEPS, tuple(positive), tuple(negative), self._zeros)
