"""How many elements have each sign and magnitude: what a histogram is drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from weightaudit.statistics.base import Statistic
from weightaudit.statistics.binning import BinFold, Scale, SignedCounts

if TYPE_CHECKING:
    from weightaudit.tensor import TensorInfo

STEPS = 4
"""Bins of each power of two."""

_SCALE = Scale((128, 152, 181, 215), 7)
"""The bins begin at ``2**(k / 4)``, rounded to seven bits of the significand. Each is 0.25 powers of two
wide, within 1 %."""


def magnitude(bin_number: int) -> float:
    """Return the least magnitude of a bin, exactly: about ``2**(bin_number / 4)``; Inf beyond float64."""
    exponent, step = divmod(bin_number, STEPS)
    with np.errstate(over="ignore"):
        return float(np.ldexp(float(_SCALE.starts[step]), exponent - _SCALE.bits))


@dataclass(frozen=True, slots=True)
class MagnitudeCounts(SignedCounts):
    """How many finite elements have each sign and magnitude; exact. Its fields are those of `SignedCounts`.

    Bin k holds the magnitudes from ``magnitude(k)`` up to, but not including, ``magnitude(k + 1)``;
    bin 4 * e begins at ``2**e``.
    """

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

    def start(self, info: TensorInfo) -> BinFold[MagnitudeCounts]:
        return BinFold(_SCALE, MagnitudeCounts)
