"""How many elements have each sign and exponent: what a cast does to a tensor follows from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from weightaudit.statistics.base import Statistic
from weightaudit.statistics.binning import BinFold, Scale, SignedCounts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from weightaudit.tensor import TensorInfo

_SCALE = Scale((1,), 0)
"""One bin to a power of two."""


@dataclass(frozen=True, slots=True)
class ExponentCounts(SignedCounts):
    """How many finite elements have each sign and exponent; exact. Its fields are those of `SignedCounts`.

    An element x other than zero has the exponent ``floor(log2(|x|))``, subnormal ones too: those
    of exponent e lie in ``[2**e, 2**(e + 1))``, which is bin e.
    """

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

    def start(self, info: TensorInfo) -> BinFold[ExponentCounts]:
        return BinFold(_SCALE, ExponentCounts)
