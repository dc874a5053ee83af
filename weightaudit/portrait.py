"""How much of every tensor is measured beside what the rules need, for those who want to look at it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cache, lru_cache
from math import nan
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from weightaudit.statistics import AxisNorm, MagnitudeCounts, Statistic, Stats
    from weightaudit.tensor import TensorInfo


class Detail(IntEnum):
    """What a report can show of each tensor; each level includes those before it."""

    VERDICT = 0
    """What the rules needed, and no more: the fastest."""
    FIGURES = 1
    """The plain statistics: norms, extremes, zeros, NaN and Inf."""
    PICTURES = 2
    """Also what histograms and the norms of output channels are drawn from: every element is looked at."""

    def statistics(self, info: TensorInfo) -> tuple[Statistic[Any], ...]:
        """Return what is measured of a tensor, whatever the rules need of it."""
        if self is Detail.VERDICT:
            return ()
        return _figures() if self is Detail.FIGURES else _pictures(len(info.shape), info.output_axes)


@dataclass(frozen=True, slots=True)
class Portrait:
    """What was measured of one tensor, for people to look at. A part of a complex number is a number.

    Attributes:
        size: Numbers, those that are not finite too; of packed weights, those that they stand for.
        rms: Root mean square of the finite numbers, as all that follows up to `maximum`; NaN if there is
            none.
        mean: Their mean.
        std: Their population standard deviation.
        l2: Their Euclidean norm.
        minimum: Smallest of them.
        maximum: Largest of them.
        zeros: How many are 0 or -0.
        nan: How many are NaN.
        positive_inf: How many are Inf.
        negative_inf: How many are -Inf.
        histogram: Counts by sign and magnitude; None below `Detail.PICTURES`.
        channels: Euclidean norm of each output channel, float64 in the shape of the output axes; None below
            `Detail.PICTURES`, and for a tensor that has no output channels or but one number in each.
    """

    size: int
    rms: float
    mean: float
    std: float
    l2: float
    minimum: float
    maximum: float
    zeros: int
    nan: int
    positive_inf: int
    negative_inf: int
    histogram: MagnitudeCounts | None = None
    channels: NDArray[np.float64] | None = None

    @property
    def nonfinite(self) -> int:
        """Numbers that are NaN or infinite."""
        return self.nan + self.positive_inf + self.negative_inf

    @property
    def sparsity(self) -> float:
        """Share of the numbers that are zero; NaN if there are no numbers."""
        return self.zeros / self.size if self.size else nan

    @property
    def peak(self) -> float:
        """Largest finite magnitude; NaN if nothing is finite."""
        return max(abs(self.minimum), abs(self.maximum))


def portrait(info: TensorInfo, stats: Stats) -> Portrait:
    """Return what was measured of a tensor.

    Args:
        info: The tensor.
        stats: Its statistics, measured at least with `Detail.FIGURES`.

    Raises:
        KeyError: Less was measured.
    """
    from weightaudit.statistics import Extremes, Magnitudes, Moments, NonFinite, Zeros

    sums, extremes, bad = stats[Moments()], stats[Extremes()], stats[NonFinite()]
    norms = channel_norms(len(info.shape), info.output_axes)
    return Portrait(
        size=sums.count + bad.total,
        rms=sums.rms,
        mean=sums.mean,
        std=sums.std,
        l2=sums.l2,
        minimum=extremes.minimum,
        maximum=extremes.maximum,
        zeros=stats[Zeros()],
        nan=bad.nan,
        positive_inf=bad.positive,
        negative_inf=bad.negative,
        histogram=stats.get(Magnitudes()),
        channels=None if norms is None else stats.get(norms),
    )


@lru_cache(maxsize=1024)
def channel_norms(rank: int, output_axes: tuple[int, ...]) -> AxisNorm | None:
    """Return the statistic of the Euclidean norm of each output channel.

    Args:
        rank: Number of axes of the tensor.
        output_axes: See `TensorInfo`.

    Returns:
        None if there are no output channels, or but one number in each.
    """
    from weightaudit.statistics import AxisNorm
    from weightaudit.tensor import axes_besides

    reduced = axes_besides(rank, output_axes)
    return AxisNorm(reduced) if output_axes and reduced else None


@cache
def _figures() -> tuple[Statistic[Any], ...]:
    # The command line knows the levels before it has to know numpy.
    from weightaudit.statistics import Extremes, Moments, NonFinite, Zeros

    return NonFinite(), Extremes(), Moments(), Zeros()


@lru_cache(maxsize=1024)
def _pictures(rank: int, output_axes: tuple[int, ...]) -> tuple[Statistic[Any], ...]:
    from weightaudit.statistics import Magnitudes

    norms = channel_norms(rank, output_axes)
    return (*_figures(), Magnitudes(), *([] if norms is None else [norms]))
