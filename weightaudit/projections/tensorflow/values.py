"""Projections and steps of single values; the formulas are those of the numpy projections."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from weightaudit.projections import grid as numbers
from weightaudit.projections.tensorflow.arithmetic import nearest, select
from weightaudit.projections.tensorflow.library import Tensor, tf

if TYPE_CHECKING:
    from weightaudit.projections import Clip, FitDtype, NonNeg, ReplaceNonfinite, Shrink, SoftThreshold
    from weightaudit.projections.grid import Grid
    from weightaudit.projections.tensorflow.layout import Task


def within(task: Task[Clip | FitDtype | NonNeg], values: Tensor) -> Tensor:
    """Move finite values outside of an interval to its nearer end."""
    ends = np.array([-task.grid.largest, task.grid.largest])
    ends = task.projection.project(ends, dtype=task.grid.dtype)
    low, high = (tf.constant(float(end), values.dtype) for end in ends)
    beyond = tf.math.is_finite(values) & ((values < low) | (values > high))
    return select(beyond, tf.where(values < low, low, high), values)


def replace_nonfinite(task: Task[ReplaceNonfinite], values: Tensor) -> Tensor:
    """Replace NaN and infinite values by numbers."""
    projection = task.projection
    finite = tf.math.is_finite(values)
    given = numbers.nearest(np.array([projection.nan, projection.inf or 0.0]), task.grid)
    nan, large = (tf.constant(float(number), values.dtype) for number in given)
    if projection.inf is None:
        large = tf.reduce_max(tf.where(finite, tf.abs(values), 0), task.axes, keepdims=True)
    number = tf.where(tf.math.is_nan(values), nan, tf.where(values < 0, -large, large))
    return select(~finite, number, values)


def soft_threshold(task: Task[SoftThreshold], values: Tensor) -> Tensor:
    """Bring values nearer to zero by a threshold."""
    wide = tf.cast(values, tf.float64)
    threshold = task.projection.threshold
    return _step(values, wide - tf.clip_by_value(wide, -threshold, threshold), task.grid)


def shrink(task: Task[Shrink], values: Tensor) -> Tensor:
    """Divide values by 1 + strength."""
    return _step(values, tf.cast(values, tf.float64) / (1 + task.projection.strength), task.grid)


def _step(values: Tensor, new: Tensor, grid: Grid) -> Tensor:
    return select(tf.math.is_finite(values) & (values != 0), nearest(new, grid), values)
