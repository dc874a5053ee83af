"""The largest magnitudes of a tensor, and whether a gap separates them from all others."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log, sqrt
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Self

from weightaudit.dtypes import components
from weightaudit.statistics.base import UNKNOWN, Unknown
from weightaudit.statistics.summary import Following

if TYPE_CHECKING:
    from collections.abc import Iterable

    from weightaudit.statistics.block import Block
    from weightaudit.statistics.summary import Summary
    from weightaudit.tensor import TensorInfo

KEPT = 9
"""How many of the largest magnitudes are looked at."""

MOST = 3
"""How many of them may be isolated."""

CALM = 0.5
"""Share of what the largest of so many normal numbers comes to, up to which nothing stands out."""


@dataclass(frozen=True, slots=True)
class Isolated:
    """Values that a gap separates from all others.

    Attributes:
        count: How many; 0 if there are none, and then all else means nothing.
        value: The one of the largest magnitude, with its sign.
        place: Its index in the flattened tensor.
        least: Smallest magnitude among them.
        below: Largest magnitude among the others.
    """

    count: int = 0
    value: float = 0.0
    place: int = -1
    least: float = 0.0
    below: float = 0.0


_NONE = Isolated()


class _Value(NamedTuple):
    """A magnitude; the place is -1 where it is known only that there is such an element somewhere."""

    magnitude: float
    place: int
    value: float


@dataclass(frozen=True, slots=True)
class Isolation(Following[Isolated]):
    """Up to three values that lie far above all others, and where the largest is.

    With t(1) >= t(2) >= ... the nine largest magnitudes, and s(i) = i * log(t(i) / t(i + 1)), the largest is
    isolated if t(1) >= `gap` * t(2) and s(1) >= `spacing` * mean(s(2), ..., s(8)), and the first j are if
    t(j) >= `wide` * t(j + 1). In a tail that falls like a power, all s(i) have one exponential distribution
    (Renyi's representation, on which Hill's estimator rests), so their ratio tells how odd a gap is.

    Blocks whose largest magnitude is below half of what normal numbers reach, and stretches whose chunks'
    largest ones lie close together, are passed over: nothing in them is isolated. What is left out because
    of that makes other gaps in the tensor count less, so that a value may be missed, and none is accused
    falsely.

    Attributes:
        gap: Least ratio, above 1.
        spacing: Least ratio of spacings.
        wide: Ratio that suffices alone.
    """

    gap: float = 1.2
    spacing: float = 10.0
    wide: float = 2.0

    lazy: ClassVar[bool] = True

    def start(self, info: TensorInfo) -> IsolationFold:
        return IsolationFold(self, is_enough=_is_enough(info))

    def follow(self, info: TensorInfo, overview: Summary) -> Isolated | Unknown:
        if overview.has_gap_below(self.gap) or _is_calm(overview.count, overview.squares, overview.peak):
            return _NONE
        return UNKNOWN if _is_enough(info) else _NONE


def _is_enough(info: TensorInfo) -> bool:
    """Say whether a tensor has more numbers than may be isolated."""
    return info.size * components(info.dtype) > MOST


def _is_calm(count: int, squares: float, peak: float) -> bool:
    """Say whether the largest of so many numbers is not large for them; of few, nothing is known."""
    return count >= KEPT and peak <= CALM * sqrt(2 * log(count) * squares / count)


class IsolationFold:
    """Keeps the largest magnitudes; looks at elements where one of them may be isolated."""

    def __init__(self, what: Isolation, *, is_enough: bool) -> None:
        self._what = what
        self._is_enough = is_enough
        self._kept: list[_Value] = []

    def update(self, block: Block) -> None:
        if not block.size:
            return
        if not block.is_finite:
            for chunk in block.chunks():
                self._look(chunk)
        elif _is_calm(block.size, block.sums[1], block.peak):
            self._add([_Value(block.peak, -1, 0.0)])
        else:
            self._search(block)

    def _search(self, block: Block) -> None:
        peaks, chunks = block.peak_chunks(KEPT)
        if self._are_close(peaks.tolist()):
            self._add(_Value(peak, -1, 0.0) for peak in peaks.tolist())
            return
        for chunk in chunks:
            if len(self._kept) < KEPT or chunk.peak > self._kept[-1].magnitude:
                self._look(chunk)

    def _are_close(self, peaks: list[float]) -> bool:
        """Say whether magnitudes that elements have leave no room for a gap above the fourth of them."""
        gap = self._what.gap
        return len(peaks) > MOST and all(peaks[k] < gap * peaks[k + 1] for k in range(MOST))

    def _look(self, chunk: Block) -> None:
        if chunk.is_finite and chunk.summary.has_gap_below(self._what.gap):
            self._add([_Value(chunk.peak, -1, 0.0)])
            return
        places = chunk.largest(KEPT)
        values = chunk.cleaned[places].tolist()
        if self._are_close([abs(value) for value in values[: MOST + 1]]):
            self._add([_Value(abs(values[0]), -1, 0.0)])
            return
        self._add(
            _Value(abs(value), chunk.start + place, value)
            for place, value in zip(places, values, strict=True)
        )

    def _add(self, values: Iterable[_Value]) -> None:
        kept = [*self._kept, *values]
        if len(kept) > 1:
            kept.sort(key=lambda one: (-one.magnitude, one.place))
        self._kept = kept[:KEPT]

    def merge(self, other: Self) -> None:
        self._add(other._kept)

    def finish(self) -> Isolated:
        if not self._is_enough or (self._kept and self._kept[0].place < 0):
            return _NONE
        spacings = [
            rank * (log(one.magnitude / other.magnitude) if other.magnitude else inf)
            for rank, (one, other) in enumerate(zip(self._kept, self._kept[1:], strict=False), 1)
            if one.magnitude
        ]
        for count in range(min(MOST, len(spacings) - 1), 0, -1):
            least, below = self._kept[count - 1].magnitude, self._kept[count].magnitude
            is_known = all(one.place >= 0 for one in self._kept[:count])
            if is_known and below and self._stands_out(least / below, spacings[count - 1 :], count):
                first = self._kept[0]
                return Isolated(count, first.value, first.place, least, below)
        return _NONE

    def _stands_out(self, ratio: float, spacings: list[float], count: int) -> bool:
        what, others = self._what, spacings[1:]
        is_odd = ratio >= what.gap and spacings[0] >= what.spacing * sum(others) / len(others)
        return ratio >= what.wide or (count == 1 and is_odd)
