"""Projection onto the L1 ball: bounds on sums of magnitudes."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.projections.base import Phase, Projection
from weightaudit.projections.demands import require_norm
from weightaudit.projections.grid import Grid, grid_of, toward_zero
from weightaudit.projections.groups import Axis, blocks, group, keeps_first_axis, total, units

if TYPE_CHECKING:
    from numpy.typing import NDArray


def l1_ball(
    values: NDArray[Any], radius: float = 1.0, axis: Axis = None, *, dtype: str | None = None
) -> NDArray[Any]:
    """Project groups whose sum of magnitudes is above a bound onto the L1 ball; see `L1Ball`.

    Args:
        values: float16, float32 or float64 array; never written to.
        radius: Largest sum of magnitudes allowed.
        axis: Axes that the sum is taken over; None for all.
        dtype: Storage type of the result's numbers; by default that of `values`.

    Returns:
        `values` itself if every sum is within the bound, else a new array.

    Raises:
        ValueError: The radius makes no sense, or the shape does not have the axes.
    """
    return L1Ball(radius, axis).project(values, dtype=dtype)


@dataclass(frozen=True)
class L1Ball(Projection):
    """Sums of magnitudes of at most `radius`: the Euclidean projection onto the L1 ball.

    Each group above it becomes sign(w) * max(abs(w) - theta, 0), with the one theta for which the
    sum is `radius` (Duchi et al. 2008, Efficient Projections onto the l1-Ball for Learning in
    High Dimensions). It shrinks large elements less, in proportion, than scaling does, and sets
    small ones to zero. Elements are rounded towards zero, so no sum is above the radius.

    Attributes:
        radius: Largest sum of magnitudes allowed.
        axis: Axes that the sum is taken over, as in Keras; None for all.
    """

    radius: float = 1.0
    axis: Axis = None

    name = "l1_ball"
    phase = Phase.NORM

    def __post_init__(self) -> None:
        require_norm("radius", self.radius)

    @np.errstate(all="ignore")
    def project(self, values: NDArray[Any], *, dtype: str | None = None) -> NDArray[Any]:
        grid, groups = grid_of(values, dtype), group(values, self.axis)
        if not values.size:
            return values
        # No square is taken here, so that a bound need not become subnormal beside a large peak.
        unit = np.maximum(units(groups), 2.0**-128)
        norms = total(groups, np.abs, unit)
        over = (norms > self.radius * unit) & (norms < inf)
        if not over.any():
            return values
        result = groups.values.copy()
        moved = np.moveaxis(result, groups.axes, range(-len(groups.axes), 0))
        unit = np.broadcast_to(unit, over.shape).squeeze(groups.axes)
        places = np.nonzero(np.atleast_1d(over.squeeze(groups.axes)))
        if not unit.ndim:
            moved, unit = moved[np.newaxis], unit[np.newaxis]
        radius = self.radius * (1 - 2 * groups.margin)
        for rows in blocks(len(places[0]), groups.size):
            some = tuple(place[rows] for place in places)
            moved[some] = _shrunk(moved[some], unit[some], radius, grid)
        return result.reshape(values.shape)

    def splits(self, shape: tuple[int, ...]) -> bool:
        return keeps_first_axis(shape, self.axis)


def _shrunk(members: NDArray[Any], unit: NDArray[np.float64], radius: float, grid: Grid) -> NDArray[Any]:
    """Project groups whose sum is above the radius; they differ on the first axis."""
    flat, scale = members.reshape(len(members), -1), unit[:, None]
    heights = np.abs(flat.astype(np.float64))
    heights *= scale
    # Counted down from the peak, where theta is no difference of large numbers.
    np.subtract(heights.max(axis=1, keepdims=True), heights, out=heights)
    np.subtract(_level(heights, radius * scale), heights, out=heights)
    np.maximum(heights, 0, out=heights)
    # The rounding of one level counts once for every element that it leaves.
    ratio = np.fmin(radius * scale / heights.sum(axis=1, keepdims=True), 1)
    result = np.empty_like(flat)
    for columns in blocks(flat.shape[1], len(flat)):
        exact = heights[:, columns] * ratio / scale
        result[:, columns] = toward_zero(np.where(exact > 0, np.copysign(exact, flat[:, columns]), 0), grid)
    return result.reshape(members.shape)


def _level(depths: NDArray[np.float64], radius: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the level per row for which the sum of max(level - depths, 0) is the radius.

    Newton's method on a convex function, from above, so it ends; known as Michelot's algorithm
    (1986). No depth from the radius on matters, since the smallest depth of a row is 0.
    """
    active = depths < radius
    while True:
        count = np.maximum(active.sum(axis=1, keepdims=True), 1)
        level: NDArray[np.float64] = (radius + depths.sum(axis=1, keepdims=True, where=active)) / count
        remaining = active & (depths < level)
        if np.array_equal(remaining, active):
            return level
        active = remaining
