"""Groups of elements that a norm is taken over, and sums over them in float64, block by block."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

Axis = int | tuple[int, ...] | None
"""Axes that a norm is taken over, as in ``keras.constraints``; None for the whole tensor."""

BLOCK_ELEMENTS = 1 << 18
"""Elements that become float64 at once: as many as stay in the CPU's cache."""


@dataclass(frozen=True, slots=True)
class Groups:
    """A tensor, reshaped so that neighbouring axes that are treated alike are one.

    Attributes:
        values: View of the tensor.
        axes: Axes of the view that are reduced; elements that differ only on them are a group.
        size: Elements of a group.
    """

    values: NDArray[Any]
    axes: tuple[int, ...]
    size: int

    @property
    def margin(self) -> float:
        """Relative bound on what rounding does to a norm that is computed twice, and scaled between.

        A sum of n positive terms has a relative error of at most n units of 2**-53, its square
        root of half of that (Higham, Accuracy and Stability of Numerical Algorithms, section 4.2).
        """
        return (self.size + 16) * 2.0**-53

    def slices(self) -> Iterator[slice]:
        """Yield slices of the first axis, of about `BLOCK_ELEMENTS` elements each."""
        yield from blocks(len(self.values), self.values.size // max(1, len(self.values)))

    def part(self, per_group: NDArray[Any], rows: slice) -> NDArray[Any]:
        """Return the part of an array with one number per group that belongs to a slice."""
        return per_group if 0 in self.axes else per_group[rows]


def blocks(rows: int, width: int = 1) -> Iterator[slice]:
    """Yield slices of rows of some width, of about `BLOCK_ELEMENTS` elements each."""
    step = max(1, BLOCK_ELEMENTS // max(1, width))
    for first in range(0, rows, step):
        yield slice(first, first + step)


def group(values: NDArray[Any], axis: Axis) -> Groups:
    """Group the elements of a tensor.

    Raises:
        ValueError: The tensor does not have the axes.
    """
    reduced = reduced_axes(values.shape, axis)
    runs: list[int] = []
    axes: list[int] = []
    was_reduced: bool | None = None
    for place, length in enumerate(values.shape):
        is_reduced = place in reduced
        if is_reduced == was_reduced:
            runs[-1] *= length
            continue
        if is_reduced:
            axes.append(len(runs))
        runs.append(length)
        was_reduced = is_reduced
    size = prod(values.shape[place] for place in reduced)
    if not runs:
        runs, axes = [1], [0]
    return Groups(values.reshape(runs), tuple(axes), size)


def reduced_axes(shape: tuple[int, ...], axis: Axis) -> frozenset[int]:
    """Return which axes of a shape are meant, counted from the first.

    Raises:
        ValueError: It does not have them.
    """
    rank = len(shape)
    wanted = range(rank) if axis is None else (axis,) if isinstance(axis, int) else axis
    missing = [one for one in wanted if not -rank <= one < rank]
    if missing:
        raise ValueError(f"the shape {shape} has no axis {missing[0]}")
    places = frozenset(one % rank for one in wanted)
    if len(places) < len(wanted):
        raise ValueError(f"an axis of the shape {shape} is named twice")
    return places


def keeps_first_axis(shape: tuple[int, ...], axis: Axis) -> bool:
    """Say whether no group reaches over more than one index of the first axis."""
    return len(shape) > 1 and 0 not in reduced_axes(shape, axis)


def units(groups: Groups) -> NDArray[np.float64]:
    """Return a power of two per group that brings its peak near 1, so that no square overflows.

    The squares of float32 neither overflow nor vanish in float64, so their unit is 1.
    """
    if groups.values.dtype.itemsize < np.dtype(np.float64).itemsize:
        return np.ones([1] * groups.values.ndim)
    peaks = np.abs(groups.values).max(axis=groups.axes, keepdims=True)
    exponents = np.where(np.isfinite(peaks), np.frexp(peaks)[1], 0)
    unit: NDArray[np.float64] = np.ldexp(1.0, -np.clip(exponents, -1020, 1020))
    return unit


def total(
    groups: Groups, term: Callable[[NDArray[np.float64]], NDArray[np.float64]], unit: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Add up a term of every element, times its group's unit, over each group.

    Returns:
        float64 array like the view, with length 1 on the reduced axes.
    """
    parts = [term(_wide(groups, rows, unit)).sum(axis=groups.axes, keepdims=True) for rows in groups.slices()]
    if 0 not in groups.axes:
        return np.concatenate(parts)
    result: NDArray[np.float64] = parts[0]
    for part in parts[1:]:
        result = result + part
    return result


def scaled(
    groups: Groups,
    factor: NDArray[np.float64],
    unit: NDArray[np.float64],
    chosen: NDArray[np.bool_],
    rounding: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> NDArray[Any]:
    """Return a copy of the view in which the elements of the chosen groups are scaled.

    Args:
        groups: The tensor.
        factor: Factor per group, on top of the unit.
        unit: Power of two per group.
        chosen: Whether a group is to be scaled.
        rounding: Brings exact products onto the numbers of the result.
    """
    result = groups.values.copy()
    for rows in groups.slices():
        where = groups.part(chosen, rows)
        if where.any():
            exact = _wide(groups, rows, unit) * groups.part(factor, rows)
            np.copyto(result[rows], rounding(exact), where=where, casting="same_kind")
    return result


def _wide(groups: Groups, rows: slice, unit: NDArray[np.float64]) -> NDArray[np.float64]:
    wide = groups.values[rows].astype(np.float64, order="C")
    if unit.size > 1 or unit.flat[0] != 1:
        wide *= unit if unit.size == 1 else groups.part(unit, rows)
    return wide
