"""Channels of a tensor that hold the same numbers as another one."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from weightaudit.dtypes import components
from weightaudit.statistics.base import UNKNOWN, Statistic, Unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from weightaudit.statistics.block import Block, Real
    from weightaudit.statistics.summary import Summary
    from weightaudit.tensor import TensorInfo

DISTINCT = 8
"""Different numbers that a channel holds at least; channels with fewer may be equal by chance."""

ENOUGH = 256
"""Rows in which channels have shown so many different numbers, or are not followed further."""

SINGLE_ROWS = 4
"""Rows that are looked at one by one before the rest of a block is looked at as a whole."""

FEW = 256
"""Numbers that Python compares faster than numpy."""

_FACTORS = np.array(
    [0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93], np.uint64
)
"""An odd number for each of these rows, as hash functions have them."""


@dataclass(frozen=True, slots=True)
class Equals:
    """Channels that are equal to an earlier one, number by number.

    Attributes:
        count: How many; 0 if there is none, and then all else means nothing.
        channel: The first of them.
        source: The earlier one that it is equal to.
    """

    count: int = 0
    channel: int = 0
    source: int = 0


_NONE = Equals()


@dataclass(frozen=True, slots=True)
class EqualChannels(Statistic[Equals]):
    """Which channels hold the same numbers in the same places, NaN and Inf taken for zero.

    A channel is an element of the last axes. Those that hold fewer than `DISTINCT` different numbers in the
    first `ENOUGH` rows of a stretch, such as dead ones, do not count. In healthy tensors a few rows tell
    all channels apart, and nothing else is looked at; where they do not, every element is compared.

    Attributes:
        last: How many of the last axes the channels are on.
    """

    last: int = 1

    lazy: ClassVar[bool] = True

    def start(self, info: TensorInfo) -> EqualChannelsFold:
        return EqualChannelsFold(self._row(info))

    def follow(self, info: TensorInfo, overview: Summary) -> Equals | Unknown:
        row = self._row(info)
        rows = min(SINGLE_ROWS, overview.count // row) if row else 0
        head = overview.first(rows * row) if rows else None
        return UNKNOWN if head is None or not _all_differ(head.reshape(rows, row)) else _NONE

    def _row(self, info: TensorInfo) -> int:
        """Return how many numbers lie side by side, one of each channel."""
        return prod(info.shape[-self.last :]) * components(info.dtype)


@dataclass(frozen=True, slots=True)
class _Group:
    """Channels that were equal so far, and up to `DISTINCT` different numbers that each of them holds."""

    channels: NDArray[np.intp]
    values: frozenset[float] = frozenset()


class EqualChannelsFold:
    """Splits groups of channels row by row until each channel is alone.

    A stretch may begin and end within a row: those elements wait until the rest of the row is there.
    """

    def __init__(self, row: int) -> None:
        self._row = row
        self._groups = [_Group(np.arange(row))] if row > 1 else []
        self._rows = 0
        self._start = -1
        self._head: Real | None = None
        self._rest: Real = np.empty(0)

    def update(self, block: Block) -> None:
        if not self._groups or not block.size:
            return
        if not self._rest.size and block.start % self._row == 0 and block.size >= self._row:
            rows = min(SINGLE_ROWS, block.size // self._row)
            if _all_differ(block.part(0, rows * self._row).cleaned.reshape(rows, self._row)):
                self._groups = []
        if self._groups:
            self._take(block.cleaned, block.start)

    def _take(self, values: Real, start: int) -> None:
        """Split by all whole rows, and keep what lies before the first and after the last of them."""
        if self._start < 0:
            self._start = start
        if self._rest.size:
            values, start = np.concatenate([self._rest, values]), start - self._rest.size
        before = -start % self._row
        if before:
            if values.size < before:
                self._rest = values.copy()
                return
            self._head, values = values[:before].copy(), values[before:]
        whole = values.size - values.size % self._row
        body = values[:whole].reshape(-1, self._row)
        self._rest = values[whole:].copy()
        # Channels that were not told apart by single rows are hardly told apart by a few more.
        single = 0 if self._rows else min(SINGLE_ROWS, len(body))
        for number in range(single):
            self._split(body[number : number + 1])
        if len(body) > single:
            self._split(body[single:])
        self._rows += len(body)
        if self._rows >= ENOUGH:
            self._groups = [group for group in self._groups if len(group.values) >= DISTINCT]

    def _split(self, body: Real) -> None:
        by = _by_value if len(body) == 1 else _by_column
        self._groups = [part for group in self._groups for part in by(group, body)]

    def merge(self, other: Self) -> None:
        if other._start < 0 and other._groups:
            return
        if not other._groups:
            self._groups = []
        elif other._head is None and other._start % self._row:
            self._take(other._rest, other._start)
        else:
            if other._head is not None:
                self._take(other._head, other._start)
            self._start = max(self._start, 0)
            self._groups = list(_both(self._groups, other._groups))
            self._rest = other._rest

    def finish(self) -> Equals:
        found = [group for group in self._groups if len(group.values) >= DISTINCT]
        if not found:
            return _NONE
        first = min(found, key=lambda group: int(group.channels[1]))
        count = sum(len(group.channels) - 1 for group in found)
        return Equals(count, int(first.channels[1]), int(first.channels[0]))


def _all_differ(body: Real) -> bool:
    """Say whether a few rows show that no two channels are equal.

    Each channel gets a sum of its words, each times a number: equal channels have equal sums, so where all
    sums differ all channels do. One row does not suffice in halves, of which there are few.
    """
    if body.size <= FEW:
        columns = list(zip(*body.tolist(), strict=True))
        return len(set(columns)) == len(columns)
    # Adding zero makes -0 a 0, which it is equal to.
    words = (body + body.dtype.type(0)).view(f"u{body.itemsize}").astype(np.uint64, copy=False)
    sums = np.sort((words * _FACTORS[: len(body), np.newaxis]).sum(axis=0, dtype=np.uint64))
    return bool((sums[1:] != sums[:-1]).all())


def _by_value(group: _Group, body: Real) -> Iterator[_Group]:
    """Split a group by one row."""
    row = body[0] if len(group.channels) == body.shape[1] else body[0, group.channels]
    values = row.tolist()
    if len(set(values)) == len(values):
        return
    parts: dict[float, list[int]] = defaultdict(list)
    for channel, value in zip(group.channels.tolist(), values, strict=True):
        parts[value].append(channel)
    for value, channels in parts.items():
        if len(channels) > 1:
            yield _Group(np.array(channels), _with(group.values, {value}))


def _by_column(group: _Group, body: Real) -> Iterator[_Group]:
    """Split a group by several rows, in a time that grows with its channels, not with their pairs."""
    held = body if len(group.channels) == body.shape[1] else body[:, group.channels]
    if (held == held[:, :1]).all():  # as in what is dead as a whole
        yield _Group(group.channels, _with_all(group.values, held[:, 0]))
        return
    # Adding zero makes -0 a 0, which it is equal to.
    columns = np.ascontiguousarray(held.T) + body.dtype.type(0)
    parts: dict[bytes, list[int]] = defaultdict(list)
    for place, column in enumerate(columns):
        parts[column.tobytes()].append(place)
    for places in parts.values():
        if len(places) > 1:
            yield _Group(group.channels[places], _with_all(group.values, columns[places[0]]))


def _with(values: frozenset[float], others: Iterable[float]) -> frozenset[float]:
    """Return the union of two sets of numbers; more than `DISTINCT` of them are not kept."""
    return values if len(values) >= DISTINCT else frozenset(sorted(values.union(others))[:DISTINCT])


def _with_all(values: frozenset[float], column: Real) -> frozenset[float]:
    """Return the same of numbers and a channel; one that shows no more is not looked at."""
    return values if len(values) >= DISTINCT else _with(values, np.unique(column)[:DISTINCT].tolist())


def _both(groups: Sequence[_Group], others: Sequence[_Group]) -> Iterator[_Group]:
    """Return the channels that are in one group on both sides."""
    numbers = {channel: number for number, other in enumerate(others) for channel in other.channels.tolist()}
    for group in groups:
        parts: dict[int, list[int]] = defaultdict(list)
        for channel in group.channels.tolist():
            if channel in numbers:
                parts[numbers[channel]].append(channel)
        for number, channels in parts.items():
            if len(channels) > 1:
                yield _Group(np.array(channels), _with(group.values, others[number].values))
