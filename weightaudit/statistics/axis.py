"""Norms along axes: one number for every group of elements that differ only on the reduced axes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import inf, prod
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from weightaudit.dtypes import components
from weightaudit.statistics.base import UNKNOWN, Statistic, Unknown
from weightaudit.statistics.summary import Following

if TYPE_CHECKING:
    from collections.abc import Iterator

    from weightaudit.statistics.block import Block
    from weightaudit.statistics.summary import Summary
    from weightaudit.tensor import TensorInfo

HEAD = 4096
"""How many elements of a block are looked at first where a few may suffice."""

NARROW = 2048
"""Rows shorter than this are folded together first: numpy reduces long rows many times faster."""


@dataclass(frozen=True, slots=True)
class AxisNorm(Statistic[NDArray[np.float64]]):
    """Norms over `axes`, as ``numpy.linalg.norm(x, ord, axis=axes)`` without its rank limit.

    Attributes:
        axes: Axes that are summed over, negative ones counted from the end; None for all of
            them. This is the meaning of `axis` in ``keras.constraints``.
        order: 1 (sum of magnitudes), 2 (Euclidean) or inf (largest magnitude).

    The result is a float64 array with the shape of the axes that are kept, in their order.
    """

    axes: tuple[int, ...] | None = None
    order: float = 2

    def start(self, info: TensorInfo) -> AxisNormFold:
        return AxisNormFold(info, self.axes, self.order)


@dataclass(frozen=True, slots=True)
class WeakGroups(Following[NDArray[np.float64]]):
    """Largest magnitude of each group, cheap where no group is weak, and exact for those that are.

    A group is weak if its largest magnitude is below `floor`, or below `relative` times the
    tensor's. Once every group has shown a value so large that no value of a block could make it
    weak, the block is passed over, and what is returned for the group is a lower bound that
    proves it strong. Where a later value, a million times larger, takes that proof away again, an
    upper bound is returned: no group is ever called weak that is not.

    Attributes:
        axes: Axes that are reduced, as in `AxisNorm`.
        relative: Share of the tensor's largest magnitude, at most 1.
        floor: Magnitude below which a group is weak whatever the others are.
    """

    axes: tuple[int, ...] | None = None
    relative: float = 1e-6
    floor: float = 0.0

    lazy: ClassVar[bool] = True

    def start(self, info: TensorInfo) -> WeakGroupsFold:
        return WeakGroupsFold(info, self)

    def follow(self, info: TensorInfo, overview: Summary) -> NDArray[np.float64] | Unknown:
        if not overview.count or not fits(self.axes, len(info.shape)):
            return UNKNOWN
        # Were all elements of a group as small as the smallest of all, it would still be strong.
        if overview.smallest < max(self.floor, self.relative * overview.peak):
            return UNKNOWN
        # As np.full, which takes three times as long for the few channels of a small tensor.
        result = np.empty(_kept_shape(info.shape, self.axes))
        result.fill(overview.smallest)
        return result


@dataclass(frozen=True, slots=True)
class AxisSum(Statistic[NDArray[np.float64]]):
    """Sums over `axes`; without axes, the elements themselves.

    Attributes:
        axes: Axes that are summed over, as in `AxisNorm`.

    The result is a float64 array with the shape of the axes that are kept, in their order. Blocks of
    types up to float32 are summed in float32, for speed, and the blocks in float64: the error is at
    most 2e-4 times the sum of the magnitudes that a group has.
    """

    axes: tuple[int, ...] | None = None

    def start(self, info: TensorInfo) -> AxisSumFold:
        return AxisSumFold(info, self.axes, 1)


def fits(axes: tuple[int, ...] | None, rank: int) -> bool:
    """Say whether a tensor of this rank has all the axes."""
    return not axes or (min(axes) >= -rank and max(axes) < rank)


class AxisNormFold:
    """Reduces a flat block as rows of the last run of axes, and the rows to their groups."""

    def __init__(self, info: TensorInfo, axes: tuple[int, ...] | None, order: float) -> None:
        if not fits(axes, len(info.shape)):
            raise ValueError(f"{info.name} of shape {info.shape} does not have the axes {axes}")
        self._order = order
        self._kept_shape = _kept_shape(info.shape, axes)
        self._runs = _runs(info.shape, components(info.dtype), axes)
        self._ufunc = np.maximum if order == inf else np.add
        self.groups = prod(self._kept_shape)
        self._result = np.zeros(self.groups, np.float64)

    def update(self, block: Block) -> None:
        if not block.size:
            return
        values = self._terms(block)
        length, is_reduced = self._runs[-1]
        if is_reduced:
            self._reduce_rows(values, block.start, length)
        else:
            self._keep_rows(values, block.start, length)

    def _terms(self, block: Block) -> NDArray[np.floating[Any]]:
        """Return what is added up, or of what the largest is taken."""
        if self._order == 2:
            return block.squares
        return np.abs(block.wide) if self._order == 1 else block.cleaned_absolute

    def _reduce_rows(self, values: NDArray[Any], start: int, length: int) -> None:
        """Sum each row to one number: the last run of axes is reduced."""
        first_row = start // length
        cut = np.arange(first_row * length - start, values.size, length)
        cut[0] = 0
        sums = self._ufunc.reduceat(values, cut, dtype=np.float64) if length > 1 else values
        self._add(sums, first_row, self._runs[:-1])

    def _keep_rows(self, values: NDArray[Any], start: int, length: int) -> None:
        """Add whole rows to each other: the last run of axes is kept."""
        head = min(-start % length, values.size)
        if head:
            self._add_part(values[:head], start, length)
        rows = (values.size - head) // length
        if rows:
            body = values[head : head + rows * length].reshape(rows, length)
            self._add_body(body, (start + head) // length)
        if head + rows * length < values.size:
            self._add_part(values[head + rows * length :], start + head + rows * length, length)

    def _add_part(self, values: NDArray[Any], start: int, length: int) -> None:
        """Add a stretch of one row."""
        row, column = divmod(start, length)
        group = int(_groups(np.array([row]), self._runs[:-1])[0]) * length + column
        target = self._result[group : group + values.size]
        self._ufunc(target, values, out=target)

    def _add_body(self, body: NDArray[Any], first_row: int) -> None:
        rows, length = len(body), self._runs[-1][0]
        outer = self._runs[:-1]
        if all(is_reduced for _, is_reduced in outer):
            self._ufunc(self._result, self._fold_rows(body), out=self._result)
            return
        groups = _groups(np.arange(first_row, first_row + rows), outer)
        cut = np.flatnonzero(np.diff(groups, prepend=-1))
        sums = self._ufunc.reduceat(body, cut, axis=0, dtype=np.float64)
        self._ufunc.at(self._result.reshape(-1, length), groups[cut], sums)

    def _fold_rows(self, body: NDArray[Any]) -> NDArray[Any]:
        """Reduce over the first axis. Short rows are laid side by side first, for speed alone."""
        rows, length = body.shape
        side = min(rows, -(-NARROW // length))
        if side > 1:
            whole = rows - rows % side
            folded = self._ufunc.reduce(body[:whole].reshape(-1, side * length), axis=0).reshape(side, length)
            body = np.concatenate([folded, body[whole:]]) if whole < rows else folded
        result: NDArray[Any] = self._ufunc.reduce(body, axis=0)
        return result

    def _add(self, sums: NDArray[Any], first_row: int, runs: tuple[tuple[int, bool], ...]) -> None:
        """Bring row sums to their groups."""
        if all(is_reduced for _, is_reduced in runs):
            self._result[0] = self._ufunc(self._result[0], self._ufunc.reduce(sums))
        elif len(runs) == 1:
            target = self._result[first_row : first_row + sums.size]
            self._ufunc(target, sums, out=target)
        else:
            self._ufunc.at(self._result, _groups(np.arange(first_row, first_row + sums.size), runs), sums)

    def merge(self, other: Self) -> None:
        self._ufunc(self._result, other._result, out=self._result)

    def finish(self) -> NDArray[np.float64]:
        result = np.sqrt(self._result) if self._order == 2 else self._result
        return result.reshape(self._kept_shape)


class AxisSumFold(AxisNormFold):
    """An `AxisNormFold` that keeps the signs."""

    def _terms(self, block: Block) -> NDArray[np.floating[Any]]:
        return block.cleaned


class WeakGroupsFold:
    """An `AxisNorm` of order inf that passes over blocks in which nothing can be found."""

    def __init__(self, info: TensorInfo, what: WeakGroups) -> None:
        self._peaks = AxisNormFold(info, what.axes, inf)
        self._what = what
        self._weakest = -1.0
        self._largest = 0.0
        self._passed = 0.0

    def update(self, block: Block) -> None:
        if not self._is_strong(block):
            # A few elements of each group usually prove that all are strong.
            size = max(HEAD, 4 * self._peaks.groups)
            for part in _growing(block, size):
                self._peaks.update(part)
                self._weakest, self._largest = _extremes(self._peaks.finish())
                if self._is_strong(block):
                    break
            else:
                return
        self._passed = max(self._passed, block.peak)

    def _is_strong(self, block: Block) -> bool:
        """Say whether no group is weak, whatever this block holds for it."""
        return block.is_finite and self._weakest >= self._threshold(max(self._largest, block.peak))

    def merge(self, other: Self) -> None:
        self._peaks.merge(other._peaks)
        self._passed = max(self._passed, other._passed)

    def finish(self) -> NDArray[np.float64]:
        peaks = self._peaks.finish()
        weakest, largest = _extremes(peaks)
        threshold = self._threshold(largest)
        if not self._passed or weakest >= threshold:
            return peaks
        return np.where(peaks < threshold, np.maximum(peaks, self._passed), peaks)

    def _threshold(self, largest: float) -> float:
        return max(self._what.floor, self._what.relative * largest)


def _extremes(peaks: NDArray[np.float64]) -> tuple[float, float]:
    """Return the smallest and the largest of some magnitudes; Inf and 0 if there is none."""
    # Of few numbers, numpy finds the place of an extreme in a third of the time for its value.
    return (peaks.item(peaks.argmin()), peaks.item(peaks.argmax())) if peaks.size else (inf, 0.0)


def _growing(block: Block, size: int) -> Iterator[Block]:
    """Cut a block into parts of which each is eight times as long as the one before it."""
    if size >= block.size:
        yield block
        return
    start = 0
    while start < block.size:
        yield block.part(start, min(size, block.size - start))
        start, size = start + size, 8 * size


def _reduced(rank: int, axes: tuple[int, ...] | None) -> set[int]:
    return set(range(rank)) if axes is None else {axis % rank for axis in axes}


@lru_cache(maxsize=1024)
def _kept_shape(shape: tuple[int, ...], axes: tuple[int, ...] | None) -> tuple[int, ...]:
    reduced = _reduced(len(shape), axes)
    return tuple(n for axis, n in enumerate(shape) if axis not in reduced)


@lru_cache(maxsize=1024)
def _runs(shape: tuple[int, ...], parts: int, axes: tuple[int, ...] | None) -> tuple[tuple[int, bool], ...]:
    """Join neighbouring axes that are treated alike into ``(length, is_reduced)``; drop length 1.

    The parts of a number, of which a complex one has two, are one more axis, which is reduced.
    """
    reduced = {*_reduced(len(shape), axes), len(shape)}
    runs: list[tuple[int, bool]] = []
    for axis, length in enumerate((*shape, parts)):
        is_reduced = axis in reduced
        if length == 1:
            continue
        if runs and runs[-1][1] == is_reduced:
            runs[-1] = (runs[-1][0] * length, is_reduced)
        else:
            runs.append((length, is_reduced))
    return tuple(runs) or ((1, True),)


def _groups(rows: NDArray[np.intp], runs: tuple[tuple[int, bool], ...]) -> NDArray[np.intp]:
    """Return the number of the group that each row belongs to."""
    groups = np.zeros_like(rows)
    stride = 1
    for length, is_reduced in reversed(runs):
        if not is_reduced:
            groups += rows % length * stride
            stride *= length
        rows = rows // length
    return groups
