"""Histograms of few columns, and quantiles, from counts by sign and magnitude."""

from __future__ import annotations

from dataclasses import dataclass
from math import log2
from typing import TYPE_CHECKING

from weightaudit.statistics.magnitudes import STEPS, magnitude

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from weightaudit.statistics import MagnitudeCounts


@dataclass(frozen=True, slots=True)
class Axis:
    """Columns over magnitudes, on a logarithmic scale.

    Attributes:
        lowest: Number of the first bin (`MagnitudeCounts`) of the first column.
        step: Bins in a column.
        columns: How many columns.
    """

    lowest: int
    step: int
    columns: int

    def column(self, bin_number: int) -> int:
        """Return the column of a bin; what lies outside is put into the first or the last."""
        return min(max((bin_number - self.lowest) // self.step, 0), self.columns - 1)

    def place(self, value: float) -> int | None:
        """Return the column of a magnitude, None if it lies outside."""
        found = int((log2(value) * STEPS - self.lowest) // self.step)
        return found if 0 <= found < self.columns else None

    @property
    def start(self) -> float:
        """Least magnitude of the first column."""
        return magnitude(self.lowest)

    @property
    def end(self) -> float:
        """Magnitude where the last column ends."""
        return magnitude(self.lowest + self.step * self.columns)

    def fold(self, counts: MagnitudeCounts, held: Sequence[int]) -> list[int]:
        """Return how many elements of one sign, or both, fall into each column."""
        heights = [0] * self.columns
        for number, count in enumerate(held, counts.lowest):
            if count:
                heights[self.column(number)] += count
        return heights


WIDEST_STEP = 2 * STEPS
"""Bins in a column of an axis that many histograms share, at most."""

STRAY = 0.05
"""Share of the histograms on a common axis that may end beyond it, at either end."""


def common_axis(histograms: Iterable[MagnitudeCounts], columns: int) -> Axis | None:
    """Return columns for the histograms of many tensors; None if all are empty.

    A few tensors of another scale than all the rest are drawn in the first or the last column: they
    must not squeeze the others into one.

    Args:
        histograms: Histograms.
        columns: How many columns there are to be.
    """
    ends = [_ends(counts, 0.01) for counts in histograms if counts.positive]
    if not ends:
        return None
    spare = int(STRAY * len(ends))
    low = sorted(low for low, _ in ends)[spare]
    high = sorted(high for _, high in ends)[len(ends) - 1 - spare]
    return _axis(max(low, high + 1 - columns * WIDEST_STEP), high, columns)


def own_axis(counts: MagnitudeCounts, columns: int) -> Axis | None:
    """Return columns for the histogram of one tensor; None if it is empty.

    Args:
        counts: The histogram.
        columns: How many columns there are to be.
    """
    return _axis(*_ends(counts, 5e-4), columns) if counts.positive else None


def _axis(low: int, high: int, columns: int) -> Axis:
    """Return columns from about one bin to another; what is left over is at the lower end."""
    step = max(1, -(-(high + 1 - low) // columns))
    return Axis(high + 1 - step * columns, step, columns)


def _ends(counts: MagnitudeCounts, outliers: float) -> tuple[int, int]:
    """Return the first bin that matters and the last one: small values tail off for long."""
    both = both_signs(counts)
    spare, place = outliers * sum(both), 0
    while both[place] <= spare:
        spare -= both[place]
        place += 1
    return counts.lowest + place, counts.lowest + len(both) - 1


def both_signs(counts: MagnitudeCounts) -> list[int]:
    """Return the counts of either sign together."""
    return [one + other for one, other in zip(counts.positive, counts.negative, strict=True)]


def quantiles(counts: MagnitudeCounts, shares: Sequence[float]) -> list[float]:
    """Return values below which shares of the finite numbers lie.

    Within a bin, which is 0.25 powers of two wide, numbers are taken to lie evenly, so that each is
    at most 19 % off.

    Args:
        counts: Counts of at least one number.
        shares: Ascending, from 0 to 1.
    """
    steps = _steps(counts)
    total = sum(count for count, _, _ in steps)
    found: list[float] = []
    below, place = 0, 0
    for share in shares:
        while place < len(steps) - 1 and below + steps[place][0] < share * total:
            below += steps[place][0]
            place += 1
        count, low, high = steps[place]
        found.append(low + (high - low) * min(1.0, max(0.0, (share * total - below) / count)))
    return found


def _steps(counts: MagnitudeCounts) -> list[tuple[int, float, float]]:
    """Return bins that hold anything, from the most negative on, each with the values that bound it."""
    edges = counts.edges
    negative = [
        (count, -edges[place + 1], -edges[place]) for place, count in enumerate(counts.negative) if count
    ]
    positive = [
        (count, edges[place], edges[place + 1]) for place, count in enumerate(counts.positive) if count
    ]
    zeros = [(counts.zeros, 0.0, 0.0)] if counts.zeros else []
    return [*reversed(negative), *zeros, *positive]


def count_below(counts: MagnitudeCounts, power: int) -> int:
    """Return how many numbers other than zero have a magnitude below ``2**power``; exact."""
    return sum(both_signs(counts)[: max(0, power * STEPS - counts.lowest)])
