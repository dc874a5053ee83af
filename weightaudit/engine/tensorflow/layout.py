"""How the elements of a tensor lie in blocks of rows, so that every norm is a sum over rows or columns."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from weightaudit.dtypes import components

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

WIDEST = 1 << 16
"""Elements of a row at most; what is longer is cut."""

MOST_ROWS = 64
"""Rows of a block at most: what comes back of a block is then a thirtieth of what went there."""

_NARROW = 1024
_WIDE = 4096
"""Rows shorter than the first are laid side by side up to the second, where only columns are wanted."""

Group = tuple[tuple[int, ...] | None, float]
"""Axes that a norm is taken over, as in `weightaudit.statistics.AxisNorm`, and its order."""

SIGNED = 0.0
"""In place of an order: the sum of what a norm would take the magnitudes of."""


@dataclass(frozen=True, slots=True)
class Norms:
    """One norm along axes, as sums over the rows or the columns of a layout.

    Attributes:
        order: 1, 2, inf or `SIGNED`.
        is_columns: Whether the result has one number per column of a group of rows, or one per group.
        outer: Lengths of the runs of axes that number the rows, and whether each is kept.
        length: Columns of a row in the result, 1 if `is_columns` is false.
        groups: Groups of rows.
        side: How many rows were laid side by side; their columns are joined at the end.
        shape: Shape of the finished result.
    """

    order: float
    is_columns: bool
    outer: tuple[tuple[int, bool], ...]
    length: int
    groups: int
    side: int
    shape: tuple[int, ...]

    def group_of(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the number of the group that each row belongs to."""
        groups = np.zeros_like(rows)
        stride = 1
        for length, is_kept in reversed(self.outer):
            if is_kept:
                groups += rows % length * stride
                stride *= length
            rows = rows // length
        return groups


@dataclass(frozen=True, slots=True)
class Layout:
    """Rows of a tensor, and the blocks that they are put into.

    Attributes:
        length: Elements of a row.
        run: Rows that follow each other and belong to the same group of every norm by columns; a
            block holds rows of one run only.
        height: Rows of a block.
        width: Elements that a row of a block has room for.
        norms: Norms along axes, in the order in which they were asked for.
    """

    length: int
    run: int
    height: int
    width: int
    norms: tuple[Norms, ...]


def layout_of(shape: tuple[int, ...], dtype: str, wanted: Sequence[Group]) -> Layout:
    """Arrange a tensor for norms along axes; without any, it is one row.

    Args:
        shape: Its shape, as decoded.
        dtype: Its storage type. Complex numbers count as a last axis of length 2.
        wanted: Axes and orders of the norms.
    """
    rank = len(shape)
    reduced = [
        {*range(rank + 1)} if axes is None else {rank, *(axis % rank for axis in axes)} for axes, _ in wanted
    ]
    runs = _runs((*shape, components(dtype)), reduced)
    (length, flags), outer = runs[-1], runs[:-1]
    side = _side(prod(n for n, _ in outer), length, outer, flags)
    norms = tuple(
        Norms(
            order,
            not flags[number],
            tuple((n, not is_reduced[number]) for n, is_reduced in outer),
            1 if flags[number] else length * side,
            prod(n for n, is_reduced in outer if not is_reduced[number]),
            side,
            tuple(n for axis, n in enumerate(shape) if axis not in reduced[number]),
        )
        for number, (_, order) in enumerate(wanted)
    )
    run = _run(outer, [number for number, one in enumerate(norms) if one.is_columns])
    width = room_for(min(length * side, WIDEST))
    height = _height(-(-run // side), width) if length * side <= WIDEST else 1
    return Layout(length * side, -(-run // side), height, width, norms)


def room_for(length: int) -> int:
    """Round up to a length that few others have: four between one power of two and the next."""
    length = max(4, length)
    step = 1 << max(0, (length - 1).bit_length() - 3)
    return -(-length // step) * step


def _runs(shape: tuple[int, ...], reduced: Sequence[set[int]]) -> list[tuple[int, tuple[bool, ...]]]:
    """Join neighbouring axes that every norm treats alike, and leave out those of length 1."""
    axes = [(n, tuple(axis in one for one in reduced)) for axis, n in enumerate(shape) if n != 1]
    joined = [(prod(n for n, _ in same), flags) for flags, same in groupby(axes, lambda axis: axis[1])]
    return joined or [(1, (True,) * len(reduced))]


def _side(
    rows: int, length: int, outer: Sequence[tuple[int, tuple[bool, ...]]], flags: Sequence[bool]
) -> int:
    """Return how many rows to lay side by side: it takes that all are added to each other."""
    if any(flags) or not length or length >= _NARROW or not all(all(is_reduced) for _, is_reduced in outer):
        return 1
    return max(1, min(_WIDE // length, rows))


def _run(outer: Sequence[tuple[int, tuple[bool, ...]]], columns: Sequence[int]) -> int:
    """Return how many rows in a row belong to the same groups of all norms by columns."""
    run = 1
    for length, is_reduced in reversed(outer):
        if not all(is_reduced[number] for number in columns):
            break
        run *= length
    return run


def _height(run: int, width: int) -> int:
    """Return the most rows, a power of two, for which no more than an eighth of a run is left empty."""
    height = min(MOST_ROWS, max(1, (1 << 20) // width))
    height = 1 << height.bit_length() - 1
    while height > 1 and -(-run // height) * height > run * 1.125:
        height //= 2
    return height
