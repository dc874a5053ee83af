"""Extremes: smallest and largest value, largest magnitude, and whether all values are one."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, nan
from typing import TYPE_CHECKING, ClassVar, Self

from weightaudit.statistics.summary import Following

if TYPE_CHECKING:
    from weightaudit.statistics.block import Block
    from weightaudit.statistics.summary import Summary
    from weightaudit.tensor import TensorInfo


@dataclass(frozen=True, slots=True)
class Range:
    """Smallest and largest finite value; both NaN if there is none."""

    minimum: float
    maximum: float


@dataclass(frozen=True, slots=True)
class Extremes(Following[Range]):
    """Smallest and largest finite value."""

    lazy: ClassVar[bool] = True

    def start(self, info: TensorInfo) -> ExtremesFold:
        return ExtremesFold()

    def follow(self, info: TensorInfo, overview: Summary) -> Range:
        # Adding zero makes -0 a 0, so that the result does not depend on the order of the two.
        return Range(overview.minimum + 0.0, overview.maximum + 0.0) if overview.count else Range(nan, nan)


class ExtremesFold:
    """Runs over the finite values of each block."""

    def __init__(self) -> None:
        self._minimum = inf
        self._maximum = -inf

    def update(self, block: Block) -> None:
        minimum, maximum = block.range
        self._minimum = min(self._minimum, minimum)
        self._maximum = max(self._maximum, maximum)

    def merge(self, other: Self) -> None:
        self._minimum = min(self._minimum, other._minimum)
        self._maximum = max(self._maximum, other._maximum)

    def finish(self) -> Range:
        if self._minimum > self._maximum:
            return Range(nan, nan)
        return Range(self._minimum + 0.0, self._maximum + 0.0)


@dataclass(frozen=True, slots=True)
class Peak(Following[float]):
    """Largest finite absolute value; 0 if there is none."""

    lazy: ClassVar[bool] = True

    def start(self, info: TensorInfo) -> PeakFold:
        return PeakFold()

    def follow(self, info: TensorInfo, overview: Summary) -> float:
        return overview.peak


class PeakFold:
    """Uses the block's shared peak, which is free once any other fold asked for it."""

    def __init__(self) -> None:
        self._peak = 0.0

    def update(self, block: Block) -> None:
        if block.is_finite:
            self._peak = max(self._peak, block.peak)
        elif block.finite.size:
            self._peak = max(self._peak, float(block.finite_absolute.max()))

    def merge(self, other: Self) -> None:
        self._peak = max(self._peak, other._peak)

    def finish(self) -> float:
        return self._peak


@dataclass(frozen=True, slots=True)
class Uniform(Following[float | None]):
    """The one value that every element has, or None if they differ or are not finite."""

    lazy: ClassVar[bool] = True

    def start(self, info: TensorInfo) -> UniformFold:
        return UniformFold()

    def follow(self, info: TensorInfo, overview: Summary) -> float | None:
        same = overview.count and overview.minimum == overview.maximum
        return overview.minimum + 0.0 if same else None


class UniformFold:
    """Costs nothing in a tensor whose values differ: the first two usually prove it."""

    def __init__(self) -> None:
        self._value: float | None = None
        self._differs = False

    def update(self, block: Block) -> None:
        if self._differs or not block.size:
            return
        minimum, maximum = block.range
        # Adding zero makes -0 a 0, so that the value does not depend on the order of the two.
        self._take(minimum + 0.0 if minimum == maximum and block.is_finite else None)

    def merge(self, other: Self) -> None:
        if other._differs or other._value is not None:
            self._take(None if other._differs else other._value)

    def _take(self, value: float | None) -> None:
        if value is None or (self._value is not None and value != self._value):
            self._differs = True
        self._value = value

    def finish(self) -> float | None:
        return None if self._differs else self._value
