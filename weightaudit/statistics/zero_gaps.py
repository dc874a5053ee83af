"""The longest runs of zeros of a tensor in which zeros are nothing special, as in pruned ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from weightaudit.dtypes import components
from weightaudit.statistics.base import UNKNOWN, Unknown
from weightaudit.statistics.summary import Following

if TYPE_CHECKING:
    from weightaudit.statistics.block import Block
    from weightaudit.statistics.summary import Summary
    from weightaudit.tensor import TensorInfo

LEAST = 64
"""Zeros in a row that make a run."""

MOST = 1 << 12
"""With more runs than that, long ones are nothing special either, and the tensor is not looked at further."""


@dataclass(frozen=True, slots=True)
class ZeroGaps:
    """The two longest runs of at least 64 zeros in the flattened tensor.

    Attributes:
        zeros: Zeros of the tensor; 0 also where there is no run, and then all else means nothing.
        longest: Elements of the longest run, the first of those that are equally long.
        place: Index of its first element.
        second: Elements of the longest of the others; 0 if there is none.
        border: Index of an element with which a page of the file begins.
    """

    zeros: int = 0
    longest: int = 0
    place: int = 0
    second: int = 0
    border: int = 0


_NONE = ZeroGaps()


@dataclass(frozen=True, slots=True)
class LongestZeros(Following[ZeroGaps]):
    """The longest runs of zeros, however many other zeros there are."""

    lazy: ClassVar[bool] = True

    def start(self, info: TensorInfo) -> LongestZerosFold:
        return LongestZerosFold(info.size * components(info.dtype))

    def follow(self, info: TensorInfo, overview: Summary) -> ZeroGaps | Unknown:
        return _NONE if overview.smallest > 0 or overview.lone_zeros >= 0 else UNKNOWN


class LongestZerosFold:
    """Joins runs that go on from one block to the next."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._zeros = 0
        self._border = 0
        self._runs: list[tuple[int, int]] = []

    def update(self, block: Block) -> None:
        self._border = block.border
        if not block.size or len(self._runs) > MOST or _has_none(block):
            return
        lone, chunks = block.zeros()
        self._zeros += lone
        for chunk in chunks:
            self._look(chunk)

    def _look(self, chunk: Block) -> None:
        others = np.flatnonzero(chunk.values)
        self._zeros += chunk.size - others.size
        bounds = np.concatenate(([-1], others, [chunk.size]))
        lengths = np.diff(bounds) - 1
        kept = lengths >= LEAST
        # A run may go on before and after the chunk.
        kept[0] |= lengths[0] > 0
        kept[-1] |= lengths[-1] > 0
        for begin, length in zip((bounds[:-1][kept] + 1).tolist(), lengths[kept].tolist(), strict=True):
            self._take(chunk.start + begin, chunk.start + begin + length)

    def _take(self, begin: int, end: int) -> None:
        if self._runs and self._runs[-1][1] == begin:
            begin = self._runs.pop()[0]
        elif len(self._runs) > 1 and self._runs[-1][1] - self._runs[-1][0] < LEAST:
            # Nothing joins a short run any more. The first one may still go on before the stretch.
            self._runs.pop()
        self._runs.append((begin, end))

    def merge(self, other: Self) -> None:
        self._zeros += other._zeros
        self._border = self._border or other._border
        for begin, end in other._runs:
            self._take(begin, end)

    def finish(self) -> ZeroGaps:
        runs = sorted((begin - end, begin) for begin, end in self._runs if end - begin >= LEAST)
        if not runs or len(self._runs) > MOST:
            return _NONE
        length, place = runs[0]
        second = -runs[1][0] if len(runs) > 1 else 0
        return ZeroGaps(self._zeros, -length, place, second, self._border)


def _has_none(block: Block) -> bool:
    return block.is_finite and block.summary.smallest > 0
