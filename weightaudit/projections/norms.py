"""Projections that scale groups of elements: bounds on Euclidean norms."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import inf, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.projections.base import Phase, Projection
from weightaudit.projections.demands import require, require_norm
from weightaudit.projections.grid import bits, grid_of, nearest, toward_zero
from weightaudit.projections.groups import Axis, group, keeps_first_axis, scaled, total, units

if TYPE_CHECKING:
    from numpy.typing import NDArray


def max_norm(
    values: NDArray[Any], max_value: float = 2.0, axis: Axis = 0, *, dtype: str | None = None
) -> NDArray[Any]:
    """Scale groups whose Euclidean norm is above a bound down to it; see `MaxNorm`.

    Args:
        values: float16, float32 or float64 array; never written to.
        max_value: Largest norm allowed.
        axis: Axes that the norm is taken over; None for all.
        dtype: Storage type of the result's numbers; by default that of `values`.

    Returns:
        `values` itself if every norm is within the bound, else a new array.

    Raises:
        ValueError: The bound makes no sense, or the shape does not have the axes.
    """
    return MaxNorm(max_value, axis).project(values, dtype=dtype)


def min_max_norm(
    values: NDArray[Any],
    min_value: float = 0.0,
    max_value: float = 1.0,
    rate: float = 1.0,
    axis: Axis = 0,
    *,
    dtype: str | None = None,
) -> NDArray[Any]:
    """Scale groups whose Euclidean norm is outside of an interval towards it; see `MinMaxNorm`.

    Args:
        values: float16, float32 or float64 array; never written to.
        min_value: Smallest norm allowed.
        max_value: Largest norm allowed.
        rate: Share of the way to the interval; 1 goes all the way.
        axis: Axes that the norm is taken over; None for all.
        dtype: Storage type of the result's numbers; by default that of `values`.

    Returns:
        `values` itself if every norm is inside, else a new array.

    Raises:
        ValueError: The interval or rate makes no sense, or the shape does not have the axes.
    """
    return MinMaxNorm(min_value, max_value, rate, axis).project(values, dtype=dtype)


def unit_norm(values: NDArray[Any], axis: Axis = 0, *, dtype: str | None = None) -> NDArray[Any]:
    """Scale groups to the Euclidean norm 1; see `UnitNorm`.

    Args:
        values: float16, float32 or float64 array; never written to.
        axis: Axes that the norm is taken over; None for all.
        dtype: Storage type of the result's numbers; by default that of `values`.

    Returns:
        `values` itself if every norm is 1 up to rounding, else a new array.

    Raises:
        ValueError: The shape does not have the axes.
    """
    return UnitNorm(axis).project(values, dtype=dtype)


def clip_norm(values: NDArray[Any], max_value: float = 1.0, *, dtype: str | None = None) -> NDArray[Any]:
    """Scale a tensor whose Euclidean norm is above a bound down to it; see `ClipNorm`.

    Args:
        values: float16, float32 or float64 array; never written to.
        max_value: Largest norm allowed.
        dtype: Storage type of the result's numbers; by default that of `values`.

    Returns:
        `values` itself if the norm is within the bound, else a new array.

    Raises:
        ValueError: The bound makes no sense.
    """
    return ClipNorm(max_value).project(values, dtype=dtype)


@dataclass(frozen=True)
class MaxNorm(Projection):
    """Euclidean norms of at most `max_value`: each group w above it becomes w * max_value / norm(w).

    The projection onto the ball (Srebro and Shraibman 2005; Srivastava et al. 2014, section 5.1),
    and what ``keras.constraints.MaxNorm`` computes but for its epsilon, which changes compliant
    groups too. Elements are rounded towards zero, so no norm is above the bound, in float64.

    Attributes:
        max_value: Largest norm allowed.
        axis: Axes that the norm is taken over, as in Keras: 0 for Dense kernels, (0, 1, 2) for
            Conv2D kernels, 1 for embeddings; None for all.
    """

    max_value: float = 2.0
    axis: Axis = 0

    name = "max_norm"
    phase = Phase.NORM

    def __post_init__(self) -> None:
        require_norm("max_value", self.max_value)

    def project(self, values: NDArray[Any], *, dtype: str | None = None) -> NDArray[Any]:
        return _bring(values, self.axis, dtype, 0.0, self.max_value)

    def splits(self, shape: tuple[int, ...]) -> bool:
        return keeps_first_axis(shape, self.axis)


@dataclass(frozen=True)
class MinMaxNorm(Projection):
    """Euclidean norms from `min_value` to `max_value`: each group outside is scaled to the nearer end.

    With a rate below 1, a group outside becomes w * (rate * end + (1 - rate) * norm) / norm, the
    formula of ``keras.constraints.MinMaxNorm``, and this is a step. Elements are rounded towards
    zero: no norm is above the upper end, and one counts as not below the lower end if rounding
    alone explains it: by epsilon of the storage type, plus its smallest number times the square
    root of the group's size. A group of zeros has no direction, and stays.

    Attributes:
        min_value: Smallest norm allowed.
        max_value: Largest norm allowed.
        rate: Share of the way to the interval that is gone, above 0 to 1.
        axis: Axes that the norm is taken over, as in Keras; None for all.
    """

    min_value: float = 0.0
    max_value: float = 1.0
    rate: float = 1.0
    axis: Axis = 0

    name = "min_max_norm"
    phase = Phase.NORM

    def __post_init__(self) -> None:
        require_norm("min_value", self.min_value)
        if self.max_value != inf:
            require_norm("max_value", self.max_value)
        require(self.min_value <= self.max_value, "min_value must not be above max_value")
        require(0 < self.rate <= 1, "rate must be above 0 and at most 1")

    @property
    def is_step(self) -> bool:
        return self.rate < 1

    def project(self, values: NDArray[Any], *, dtype: str | None = None) -> NDArray[Any]:
        return _bring(values, self.axis, dtype, self.min_value, self.max_value, rate=self.rate)

    def splits(self, shape: tuple[int, ...]) -> bool:
        return keeps_first_axis(shape, self.axis)


@dataclass(frozen=True)
class UnitNorm(Projection):
    """Euclidean norms of 1: each group w becomes w / norm(w), the projection onto the sphere.

    What ``keras.constraints.UnitNorm`` computes but for its epsilon. Elements are rounded to
    nearest, and a norm counts as 1 within what that rounding can do: epsilon of the storage type,
    plus its smallest number times the square root of the group's size. A group of zeros has
    no direction, and stays.

    Attributes:
        axis: Axes that the norm is taken over, as in Keras; None for all.
    """

    axis: Axis = 0

    name = "unit_norm"
    phase = Phase.NORM

    def project(self, values: NDArray[Any], *, dtype: str | None = None) -> NDArray[Any]:
        return _bring(values, self.axis, dtype, 1.0, 1.0, is_sphere=True)

    def splits(self, shape: tuple[int, ...]) -> bool:
        return keeps_first_axis(shape, self.axis)


@dataclass(frozen=True)
class ClipNorm(Projection):
    """A Euclidean norm of the whole tensor of at most `max_value`, as ``tf.clip_by_norm``.

    A tensor w above it becomes w * max_value / norm(w), rounded towards zero.

    Attributes:
        max_value: Largest norm allowed.
    """

    max_value: float = 1.0

    name = "clip_norm"
    phase = Phase.NORM

    def __post_init__(self) -> None:
        require_norm("max_value", self.max_value)

    def project(self, values: NDArray[Any], *, dtype: str | None = None) -> NDArray[Any]:
        return _bring(values, None, dtype, 0.0, self.max_value)


@np.errstate(all="ignore")
def _bring(
    values: NDArray[Any],
    axis: Axis,
    dtype: str | None,
    lower: float,
    upper: float,
    *,
    rate: float = 1.0,
    is_sphere: bool = False,
) -> NDArray[Any]:
    """Scale each group whose norm is outside of an interval towards the nearer end.

    The upper end holds exactly, and the lower one gives way to rounding; on a sphere both do.
    """
    grid, groups = grid_of(values, dtype), group(values, axis)
    if not values.size:
        return values
    rounding = partial(nearest if is_sphere else toward_zero, grid=grid)
    slack = lower * (grid.epsilon + 2 * groups.margin) + grid.step * sqrt(groups.size)
    unit = units(groups)
    norms = np.sqrt(total(groups, np.square, unit))
    over = (norms > (upper + slack * is_sphere) * unit) & (norms < inf)
    under = (norms < (lower - slack) * unit) & (norms > 0)
    chosen = over | under
    if not chosen.any():
        return values
    ends = np.where(over, upper, lower) * (1.0 if is_sphere else 1 - groups.margin)
    factor = rate * ends / norms + (1 - rate) / unit
    result = scaled(groups, factor, unit, chosen, rounding).reshape(values.shape)
    return values if np.array_equal(bits(result), bits(values)) else result
