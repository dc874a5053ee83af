"""Results that follow from statistics of the same tensor with other thresholds."""

from __future__ import annotations

from functools import lru_cache
from math import inf
from typing import Any

import numpy as np
from numpy.typing import NDArray

from weightaudit.statistics import (
    UNKNOWN,
    Above,
    AboveCount,
    AxisNorm,
    Below,
    Statistic,
    Stats,
    Tiny,
    TinyCount,
    WeakGroups,
)
from weightaudit.statistics.base import Unknown


def from_others(statistic: Statistic[Any], known: Stats) -> Any:
    """Return the result of a statistic if the same with other thresholds settles it, else UNKNOWN.

    It is what measuring gives; or, where `Tiny` and `WeakGroups` promise a bound, another result that
    keeps the promise and says, as that of measuring does, that there is nothing.

    Args:
        statistic: What is asked for.
        known: Finished statistics of the tensor.
    """
    if isinstance(statistic, Above):
        return _above(statistic, known)
    if isinstance(statistic, Below):
        return _below(statistic, known)
    if isinstance(statistic, Tiny):
        return _tiny(statistic, known)
    return _weak_groups(statistic, known) if isinstance(statistic, WeakGroups) else UNKNOWN


def _above(wanted: Above, known: Stats) -> AboveCount | Unknown:
    """Nothing reaches a limit above one that nothing reaches, or above the largest that reaches another."""
    lowest = _around(wanted.limit)[0]
    for other in known:
        if isinstance(other, Above):
            found: AboveCount = known[other]
            if found.largest < lowest if found.count else _around(other.limit)[1] <= lowest:
                return AboveCount()
    return UNKNOWN


def _below(wanted: Below, known: Stats) -> int | Unknown:
    """Nothing is below a limit if nothing is below a higher one."""
    highest = _around(wanted.limit)[1]
    for other in known:
        if isinstance(other, Below) and _around(other.limit)[0] >= highest and known[other] == 0:
            return 0
    return UNKNOWN


@lru_cache(maxsize=256)
def _around(limit: float) -> tuple[float, float]:
    """Return a limit and its float32 neighbour, the lower first: folds compare elements with either."""
    with np.errstate(over="ignore"):
        rounded = float(np.float32(limit))
    return min(limit, rounded), max(limit, rounded)


def _tiny(wanted: Tiny, known: Stats) -> TinyCount | Unknown:
    """Nothing is tiny if another fold found nothing that looked into more blocks, at larger elements too."""
    for other in known:
        if (
            isinstance(other, Tiny)
            and other.normal >= wanted.normal
            and other.share * wanted.flush**2 <= wanted.share * other.flush**2
            and known[other] == TinyCount()
        ):
            return TinyCount()
    return UNKNOWN


def _weak_groups(wanted: WeakGroups, known: Stats) -> NDArray[np.float64] | Unknown:
    """Groups that are strong by higher thresholds are so by lower ones.

    Where a group is weak, a rule shows the peaks of others, and those depend on the blocks that were
    passed over; so that is measured again.
    """
    exact = AxisNorm(wanted.axes, inf)
    if exact in known and _none_is_weak(wanted, known[exact]):
        return known[exact]
    for other in known:
        if (
            isinstance(other, WeakGroups)
            and other.axes == wanted.axes
            and other.relative >= wanted.relative
            and other.floor >= wanted.floor
        ):
            peaks: NDArray[np.float64] = known[other]
            if _none_is_weak(other, peaks):
                return peaks
    return UNKNOWN


def _none_is_weak(what: WeakGroups, peaks: NDArray[np.float64]) -> bool:
    bound = max(what.floor, what.relative * float(peaks.max(initial=0)))
    return float(peaks.min(initial=inf)) >= bound
