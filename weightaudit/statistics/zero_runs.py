"""Stretches of zeros in a tensor that otherwise has few."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from weightaudit.dtypes import components, itemsize
from weightaudit.kernels import PAGE_BYTES
from weightaudit.statistics.base import UNKNOWN, Unknown
from weightaudit.statistics.summary import Following

if TYPE_CHECKING:
    from weightaudit.statistics.block import Block
    from weightaudit.statistics.summary import Summary
    from weightaudit.tensor import TensorInfo

LEAST = 8
"""Zeros in a row that make a run; fewer are single zeros."""

MOST_SINGLE = 1 << 16
MOST_RUNS = 1 << 12
"""With more single zeros, or runs, zeros are nothing special in a tensor, and it is not looked at further."""


@dataclass(frozen=True, slots=True)
class ZeroRuns:
    """Runs of at least eight zeros in the flattened tensor.

    Attributes:
        runs: How many; 0 also where zeros are nothing special, and then all else means nothing.
        zeros: Zeros in them.
        longest: Elements of the longest run.
        place: Index of its first element.
        tail: Elements of the run with which the tensor ends.
        paged: Elements of the longest run that begins and ends where pages of the file do.
        paged_place: Index of its first element.
        broken: Runs that begin or end within a row, which is the last axis.
    """

    runs: int = 0
    zeros: int = 0
    longest: int = 0
    place: int = 0
    tail: int = 0
    paged: int = 0
    paged_place: int = 0
    broken: int = 0


_NONE = ZeroRuns()


@dataclass(frozen=True, slots=True)
class ZeroStretches(Following[ZeroRuns]):
    """Runs of zeros, where single zeros are rare: at most one in a hundred, and 65536 in all."""

    lazy: ClassVar[bool] = True

    def start(self, info: TensorInfo) -> ZeroStretchesFold:
        return ZeroStretchesFold(info)

    def follow(self, info: TensorInfo, overview: Summary) -> ZeroRuns | Unknown:
        return _NONE if overview.smallest > 0 or overview.lone_zeros >= 0 else UNKNOWN


class ZeroStretchesFold:
    """Looks at elements of chunks in which zeros may follow each other, until there were too many of them."""

    def __init__(self, info: TensorInfo) -> None:
        self._size = info.size * components(info.dtype)
        self._row = max(1, info.shape[-1] * components(info.dtype)) if info.shape else 1
        self._limit = min(MOST_SINGLE, self._size // 100)
        self._page = max(1, PAGE_BYTES // max(1, itemsize(info.dtype)))
        self._border = 0
        self._single = 0
        self._runs: list[tuple[int, int]] = []

    @property
    def _is_common(self) -> bool:
        return self._single > self._limit or len(self._runs) > MOST_RUNS

    def update(self, block: Block) -> None:
        self._border = block.border
        if self._is_common or _has_none(block):
            return
        if _is_zero(block):
            self._take(block.start, block.start + block.size)
            return
        lone, chunks = block.zeros()
        self._single += lone
        for chunk in chunks:
            if self._is_common:
                return
            self._look(chunk)

    def _look(self, chunk: Block) -> None:
        if _is_zero(chunk):
            self._take(chunk.start, chunk.start + chunk.size)
            return
        places = np.flatnonzero(chunk.values == 0)
        if not places.size:
            return
        breaks = np.flatnonzero(np.diff(places) > 1)
        begins = places[np.concatenate(([0], breaks + 1))]
        ends = places[np.concatenate((breaks, [places.size - 1]))] + 1
        lengths = ends - begins
        # A run may go on in the next chunk.
        kept = (lengths >= LEAST) | (begins == 0) | (ends == chunk.size)
        self._single += int(lengths[~kept].sum())
        for begin, end in zip(begins[kept].tolist(), ends[kept].tolist(), strict=True):
            self._take(chunk.start + begin, chunk.start + end)

    def _take(self, begin: int, end: int) -> None:
        if self._runs and self._runs[-1][1] == begin:
            begin = self._runs.pop()[0]
        self._runs.append((begin, end))

    def merge(self, other: Self) -> None:
        self._single += other._single
        self._border = self._border or other._border
        for begin, end in other._runs:
            self._take(begin, end)

    def finish(self) -> ZeroRuns:
        runs = [(end - begin, begin) for begin, end in self._runs if end - begin >= LEAST]
        single = self._single + sum(end - begin for begin, end in self._runs) - sum(run[0] for run in runs)
        if not runs or single > self._limit or len(self._runs) > MOST_RUNS:
            return _NONE
        longest, place = max(runs, key=_by_length)
        length, begin = runs[-1]
        tail = length if begin + length == self._size else 0
        paged, paged_place = max(
            (run for run in runs if self._is_paged(*run)), key=_by_length, default=(0, 0)
        )
        zeros = sum(run[0] for run in runs)
        broken = sum(bool(begin % self._row or (begin + length) % self._row) for length, begin in runs)
        return ZeroRuns(len(runs), zeros, longest, place, tail, paged, paged_place, broken)

    def _is_paged(self, length: int, begin: int) -> bool:
        return not (begin - self._border) % self._page and not length % self._page


def _by_length(run: tuple[int, int]) -> tuple[int, int]:
    return run[0], -run[1]


def _is_zero(block: Block) -> bool:
    return block.is_finite and not block.peak


def _has_none(block: Block) -> bool:
    return not block.size or (block.is_finite and block.summary.smallest > 0)
