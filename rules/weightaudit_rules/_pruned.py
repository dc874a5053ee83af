"""Runs of zeros that neither pruning nor rows of zeros explain."""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING

from weightaudit.dtypes import itemsize
from weightaudit.statistics.zero_gaps import LEAST

if TYPE_CHECKING:
    from weightaudit.statistics.zero_gaps import ZeroGaps
    from weightaudit.tensor import TensorInfo

PAGE = 4096
"""Bytes in which files are read, written and lost."""

_RARE = log(1e3)
"""Odds, as a logarithm, against all that is taken to be no chance."""


def missing_among_zeros(
    info: TensorInfo, gaps: ZeroGaps, min_tail: float, max_tail: float
) -> tuple[int, int, str] | None:
    """Return place and length of the longest run of zeros, and why pruning does not explain it.

    Where a share p of single zeros is scattered at random, the longest run of n numbers is longer than L with
    a probability below n * p**L. What may be chance is L such that this is one in a thousand. Rows of
    zeros, for inputs that carry nothing, reach beyond their borders by chance alone.

    Args:
        info: The tensor.
        gaps: Its longest runs of zeros.
        min_tail: Share of the tensor that a run of whole rows at its end has at least.
        max_tail: Share that it has at most.
    """
    length, size, row = gaps.longest, info.size, info.shape[-1]
    share = (gaps.zeros - length) / max(1, size - length)
    if not length or not 0 < share < 1:
        return None
    chance = (log(size) + _RARE) / -log(share)
    # Blocks that were pruned make runs longer than single zeros do, but then there are others nearly as long.
    if length <= max(chance, 2 * gaps.second, 2 * LEAST):
        return None
    if length - _whole(gaps, row, 0) > chance:
        return gaps.place, length, "neither pruning nor rows of zeros explain them"
    page = PAGE // itemsize(info.dtype)
    if 4 * row <= page and 0 < _whole(gaps, page, gaps.border) >= length - _RARE / -log(share):
        return gaps.place, length, "whole pages of the file, and the only long stretch"
    is_end = gaps.place + length == size
    if is_end and max(2 * row, min_tail * size) <= length <= max_tail * size:
        return gaps.place, length, "the end of the tensor is missing"
    return None


def _whole(gaps: ZeroGaps, unit: int, border: int) -> int:
    """Return how many elements whole rows or pages make up in the longest run; one begins at `border`."""
    first = -(-(gaps.place - border) // unit) * unit
    last = (gaps.place + gaps.longest - border) // unit * unit
    return max(0, last - first)
