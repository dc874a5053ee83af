"""Counts: elements that are not finite, that are zero, that lie below or above a magnitude."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import inf, nan
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from weightaudit.statistics.base import UNKNOWN, Unknown
from weightaudit.statistics.summary import Following

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from weightaudit.statistics.block import Block
    from weightaudit.statistics.summary import Summary
    from weightaudit.tensor import TensorInfo


@dataclass(frozen=True, slots=True)
class NonFiniteCount:
    """How many elements are not finite, by kind, and where the first of them is (-1: nowhere)."""

    nan: int = 0
    positive: int = 0
    negative: int = 0
    first: int = -1

    @property
    def infinite(self) -> int:
        """Elements that are +Inf or -Inf."""
        return self.positive + self.negative

    @property
    def total(self) -> int:
        """Elements that are NaN or infinite."""
        return self.nan + self.infinite


_ALL_FINITE = NonFiniteCount()


@dataclass(frozen=True, slots=True)
class NonFinite(Following[NonFiniteCount]):
    """Count of NaN, +Inf and -Inf."""

    lazy: ClassVar[bool] = True

    def start(self, info: TensorInfo) -> NonFiniteFold:
        return NonFiniteFold()

    def follow(self, info: TensorInfo, overview: Summary) -> NonFiniteCount:
        return _ALL_FINITE


class NonFiniteFold:
    """Exact counting happens only in blocks whose peak is not finite."""

    def __init__(self) -> None:
        self._count = NonFiniteCount()

    def update(self, block: Block) -> None:
        if block.is_finite:
            return
        bad = ~np.isfinite(block.values)
        nans = int(np.isnan(block.values).sum())
        positive = int(np.isposinf(block.values).sum())
        first = block.start + int(bad.argmax())
        self._add(NonFiniteCount(nans, positive, int(bad.sum()) - nans - positive, first))

    def merge(self, other: Self) -> None:
        self._add(other._count)

    def _add(self, more: NonFiniteCount) -> None:
        have = self._count
        first = have.first if have.first >= 0 else more.first
        self._count = NonFiniteCount(
            have.nan + more.nan, have.positive + more.positive, have.negative + more.negative, first
        )

    def finish(self) -> NonFiniteCount:
        return self._count


class CountFold(ABC):
    """A count of elements that is the sum of its blocks' counts."""

    def __init__(self) -> None:
        self._count = 0

    def update(self, block: Block) -> None:
        self._count += self.count(block)

    @abstractmethod
    def count(self, block: Block) -> int:
        """Return how many elements of the block belong."""

    def merge(self, other: Self) -> None:
        self._count += other._count

    def finish(self) -> int:
        return self._count


@dataclass(frozen=True, slots=True)
class Zeros(Following[int]):
    """Count of elements that are exactly 0 or -0."""

    lazy: ClassVar[bool] = True

    def start(self, info: TensorInfo) -> CountFold:
        return _ZeroFold()

    def follow(self, info: TensorInfo, overview: Summary) -> int | Unknown:
        if overview.smallest > 0:
            return 0
        return overview.lone_zeros if overview.lone_zeros >= 0 else UNKNOWN


class _ZeroFold(CountFold):
    def count(self, block: Block) -> int:
        lone, chunks = block.zeros()
        # A comparison and a count of booleans are six times faster than np.count_nonzero on floats.
        return lone + sum(int(np.count_nonzero(chunk.values == 0)) for chunk in chunks)


def _least(magnitude: NDArray[np.floating[Any]], limit: float) -> np.floating[Any]:
    """Return the smallest number of the array's type that is not below the limit.

    Comparing with it is the same as comparing with the limit itself, without widening the array.
    """
    nearest = magnitude.dtype.type(limit)
    return np.nextafter(nearest, magnitude.dtype.type(inf)) if float(nearest) < limit else nearest


@dataclass(frozen=True, slots=True)
class Below(Following[int]):
    """Count of finite elements with ``|x| < limit``, zeros included."""

    limit: float

    lazy: ClassVar[bool] = True

    def start(self, info: TensorInfo) -> CountFold:
        return _BelowFold(self.limit)

    def follow(self, info: TensorInfo, overview: Summary) -> int | Unknown:
        if overview.smallest >= self.limit:
            return 0
        return overview.count if overview.peak < self.limit else UNKNOWN


class _BelowFold(CountFold):
    def __init__(self, limit: float) -> None:
        super().__init__()
        self._limit = limit

    def count(self, block: Block) -> int:
        magnitude = block.finite_absolute
        return int(np.count_nonzero(magnitude < _least(magnitude, self._limit)))


@dataclass(frozen=True, slots=True)
class AboveCount:
    """How many elements reach a limit, and the largest magnitude among them (0 if there is none)."""

    count: int = 0
    largest: float = 0.0


_NONE_ABOVE = AboveCount()


@dataclass(frozen=True, slots=True)
class Above(Following[AboveCount]):
    """Count of finite elements with ``|x| >= limit``, and the largest of them."""

    limit: float

    lazy: ClassVar[bool] = True

    def start(self, info: TensorInfo) -> AboveFold:
        return AboveFold(self.limit)

    def follow(self, info: TensorInfo, overview: Summary) -> AboveCount | Unknown:
        is_below = overview.maximum < self.limit and -overview.minimum < self.limit
        return _NONE_ABOVE if is_below else UNKNOWN


