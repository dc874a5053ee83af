"""Which statistics are sums and extremes over blocks, of what, and how their results follow from these."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf, nan
from typing import Any, NamedTuple

import numpy as np

from weightaudit.statistics import (
    Above,
    AboveCount,
    Below,
    Extremes,
    Moments,
    MomentSums,
    Negative,
    NegativeCount,
    NonFinite,
    NonFiniteCount,
    Overview,
    Peak,
    Range,
    Statistic,
    Summary,
    Tiny,
    TinyCount,
    Uniform,
    Zeros,
)
from weightaudit.statistics.summary import NOTHING_KNOWN

Sum = tuple[str, float]
"""A sum over elements: what is summed, and the limit that it depends on (0 if on none).

``finite``, ``nan``, ``positive`` (Inf), ``zero``, ``negative``, ``below``, ``reaching`` and ``flushed``
are counts, of finite elements where nothing else is said; ``total``, ``squares`` and ``energy`` (of
what is flushed) are sums of values in float64.
"""


@dataclass(frozen=True, slots=True)
class Totals:
    """What was summed up of a whole tensor.

    Attributes:
        sums: The sums.
        size: Number of elements.
        low: Smallest finite element, Inf if there is none.
        high: Largest finite element, -Inf if there is none.
        smallest: Smallest finite magnitude, Inf if there is none.
        first: Index of the first element that is not finite, -1 if all are.
    """

    sums: Mapping[Sum, float]
    size: int
    low: float
    high: float
    smallest: float
    first: int

    def sum(self, what: str, limit: float = 0.0) -> float:
        """Return a sum of values."""
        return self.sums[what, limit]

    def count(self, what: str, limit: float = 0.0) -> int:
        """Return a sum that is a count."""
        return int(self.sums[what, limit])

    @property
    def peak(self) -> float:
        """Largest finite magnitude, 0 if there is none."""
        return max(0.0, -self.low, self.high)


def sums_of(statistic: Statistic[Any]) -> tuple[Sum, ...] | None:
    """Return the sums that a statistic follows from; None if it does not follow from any."""
    # A subclass may compute something else, so only the class itself will do.
    reading = _READINGS.get(type(statistic))
    return reading.sums(statistic) if reading else None


def result_of(statistic: Statistic[Any], totals: Totals) -> Any:
    """Return what a statistic's own fold would have returned."""
    return _READINGS[type(statistic)].result(statistic, totals)


class _Reading(NamedTuple):
    """The sums that a statistic follows from, and how."""

    sums: Callable[[Any], tuple[Sum, ...] | None]
    result: Callable[[Any, Totals], Any]


_FINITE, _ZERO, _NEGATIVE = ("finite", 0.0), ("zero", 0.0), ("negative", 0.0)
_VALUES = (_FINITE, ("total", 0.0), ("squares", 0.0))


def _of(*sums: Sum) -> Callable[[Any], tuple[Sum, ...]]:
    def these(_: Statistic[Any]) -> tuple[Sum, ...]:
        return sums

    return these


def _moments(_: Moments, totals: Totals) -> MomentSums:
    return MomentSums(totals.count("finite"), totals.sum("total"), totals.sum("squares"))


def _summary(_: Overview, totals: Totals) -> Summary:
    if totals.count("finite") < totals.size:
        return NOTHING_KNOWN
    total, squares = totals.sum("total"), totals.sum("squares")
    return Summary(totals.size, total, squares, totals.low, totals.high, totals.smallest)


def _peak(_: Peak, totals: Totals) -> float:
    return totals.peak


def _zeros(_: Zeros, totals: Totals) -> int:
    return totals.count("zero")


def _below(what: Below, totals: Totals) -> int:
    return totals.count("below", what.limit)


def _range(_: Extremes, totals: Totals) -> Range:
    return Range(totals.low, totals.high) if totals.low <= totals.high else Range(nan, nan)


def _uniform(_: Uniform, totals: Totals) -> float | None:
    return totals.low if totals.low == totals.high and totals.count("finite") == totals.size else None


def _non_finite(_: NonFinite, totals: Totals) -> NonFiniteCount:
    nans, positive = totals.count("nan"), totals.count("positive")
    negative = totals.size - totals.count("finite") - nans - positive
    return NonFiniteCount(nans, positive, negative, totals.first)


def _negative(_: Negative, totals: Totals) -> NegativeCount:
    return NegativeCount(totals.count("negative"), nan if totals.low == inf else totals.low)


def _above(what: Above, totals: Totals) -> AboveCount:
    reaching = totals.count("reaching", what.limit)
    return AboveCount(reaching, totals.peak if reaching else 0.0)


def _tiny_sums(what: Tiny) -> tuple[Sum, ...] | None:
    if not 0 <= what.flush <= what.normal:
        return None
    return (_ZERO, ("below", what.normal), ("flushed", what.flush), ("energy", what.flush))


def _tiny(what: Tiny, totals: Totals) -> TinyCount:
    flushed = totals.count("flushed", what.flush)
    subnormal = totals.count("below", what.normal) - flushed - totals.count("zero")
    return TinyCount(flushed, totals.sum("energy", what.flush), subnormal)


def _limited(what: str) -> Callable[[Any], tuple[Sum, ...] | None]:
    def limited(statistic: Below | Above) -> tuple[Sum, ...] | None:
        return ((what, statistic.limit),) if statistic.limit >= 0 else None

    return limited


_READINGS: Mapping[type[Statistic[Any]], _Reading] = {
    Moments: _Reading(_of(*_VALUES), _moments),
    Overview: _Reading(_of(*_VALUES), _summary),
    Extremes: _Reading(_of(), _range),
    Peak: _Reading(_of(), _peak),
    Uniform: _Reading(_of(_FINITE), _uniform),
    NonFinite: _Reading(_of(_FINITE, ("nan", 0.0), ("positive", 0.0)), _non_finite),
    Zeros: _Reading(_of(_ZERO), _zeros),
    Negative: _Reading(_of(_NEGATIVE), _negative),
    Below: _Reading(_limited("below"), _below),
    Above: _Reading(_limited("reaching"), _above),
    Tiny: _Reading(_tiny_sums, _tiny),
}


def value_of(key: int, dtype: str) -> float:
    """Return the number of a key: its magnitude's bits, negative for a negative number.

    Keys are ordered as the numbers are. Beyond those of finite numbers stand -Inf and Inf.
    """
    kind = np.dtype(dtype)
    code, largest = np.dtype(f"i{kind.itemsize}"), int(np.asarray(inf, kind).view(f"i{kind.itemsize}"))
    magnitude = float(np.asarray(min(abs(key), largest), code).view(kind))
    return -magnitude if key < 0 else magnitude
