"""Bounds on the largest singular values of many kernels at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from weightaudit.projections.tensorflow.arithmetic import nearest, select, units
from weightaudit.projections.tensorflow.library import Tensor, tf

if TYPE_CHECKING:
    from weightaudit.projections import SpectralNorm
    from weightaudit.projections.tensorflow.layout import Task

_SMALL = 512
"""Rows of a Gram matrix up to which all of its eigenvalues are computed."""

_STEPS = 320
"""Steps of the Lanczos method at most."""

_STRIDE = 16
"""Steps after which it is looked whether the value still grows."""

_CONVERGED = 1e-10
"""Relative growth over a stride at which it ends."""


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
    largest = _decomposed(tall) if size <= _SMALL else _lanczos(tall)
    sigma = tf.sqrt(largest)[:, None, None]
    over = usable & (sigma > bound * (1 + (height + width) * 2.0**-50))
    share = max(task.grid.epsilon / 2, size * 2.0**-50)
    factor = task.projection.max_value * (1 - share) * tf.math.reciprocal_no_nan(sigma)
    return select(over, nearest(kernels * factor, task.grid), values)


def _decomposed(tall: Tensor) -> Tensor:
    return tf.linalg.eigvalsh(tf.matmul(tall, tall, transpose_a=True))[:, -1]


def _lanczos(tall: Tensor) -> Tensor:
    """Return the largest eigenvalue of each Gram matrix, without computing the matrix.

    Vectors are not orthogonalized again: that only repeats eigenvalues that were found (Paige
    1971, The Computation of Eigenvalues and Eigenvectors of Very Large Sparse Matrices).
    """
    count, width = tf.shape(tall)[0], tall.shape[2]
    start = np.random.default_rng(0).standard_normal((1, width, 1))
    vector = tf.tile(tf.constant(start / np.linalg.norm(start)), (count, 1, 1))

    def stride(*state: Tensor) -> tuple[Tensor, ...]:
        step, value, _, before, vector, beta, small = state
        for _number in range(_STRIDE):
            image = tf.matmul(tall, tf.matmul(tall, vector), transpose_a=True)
            alpha = tf.reduce_sum(image * vector, 1, keepdims=True)
            image -= alpha * vector + beta * before
            beta = tf.norm(image, axis=1, keepdims=True)
            before, vector = vector, tf.math.divide_no_nan(image, beta)
            small = tf.concat([small, tf.concat([alpha, beta], 2)], 1)
        diagonal, beside = small[:, :, 0], small[:, :-1, 1]
        matrix = tf.linalg.diag(diagonal) + tf.linalg.diag(beside, k=1) + tf.linalg.diag(beside, k=-1)
        now = tf.linalg.eigvalsh(matrix)[:, -1]
        return step + _STRIDE, now, value, before, vector, beta, small

    def grows(step: Tensor, value: Tensor, before: Tensor, *_: Tensor) -> Tensor:
        return (step < _STEPS) & tf.reduce_any(value > before * (1 + _CONVERGED))

    nothing = tf.zeros((count, 1, 1), tf.float64)
    zero = nothing[:, 0, 0]
    small = tf.zeros((count, 0, 2), tf.float64)
    state = (tf.constant(0), zero + 1, zero, tf.zeros_like(vector), vector, nothing, small)
    shapes = (*(one.shape for one in state[:-1]), tf.TensorShape((None, None, 2)))
    result = tf.while_loop(grows, stride, state, shape_invariants=shapes)
    return result[1]
