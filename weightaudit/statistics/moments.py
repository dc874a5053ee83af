"""Sums over a whole tensor, kept in float64."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, nan, sqrt
from typing import TYPE_CHECKING, ClassVar, Self

from weightaudit.statistics.summary import Following

if TYPE_CHECKING:
    from weightaudit.statistics.block import Block
    from weightaudit.statistics.summary import Summary
    from weightaudit.tensor import TensorInfo


@dataclass(slots=True)  # not frozen, as `Summary`
class MomentSums:
    """Count, sum and sum of squares of the finite elements. Nothing changes it.

    The relative error of `squares` is at most the number of elements times 1.1e-16, the
    unit roundoff of float64; it overflows to Inf for float64 values beyond 1e154.
    """

    count: int
    total: float
    squares: float

    @property
    def mean(self) -> float:
        """Mean; NaN if nothing is finite."""
        return self.total / self.count if self.count else nan

    @property
    def rms(self) -> float:
        """Root mean square; NaN if nothing is finite."""
        return sqrt(self.squares / self.count) if self.count else nan

    @property
    def std(self) -> float:
        """Population standard deviation; NaN if nothing is finite, infinite where the squares overflow."""
        if not self.count or not isfinite(self.squares):
            return self.squares if self.count else nan
        return sqrt(max(0.0, self.squares / self.count - self.mean * self.mean))

    @property
    def l2(self) -> float:
        """Euclidean norm."""
        return sqrt(self.squares)


@dataclass(frozen=True, slots=True)
class Moments(Following[MomentSums]):
    """Count, sum and sum of squares of the finite elements, in float64."""

    lazy: ClassVar[bool] = True

    def start(self, info: TensorInfo) -> MomentsFold:
        return MomentsFold()

    def follow(self, info: TensorInfo, overview: Summary) -> MomentSums:
        return MomentSums(overview.count, overview.total, overview.squares)


class MomentsFold:
    """Adds up each block in float64, and the blocks' sums in order."""

    def __init__(self) -> None:
        self._count = 0
        self._total = 0.0
        self._squares = 0.0

    def update(self, block: Block) -> None:
        total, squares = block.sums
        self._count += block.finite_count
        self._total += total
        self._squares += squares

    def merge(self, other: Self) -> None:
        self._count += other._count
        self._total += other._total
        self._squares += other._squares

    def finish(self) -> MomentSums:
        return MomentSums(self._count, self._total, self._squares)
