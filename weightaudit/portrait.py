"""How much of every tensor is measured beside what the rules need, for those who want to look at it."""

from __future__ import annotations

from enum import IntEnum
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from weightaudit.statistics import Statistic
    from weightaudit.tensor import TensorInfo


class Detail(IntEnum):
    """What a report can show of each tensor; each level includes those before it."""

    VERDICT = 0
    """What the rules needed, and no more: the fastest."""
    FIGURES = 1
    """The plain statistics: norms, extremes, zeros, NaN and Inf."""

    def statistics(self, info: TensorInfo) -> tuple[Statistic[Any], ...]:
        """Return what is measured of a tensor, whatever the rules need of it."""
        return _figures() if self >= Detail.FIGURES else ()


@cache
def _figures() -> tuple[Statistic[Any], ...]:
    # The command line knows the levels before it has to know numpy.
    from weightaudit.statistics import Extremes, Moments, NonFinite, Zeros

    return NonFinite(), Extremes(), Moments(), Zeros()
