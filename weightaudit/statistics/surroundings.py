"""The largest magnitude of a tensor, beside the others, and beside those in its row and its column."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf, log
from statistics import fmean
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from weightaudit.dtypes import components
from weightaudit.statistics.base import UNKNOWN, Unknown
from weightaudit.statistics.isolated import Isolation, IsolationFold
from weightaudit.statistics.summary import Following

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from weightaudit.statistics.block import Block
    from weightaudit.statistics.summary import Summary
    from weightaudit.tensor import TensorInfo

REACH = 1 << 15
"""How many elements before and after the largest its row and its column are followed, at most."""

FEW = 3
"""Others that a row and a column have at least to say what is usual there."""


@dataclass(frozen=True, slots=True)
class Outlier:
    """The largest magnitude of a tensor, where it is above all others.

    Attributes:
        count: How many values a gap separates from all others, as `Isolation` says; 0 if none.
        value: The one of the largest magnitude, with its sign.
        place: Its index in the flattened tensor; -1 if nothing stands out, and then all else means nothing.
        below: Largest magnitude among those that are not isolated; if none is, the second largest of all.
        beside: Largest other magnitude in its row and its column; its own where too few are known.
        spacing: Ratio of its spacing, as for `Isolation`, to the mean of those below it.
    """

    count: int = 0
    value: float = 0.0
    place: int = -1
    below: float = 0.0
    beside: float = 0.0
    spacing: float = 0.0


_NOTHING = Outlier()


@dataclass(frozen=True, slots=True)
class Standout(Following[Outlier]):
    """What `Isolation` tells, and of a largest value that it does not isolate, what lies around it.

    A row is what has the same index but for the last axis, a column what has the same index on it; axes of
    length one at the end do not count. Both are followed as far as they lie in the same block, and `REACH`
    elements at most: a border of blocks can leave neighbours out.

    Attributes:
        gap: As for `Isolation`.
        spacing: As for `Isolation`.
        wide: As for `Isolation`.
        near: Least ratio of the largest magnitude to the next one at which its surroundings are looked at.
    """

    gap: float = 1.2
    spacing: float = 10.0
    wide: float = 2.0
    near: float = 1.1

    lazy: ClassVar[bool] = True

    def start(self, info: TensorInfo) -> StandoutFold:
        return StandoutFold(_NotingFold(self._least, info, self.near), self.gap)

    def follow(self, info: TensorInfo, overview: Summary) -> Outlier | Unknown:
        return UNKNOWN if self._least.follow(info, overview) is UNKNOWN else _NOTHING

    @property
    def _least(self) -> Isolation:
        """What passes over nothing that has to be looked at."""
        return Isolation(self.near, self.spacing, self.wide)


class _NotingFold(IsolationFold):
    """Notes the surroundings of the largest value when it comes by."""

    def __init__(self, what: Isolation, info: TensorInfo, near: float) -> None:
        super().__init__(what, is_enough=info.size * components(info.dtype) > FEW)
        self._near = near
        self._row = components(info.dtype) * next((n for n in reversed(info.shape) if n > 1), 1)
        self._noted = _NOTHING

    def _look(self, chunk: Block) -> None:
        super()._look(chunk)
        first = self._kept[0]
        place = first.place - chunk.start
        # One that came alone may turn out to be above those before it.
        if first.place >= 0 and 0 <= place < chunk.size and (len(self._kept) == 1 or self._is_above()):
            beside = _beside(chunk.cleaned, place, first.place % self._row, self._row)
            self._noted = Outlier(0, first.value, first.place, 0.0, beside)

    def _is_above(self) -> bool:
        kept = self._kept
        return len(kept) > 1 and kept[0].magnitude >= self._near * kept[1].magnitude > 0

    def join(self, other: Self) -> None:
        """Take in the fold of the stretch that follows this one."""
        self.merge(other)
        if other._noted.place >= 0 and other._noted.place == self._kept[0].place:
            self._noted = other._noted

    def outlier(self, gap: float) -> Outlier:
        """Return what stands out; less than a gap isolates nothing."""
        found = self.finish()
        if found.count and found.least >= gap * found.below:
            return Outlier(found.count, found.value, found.place, found.below, abs(found.value))
        if not self._is_enough:
            return _NOTHING
        # What was noted is of the past where a larger value, or one nearly as large, came after it.
        if self._noted.place < 0 or self._noted.place != self._kept[0].place or not self._is_above():
            return _NOTHING
        magnitudes = [one.magnitude for one in self._kept]
        return replace(self._noted, below=magnitudes[1], spacing=_spacing(magnitudes))


def _spacing(magnitudes: list[float]) -> float:
    """Return the ratio of the first spacing of magnitudes, largest first, to the mean of the others.

    The spacing of the largest t(1) is log(t(1) / t(2)), that of the next one 2 * log(t(2) / t(3)), and so on.
    """
    first, *others = [
        rank * log(one / other)
        for rank, (one, other) in enumerate(pairwise(one for one in magnitudes if one), 1)
    ]
    return first / mean if others and (mean := fmean(others)) else inf


def _beside(values: NDArray[Any], place: int, column: int, row: int) -> float:
    """Return the largest other magnitude in the row and the column of an element.

    Args:
        values: Elements of a block, flat.
        place: Index of the element among them.
        column: Its index in its row.
        row: Length of a row.
    """
    low, high = max(0, place - REACH), min(len(values), place + REACH + 1)
    begin, end = max(low, place - column), min(high, place - column + row)
    lines = (
        values[begin:place], values[place + 1 : end],
        values[place - (place - low) // row * row : place : row], values[place + row : high : row],
    )  # fmt: skip
    if min(lines[0].size + lines[1].size, lines[2].size + lines[3].size) < FEW:
        return float(abs(values[place]))
    return float(max(np.abs(line).max(initial=0) for line in lines))


class StandoutFold:
    """An `IsolationFold` that also tells what lies around the largest value."""

    def __init__(self, noting: _NotingFold, gap: float) -> None:
        self._noting = noting
        self._gap = gap

    def update(self, block: Block) -> None:
        self._noting.update(block)

    def merge(self, other: Self) -> None:
        self._noting.join(other._noting)

    def finish(self) -> Outlier:
        return self._noting.outlier(self._gap)