class AboveFold:
    """Looks at elements only in blocks whose largest magnitude reaches the limit."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._found = AboveCount()

    def update(self, block: Block) -> None:
        if block.peak < self._limit:
            return
        magnitude = block.finite_absolute
        reaching = magnitude >= _least(magnitude, self._limit)
        count = int(np.count_nonzero(reaching))
        if count:
            self._add(AboveCount(count, float(magnitude.max())))

    def merge(self, other: Self) -> None:
        self._add(other._found)

    def _add(self, more: AboveCount) -> None:
        have = self._found
        self._found = AboveCount(have.count + more.count, max(have.largest, more.largest))

    def finish(self) -> AboveCount:
        return self._found


@dataclass(frozen=True, slots=True)
class TinyCount:
    """What happens to the smallest elements when a tensor is cast to a narrower float.

    Attributes:
        flushed: Nonzero elements with ``|x| <= flush``, which become zero.
        flushed_energy: Sum of their squares, in float64.
        subnormal: Elements with ``flush < |x| < normal``, which keep only part of their digits.
    """

    flushed: int = 0
    flushed_energy: float = 0.0
    subnormal: int = 0


_NONE_TINY = TinyCount()


@dataclass(frozen=True, slots=True)
class Tiny(Following[TinyCount]):
    """Count and energy of the finite elements that fall below the range of a narrower float.

    Attributes:
        flush: Largest magnitude that rounds to zero in the narrower type.
        normal: Smallest normal magnitude of the narrower type. Both are powers of two, so
            that the comparison is exact in every type that tensors are decoded to.
        share: Elements are not counted in blocks where all of them together, lost whole, would
            be less than this share of the block's own energy: there they cannot matter. So the
            energy that is left uncounted is below this share of the tensor's. 0: count all.
    """

    flush: float
    normal: float
    share: float = 0.0

    lazy: ClassVar[bool] = True

    def start(self, info: TensorInfo) -> TinyFold:
        return TinyFold(self)

    def follow(self, info: TensorInfo, overview: Summary) -> TinyCount | Unknown:
        is_clear = overview.smallest >= self.normal or not overview.peak
        is_clear = is_clear or _is_negligible(self, overview.count, overview.squares)
        return _NONE_TINY if is_clear else UNKNOWN


def _is_negligible(what: Tiny, count: int, squares: float) -> bool:
    """Say whether all elements together, if each were flushed, would lose less than the share."""
    return what.share > 0 and count * what.flush**2 < what.share * squares


class TinyFold:
    """Two comparisons count the candidates; only those that may be flushed are looked at again."""

    def __init__(self, what: Tiny) -> None:
        self._what = what
        self._count = TinyCount()

    def update(self, block: Block) -> None:
        # The sums are shared with `Moments`, so that healthy blocks cost nothing here.
        # Optimizer slots that were never used are zero throughout, and large.
        if not block.peak or _is_negligible(self._what, block.size, block.sums[1]):
            return
        magnitude = block.finite_absolute
        below = int(np.count_nonzero(magnitude < _least(magnitude, self._what.normal)))
        if not below:
            return
        small = magnitude <= magnitude.dtype.type(self._what.flush)
        flushed = int(np.count_nonzero(small))
        subnormal = below - flushed
        energy = 0.0
        if flushed:
            lost = magnitude[small].astype(np.float64)
            flushed = int(np.count_nonzero(lost > 0))
            energy = float(np.dot(lost, lost))
        self._add(TinyCount(flushed, energy, subnormal))

    def merge(self, other: Self) -> None:
        self._add(other._count)

    def _add(self, more: TinyCount) -> None:
        have = self._count
        self._count = TinyCount(
            have.flushed + more.flushed,
            have.flushed_energy + more.flushed_energy,
            have.subnormal + more.subnormal,
        )

    def finish(self) -> TinyCount:
        return self._count


@dataclass(frozen=True, slots=True)
class NegativeCount:
    """How many finite elements are below zero (-0.0 is not), and the smallest finite one (NaN: none)."""

    count: int
    minimum: float


@dataclass(frozen=True, slots=True)
class Negative(Following[NegativeCount]):
    """Count of finite elements below zero, and the smallest finite element."""

    lazy: ClassVar[bool] = True

    def start(self, info: TensorInfo) -> NegativeFold:
        return NegativeFold()

    def follow(self, info: TensorInfo, overview: Summary) -> NegativeCount | Unknown:
        if overview.minimum < 0:
            return UNKNOWN
        return NegativeCount(0, overview.minimum if overview.count else nan)


class NegativeFold:
    """One minimum per block; counts only in blocks whose minimum is negative."""

    def __init__(self) -> None:
        self._count = 0
        self._minimum = inf

    def update(self, block: Block) -> None:
        minimum, _ = block.range
        self._minimum = min(self._minimum, minimum)
        if minimum < 0:
            self._count += int(np.count_nonzero(block.finite < 0))

    def merge(self, other: Self) -> None:
        self._count += other._count
        self._minimum = min(self._minimum, other._minimum)

    def finish(self) -> NegativeCount:
        return NegativeCount(self._count, nan if self._minimum == inf else self._minimum)
