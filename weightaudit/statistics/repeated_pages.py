"""Pages of a file that repeat another page of the same tensor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from weightaudit.dtypes import components, itemsize
from weightaudit.kernels import PAGE_BYTES
from weightaudit.statistics.base import UNKNOWN, Unknown
from weightaudit.statistics.summary import Following

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from weightaudit.statistics.block import Block
    from weightaudit.statistics.summary import Summary
    from weightaudit.tensor import TensorInfo

SAMPLE_BYTES = 64
"""Bytes in the middle of a page that are compared first."""


@dataclass(frozen=True, slots=True)
class Repeats:
    """Pages that repeat an earlier one.

    Attributes:
        count: How many.
        place: Index in the flattened tensor of the first element of the first of them; -1 if there is none.
        source: The same of the page that it repeats.
    """

    count: int = 0
    place: int = -1
    source: int = -1


_NONE = Repeats()


@dataclass(frozen=True, slots=True)
class RepeatedPages(Following[Repeats]):
    """Pages of 4 KiB of the file, whole in one tensor, that hold the numbers of an earlier page.

    Compared are pages of one block (2 MiB as a rule): a copy that lies further away is not found, and where a
    page lies across the border of two blocks neither is one of it. The first and the last number of a page
    may differ, since a page may begin within a number. Pages of one value, pages that repeat themselves
    and pages that are surrounded by the same numbers too, as in tables with a period, do not count.
    """

    lazy: ClassVar[bool] = True

    def start(self, info: TensorInfo) -> RepeatedPagesFold:
        return RepeatedPagesFold(info)

    def follow(self, info: TensorInfo, overview: Summary) -> Repeats | Unknown:
        is_single = info.nbytes < 2 * PAGE_BYTES or overview.minimum == overview.maximum
        return _NONE if is_single or overview.repeated_pages == 0 else UNKNOWN


class RepeatedPagesFold:
    """Compares samples of all pages, and those pages whole of which these are equal."""

    def __init__(self, info: TensorInfo) -> None:
        size = max(1, itemsize(info.dtype))
        self._page = PAGE_BYTES // size * components(info.dtype)
        self._sample = max(1, SAMPLE_BYTES // size)
        self._row = info.shape[-1] if info.shape else 1
        self._found = _NONE

    def update(self, block: Block) -> None:
        if block.repeats == 0:
            return
        first = (block.border - block.start) % self._page
        if block.size < first + 2 * self._page:
            return
        values = block.values
        seen: dict[bytes, int] = {}
        for begin in range(first, values.size - self._page + 1, self._page):
            middle = begin + self._page // 2
            sample = values[middle : middle + self._sample].tobytes()
            source = seen.setdefault(sample, begin)
            if source != begin and self._is_copy(values, begin, source):
                self._add(Repeats(1, block.start + begin, block.start + source))

    def _is_copy(self, values: NDArray[Any], begin: int, source: int) -> bool:
        page, other = values[begin : begin + self._page], values[source : source + self._page]
        if not np.array_equal(page[1:-1], other[1:-1]) or page.min() == page.max():
            return False
        row = min(self._row, self._page // 2)
        if any(np.array_equal(page[1 : -period - 1], page[period + 1 : -1]) for period in {1, row}):
            return False
        before, after = (source - 1, begin - 1), (source + self._page, begin + self._page)
        return any(
            min(pair) >= 0 and max(pair) < values.size and values[pair[0]] != values[pair[1]]
            for pair in (before, after)
        )

    def merge(self, other: Self) -> None:
        self._add(other._found)

    def _add(self, more: Repeats) -> None:
        have = self._found
        first = have if have.count else more
        self._found = Repeats(have.count + more.count, first.place, first.source)

    def finish(self) -> Repeats:
        return self._found
