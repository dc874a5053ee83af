"""What is known of one tensor so far: the numbers of its blocks, merged in the order of the tensor."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.dtypes import components
from weightaudit.engine.tensorflow.layout import SIGNED, Layout, Norms, layout_of
from weightaudit.engine.tensorflow.scalars import Totals, result_of, sums_of, value_of
from weightaudit.statistics import AxisNorm, AxisSum, Statistic, WeakGroups
from weightaudit.statistics.axis import fits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from weightaudit.engine.tensorflow.device import Numbers, Work
    from weightaudit.engine.tensorflow.layout import Group
    from weightaudit.engine.tensorflow.packing import Batch, Span, Stretch
    from weightaudit.engine.tensorflow.scalars import Sum
    from weightaudit.tensor import TensorInfo

_NAN, _FINITE = ("nan", 0.0), ("finite", 0.0)


def group_of(statistic: Statistic[Any], rank: int) -> Group | None:
    """Return axes and order of the norm, or sum, that a statistic is of a tensor of a rank; None if of none.

    The largest magnitudes that `WeakGroups` may pass over are all computed here.
    """
    if type(statistic) is WeakGroups:
        found: Group = statistic.axes, inf
    elif type(statistic) is AxisSum:
        found = statistic.axes, SIGNED
    elif type(statistic) is AxisNorm and statistic.order in {1, 2, inf}:
        found = statistic.axes, statistic.order
    else:
        return None
    return found if fits(found[0], rank) else None


def is_known(statistic: Statistic[Any], rank: int) -> bool:
    """Say whether a tally gives the result of a statistic; else its own fold has to."""
    return sums_of(statistic) is not None or group_of(statistic, rank) is not None


@dataclass(frozen=True, slots=True)
class Computed:
    """A batch, what was computed of it, and the results, on the host."""

    batch: Batch
    work: Work
    numbers: Numbers

    def blocks(self, span: Span) -> slice:
        """Return which blocks belong to a span."""
        line, stretch = span.stretches[-1]
        return slice(span.first, -(-(line + stretch.lines) // self.batch.shape.height))

    def padding(self, span: Span) -> int:
        """Return how many places of its blocks hold no element."""
        mine, shape = self.blocks(span), self.batch.shape
        return int(mine.stop - mine.start) * shape.height * shape.width - span.elements


class Tally:
    """Numbers of a tensor, and the results of its statistics in the end.

    Args:
        info: The tensor, as decoded.
        statistics: What is wanted of it; `is_known` of all.
    """

    def __init__(self, info: TensorInfo, statistics: tuple[Statistic[Any], ...]) -> None:
        self._info = info
        self.statistics = statistics
        self._groups, self.layout = _arranged(info.shape, info.dtype, statistics)
        self._norms = [np.zeros((one.groups, one.length)) for one in self.layout.norms]
        self._sums: dict[Sum, float] = {}
        self._low, self._high, self._smallest, self._first = inf, -inf, inf, -1

    def add(self, span: Span, computed: Computed) -> None:
        """Take in what was computed of the tensor's blocks in a batch."""
        work, numbers = computed.work, computed.numbers
        mine = computed.blocks(span)
        sums = dict(zip(work.sums, numbers.sums[mine].sum(axis=0).tolist(), strict=True))
        if _NAN in sums:
            sums[_NAN] -= computed.padding(span)
        self._sums = {one: self._sums.get(one, 0.0) + value for one, value in sums.items()}
        low, high = int(numbers.low[mine].min()), int(numbers.high[mine].max())
        if low <= high:
            self._low = min(self._low, value_of(low, work.dtype))
            self._high = max(self._high, value_of(high, work.dtype))
            self._smallest = min(self._smallest, value_of(int(numbers.smallest[mine].min()), work.dtype))
        if self._first < 0 and sums.get(_FINITE, inf) < span.elements:
            self._first = _first_bad(span, computed.batch)
        for one, result in zip(self.layout.norms, self._norms, strict=True):
            if one.is_columns:
                _add_columns(one, result, span, computed)
            else:
                _add_rows(one, result, span, computed)

    def finish(self, sums: Iterable[Sum]) -> dict[Statistic[Any], Any]:
        """Return the results.

        Args:
            sums: What was summed up of every tensor.
        """
        size = self._info.size * components(self._info.dtype)
        named = {one: self._sums.get(one, 0.0) for one in sums}
        totals = Totals(named, size, self._low, self._high, self._smallest, self._first)
        return {one: self._result(one, totals) for one in self.statistics}

    def _result(self, statistic: Statistic[Any], totals: Totals) -> Any:
        number = self._groups.get(statistic)
        if number is None:
            return result_of(statistic, totals)
        norms, result = self.layout.norms[number], self._norms[number]
        if norms.side > 1:
            result = _ufunc(norms.order).reduce(result.reshape(norms.side, -1), axis=0)
        return (np.sqrt(result) if norms.order == 2 else result).reshape(norms.shape)


@lru_cache(maxsize=4096)
def _arranged(
    shape: tuple[int, ...], dtype: str, statistics: tuple[Statistic[Any], ...]
) -> tuple[dict[Statistic[Any], int], Layout]:
    """Return the number of the norm that each statistic is, if it is one, and the layout for all norms."""
    found = {one: group for one in statistics if (group := group_of(one, len(shape))) is not None}
    groups = list(dict.fromkeys(found.values()))
    return {one: groups.index(group) for one, group in found.items()}, layout_of(shape, dtype, groups)


def _ufunc(order: float) -> np.ufunc:
    return np.maximum if order == inf else np.add


def _first_bad(span: Span, batch: Batch) -> int:
    """Return the index of the first element that is not finite."""
    for line, stretch in span.stretches:
        bad = ~np.isfinite(_elements(batch, line, stretch))
        if bad.any():
            return stretch.start + int(bad.argmax())
    raise AssertionError("a batch changed while it was computed")


def _elements(batch: Batch, line: int, stretch: Stretch) -> NDArray[np.floating[Any]]:
    columns = slice(stretch.column, stretch.column + stretch.size)
    return batch.lines[line : line + stretch.lines, columns].reshape(-1)


def _add_columns(norms: Norms, result: NDArray[np.float64], span: Span, computed: Computed) -> None:
    """Bring the numbers of columns to the group that all rows of a span belong to."""
    work = computed.work
    found = computed.numbers.columns[work.columns.index(norms.order)][computed.blocks(span)]
    joined = _ufunc(norms.order).reduce(_magnitudes(found, work.dtype), axis=0)
    group = norms.group_of(np.array([span.stretches[0][1].row]))[0]
    target = result[group, span.base : span.base + joined.size]
    _ufunc(norms.order)(target, joined[: target.size], out=target)


def _add_rows(norms: Norms, result: NDArray[np.float64], span: Span, computed: Computed) -> None:
    """Bring the numbers of rows to their groups."""
    work = computed.work
    lines = computed.numbers.rows[work.rows.index(norms.order)].reshape(-1)
    for line, stretch in span.stretches:
        groups = norms.group_of(np.arange(stretch.row, stretch.row + stretch.lines))
        found = _magnitudes(lines[line : line + stretch.lines], work.dtype)
        _ufunc(norms.order).at(result[:, 0], groups, found)


def _magnitudes(found: NDArray[Any], dtype: str) -> NDArray[np.float64]:
    """Return numbers as float64; integers are the bits of magnitudes."""
    return (found.view(dtype) if found.dtype.kind == "i" else found).astype(np.float64)
