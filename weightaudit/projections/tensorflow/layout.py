"""How a projection looks at the blocks of a stack, so that what is alike shares a trace."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from math import prod
from typing import TYPE_CHECKING, Generic, TypeVar

from weightaudit.projections import (
    ClipNorm,
    L1Ball,
    MaxNorm,
    MinMaxNorm,
    Projection,
    Prune,
    ReplaceNonfinite,
    SpectralNorm,
    UnitNorm,
)
from weightaudit.projections.groups import Axis, reduced_axes

if TYPE_CHECKING:
    from weightaudit.projections.grid import Grid

P = TypeVar("P", bound=Projection)

Axes = tuple[int, ...]
"""Axes of a stack along which elements are treated together; axis 0 counts blocks."""


@dataclass(frozen=True, slots=True)
class Task(Generic[P]):
    """What is to be done with a stack.

    Attributes:
        projection: The projection.
        grid: The numbers that the result is made of.
        axes: Axes of the stack along which elements are treated together.
    """

    projection: P
    grid: Grid
    axes: Axes


@dataclass(frozen=True, slots=True)
class Layout:
    """An arrangement of the blocks of a stack.

    Attributes:
        shape: Shape that each block takes, in the same order of elements; () if blocks do not matter.
        axes: Axes of the stack along which elements are treated together.
        is_static: Whether the computation depends on the shape; else one trace serves all.
    """

    shape: tuple[int, ...]
    axes: Axes = ()
    is_static: bool = False


def layout_of(projection: Projection, shape: tuple[int, ...]) -> Layout:
    """Arrange blocks of a shape for a projection.

    Raises:
        ValueError: They do not have the axes that it needs.
    """
    match projection:
        case MaxNorm() | MinMaxNorm() | UnitNorm() | L1Ball():
            return _grouped(shape, projection.axis)
        case ClipNorm() | Prune(n_of_m=None) | ReplaceNonfinite(inf=None):
            return Layout((prod(shape),), (1,))
        case Prune():
            (place,) = reduced_axes(shape, projection.axis)
            return Layout((prod(shape[:place]), shape[place], prod(shape[place + 1 :])), (2,))
        case SpectralNorm():
            reduced_axes(shape, -1)
            return Layout((prod(shape[:-1]), shape[-1]), (1, 2), is_static=True)
        case _:
            return Layout(())


def _grouped(shape: tuple[int, ...], axis: Axis) -> Layout:
    """Take elements together that differ only on some axes of a block; neighbouring axes become one."""
    reduced = reduced_axes(shape, axis)
    runs = [
        (is_reduced, prod(shape[place] for place in places))
        for is_reduced, places in groupby(range(len(shape)), reduced.__contains__)
    ]
    axes = tuple(place for place, (is_reduced, _) in enumerate(runs, start=1) if is_reduced)
    return Layout(tuple(length for _, length in runs), axes) if runs else Layout((1,), (1,))
