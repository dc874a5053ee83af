"""One look at a whole tensor: what most statistics of a healthy tensor follow from."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import inf, isfinite, nan
from typing import TYPE_CHECKING, ClassVar, Self, TypeVar

from weightaudit.dtypes import decode, itemsize
from weightaudit.statistics.base import UNKNOWN, Statistic, Stats, Unknown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from weightaudit.statistics.block import Block, Real
    from weightaudit.tensor import TensorInfo

T = TypeVar("T")


@dataclass(slots=True)  # not frozen: there is one for each tensor, and that takes twice as long to make
class Summary:
    """Sums and extremes of all elements of a tensor, if every one of them is finite. Nothing changes it.

    Attributes:
        count: Number of elements.
        total: Their sum.
        squares: Sum of their squares; NaN or infinite if one of them is not finite, or if float64
            overflows. All other fields mean nothing then.
        minimum: Smallest element, Inf if there is none.
        maximum: Largest element, -Inf if there is none.
        smallest: Smallest magnitude, Inf if there is none.
    """

    count: int = 0
    total: float = 0.0
    squares: float = 0.0
    minimum: float = inf
    maximum: float = -inf
    smallest: float = inf

    @property
    def is_finite(self) -> bool:
        """Whether every element is proven to be finite, so that the other fields hold."""
        return isfinite(self.squares)

    @property
    def peak(self) -> float:
        """Largest magnitude; 0 if there is no element."""
        return max(0.0, self.maximum, -self.minimum)

    @property
    def lone_zeros(self) -> int:
        """How many zeros there are, if no eight of them follow each other; -1 if that is not known.

        Neither the first nor the last element is one of them, so that none go on in what lies beside.
        """
        return -1

    @property
    def repeated_pages(self) -> int:
        """How many pages of the file may repeat an earlier one in the tensor; -1 if that is not known."""
        return -1

    def has_gap_below(self, ratio: float) -> bool:
        """Say whether the four largest magnitudes are known to lie closer, each to the next, than a ratio."""
        return False

    def first(self, count: int) -> Real | None:
        """Return the first `count` elements, valid until the next read; None if they are not at hand."""
        return None

    def joined(self, other: Summary) -> Summary:
        """Return the summary of this stretch and the one that follows it."""
        return Summary(
            self.count + other.count,
            self.total + other.total,
            self.squares + other.squares,
            min(self.minimum, other.minimum),
            max(self.maximum, other.maximum),
            min(self.smallest, other.smallest),
        )


@dataclass(slots=True)
class Sketch(Summary):
    """A summary with what compiled kernels tell on the way.

    Attributes:
        gap: A ratio that no two neighbours of the four largest magnitudes exceed; Inf if none is known.
        lone: What `lone_zeros` says.
        repeats: What `repeated_pages` says.
        raw: The bytes of all elements, if they are in memory.
        dtype: Their storage type.
    """

    gap: float = inf
    lone: float = -1.0
    repeats: int = field(default=-1, kw_only=True)
    raw: NDArray[np.uint8] | None = field(default=None, kw_only=True)
    dtype: str = field(default="", kw_only=True)

    @property
    def lone_zeros(self) -> int:
        return int(self.lone)

    @property
    def repeated_pages(self) -> int:
        return self.repeats

    def has_gap_below(self, ratio: float) -> bool:
        return self.gap < ratio

    def first(self, count: int) -> Real | None:
        return None if self.raw is None else decode(self.raw[: count * itemsize(self.dtype)], self.dtype)


NOTHING_KNOWN = Summary(squares=nan)
"""The summary of a stretch that was not summed up, because it holds a NaN or an Inf."""


@dataclass(frozen=True, slots=True)
class Overview(Statistic[Summary]):
    """The sums and extremes from which other statistics can be answered (`Statistic.answer`)."""

    lazy: ClassVar[bool] = True

    def start(self, info: TensorInfo) -> OverviewFold:
        return OverviewFold()

    def answer(self, info: TensorInfo, known: Stats) -> Summary | Unknown:
        summary = known.get(self)
        return UNKNOWN if summary is None or not summary.is_finite else summary

    def follow(self, info: TensorInfo, overview: Summary) -> Summary:
        return Summary().joined(overview)


OVERVIEW = Overview()


@dataclass(frozen=True, slots=True)
class Following(Statistic[T]):
    """A statistic that follows from the overview of most tensors whose elements are all finite."""

    def answer(self, info: TensorInfo, known: Stats) -> T | Unknown:
        overview = known.get(OVERVIEW)
        return UNKNOWN if overview is None or not overview.is_finite else self.follow(info, overview)


class OverviewFold:
    """Joins the summaries of blocks, which their other views share."""

    def __init__(self) -> None:
        self._summary = Summary()

    def update(self, block: Block) -> None:
        self._summary = self._summary.joined(block.summary)

    def merge(self, other: Self) -> None:
        self._summary = self._summary.joined(other._summary)

    def finish(self) -> Summary:
        return self._summary
