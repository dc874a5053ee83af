"""Bounds on Euclidean norms and sums of magnitudes, of many groups at once.

Formulas and margins are those of `weightaudit.projections.norms` and `weightaudit.projections.l1`.
A norm within rounding of its bound counts as compliant here: which side it is on, numpy's order
of summation decides.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from weightaudit.projections.tensorflow.arithmetic import members, nearest, select, toward_zero, units
from weightaudit.projections.tensorflow.library import Tensor, tf

if TYPE_CHECKING:
    from weightaudit.projections import ClipNorm, L1Ball, MaxNorm, MinMaxNorm, UnitNorm
    from weightaudit.projections.tensorflow.layout import Axes, Task


def max_norm(task: Task[MaxNorm | ClipNorm], values: Tensor) -> Tensor:
    """Scale groups whose norm is above a bound."""
    return _bring(task, values, 0.0, task.projection.max_value)


def min_max_norm(task: Task[MinMaxNorm], values: Tensor) -> Tensor:
    """Scale groups whose norm is outside of an interval."""
    projection = task.projection
    return _bring(task, values, projection.min_value, projection.max_value, rate=projection.rate)


def unit_norm(task: Task[UnitNorm], values: Tensor) -> Tensor:
    """Scale groups to the norm 1."""
    return _bring(task, values, 1.0, 1.0, is_sphere=True)


def l1_ball(task: Task[L1Ball], values: Tensor) -> Tensor:
    """Project groups whose sum of magnitudes is above a bound onto the L1 ball."""
    radius, axes = task.projection.radius, task.axes
    unit = units(values, axes)
    wide = tf.cast(values, tf.float64) * unit
    magnitudes = tf.abs(wide)
    norms = tf.reduce_sum(magnitudes, axes, keepdims=True)
    margin = _margin(values, axes)
    over = (norms > radius * unit * (1 + 2 * margin)) & (norms < inf)
    depths = tf.reduce_max(magnitudes, axes, keepdims=True) - magnitudes
    inside = radius * (1 - 2 * margin) * unit
    heights = tf.maximum(_level(depths, inside, over, axes) - depths, 0)
    total = tf.reduce_sum(heights, axes, keepdims=True)
    heights *= tf.minimum(tf.math.divide_no_nan(inside, total), 1)
    shrunk = tf.where(heights > 0, tf.sign(wide) * heights, 0)
    return select(over, toward_zero(shrunk / unit, task.grid), values)


def _bring(
    task: Task[Any],
    values: Tensor,
    lower: float,
    upper: float,
    *,
    rate: float = 1.0,
    is_sphere: bool = False,
) -> Tensor:
    axes, grid = task.axes, task.grid
    margin, unit = _margin(values, axes), units(values, axes)
    slack = lower * (grid.epsilon + 2 * margin) + grid.step * tf.sqrt(members(values, axes))
    wide = tf.cast(values, tf.float64) * unit
    norms = tf.sqrt(tf.reduce_sum(tf.square(wide), axes, keepdims=True))
    above = upper + slack if is_sphere else upper
    over = (norms > above * (1 + 2 * margin) * unit) & (norms < inf)
    under = (norms < (lower - slack) * (1 - 2 * margin) * unit) & (norms > 0)
    ends = tf.where(over, tf.constant(upper, tf.float64), lower) * (1.0 if is_sphere else 1 - margin)
    factor = rate * ends / norms + (1 - rate) / unit
    rounding = nearest if is_sphere else toward_zero
    return select(over | under, rounding(wide * factor, grid), values)


def _margin(values: Tensor, axes: Axes) -> Tensor:
    return (members(values, axes) + 16) * 2.0**-53


def _level(depths: Tensor, radius: Tensor, wanted: Tensor, axes: Axes) -> Tensor:
    """Return the level per wanted group at which the sum of max(level - depths, 0) is the radius.

    Newton's method as in `weightaudit.projections.l1`, with one pass over all groups in each step.
    """

    def step(limit: Tensor, level: Tensor, count: Tensor, _: Tensor) -> tuple[Tensor, ...]:
        active = depths < tf.minimum(limit, level)
        now = tf.reduce_sum(tf.cast(active, tf.float64), axes, keepdims=True)
        below = tf.reduce_sum(tf.where(active, depths, 0), axes, keepdims=True)
        return tf.minimum(limit, level), (radius + below) / tf.maximum(now, 1), now, count

    def moves(*state: Tensor) -> Tensor:
        _, _, count, before = state
        return tf.reduce_any(wanted & (count != before))

    limit = tf.broadcast_to(radius, tf.shape(wanted))
    unknown = tf.zeros_like(limit)
    _, level, _, _ = tf.while_loop(moves, step, (limit, limit, unknown - 1, unknown - 2))
    return level
