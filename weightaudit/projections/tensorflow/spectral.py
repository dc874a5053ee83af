"""Bounds on the largest singular values of many kernels at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from weightaudit.projections.tensorflow.arithmetic import nearest, select, units
from weightaudit.projections.tensorflow.eigenvalues import SMALL, all_eigenvalues, lanczos
from weightaudit.projections.tensorflow.library import Tensor, tf

if TYPE_CHECKING:
    from weightaudit.projections import SpectralNorm
    from weightaudit.projections.tensorflow.layout import Task


def spectral_norm(task: Task[SpectralNorm], values: Tensor) -> Tensor:
    """Scale kernels whose largest singular value is above a bound.

    The value is a lower bound, exact up to rounding or to the convergence of the Lanczos method:
    what is compliant is never scaled, and what is scaled may have to be scaled by a little more.
    """
    _, height, width = values.shape
    size = min(height, width)
    unit = units(values, task.axes)
    wide = tf.cast(values, tf.float64) * unit
    squares = tf.reduce_sum(tf.square(wide), task.axes, keepdims=True)
    bound = task.projection.max_value * unit
    usable = (squares > bound * bound) & (squares < np.inf)
    kernels = tf.where(usable, wide, 0)
    tall = kernels if height >= width else tf.linalg.matrix_transpose(kernels)
    largest = (all_eigenvalues if size <= SMALL else lanczos)(tall)
    sigma = tf.sqrt(largest)[:, None, None]
    over = usable & (sigma > bound * (1 + (height + width) * 2.0**-50))
    share = max(task.grid.epsilon / 2, size * 2.0**-50)
    factor = task.projection.max_value * (1 - share) * tf.math.reciprocal_no_nan(sigma)
    return select(over, nearest(kernels * factor, task.grid), values)
