"""Largest eigenvalues of the Gram matrices of many kernels of one shape at once."""

from __future__ import annotations

from weightaudit.projections.tensorflow.library import Tensor, tf

SMALL = 512
"""Columns up to which all eigenvalues of the Gram matrix are computed; above, Lanczos is faster."""

_STEPS = 320
"""Steps of the Lanczos method at most."""

_STRIDE = 16
"""Steps after which it is looked whether the value still grows."""

_CONVERGED = 1e-10
"""Relative growth over a stride at which it ends."""


def all_eigenvalues(kernels: Tensor) -> Tensor:
    """Return the largest eigenvalue of each Gram matrix, by computing all; see `lanczos`."""
    return tf.linalg.eigvalsh(tf.matmul(kernels, kernels, transpose_a=True))[:, -1]


def lanczos(kernels: Tensor) -> Tensor:
    """Return the largest eigenvalue of each Gram matrix, without computing the matrix.

    Vectors are not orthogonalized again: that only repeats eigenvalues that were found (Paige
    1971, The Computation of Eigenvalues and Eigenvectors of Very Large Sparse Matrices).

    Args:
        kernels: float64 tensor of shape (kernels, rows, columns), of any size, finite.
    """
    count, width = tf.shape(kernels)[0], tf.shape(kernels)[2]
    start = tf.random.stateless_normal((1, width, 1), (1, 2), dtype=tf.float64)
    vector = tf.tile(start / tf.norm(start), (count, 1, 1))

    def stride(*state: Tensor) -> tuple[Tensor, ...]:
        step, value, _, before, vector, beta, small = state
        for _number in range(_STRIDE):
            image = tf.matmul(kernels, tf.matmul(kernels, vector), transpose_a=True)
            alpha = tf.reduce_sum(image * vector, 1, keepdims=True)
            image -= alpha * vector + beta * before
            beta = tf.norm(image, axis=1, keepdims=True)
            before, vector = vector, tf.math.divide_no_nan(image, beta)
            small = tf.concat([small, tf.concat([alpha, beta], 2)], 1)
        diagonal, beside = small[:, :, 0], small[:, :-1, 1]
        matrix = tf.linalg.diag(diagonal) + tf.linalg.diag(beside, k=1) + tf.linalg.diag(beside, k=-1)
        return step + _STRIDE, tf.linalg.eigvalsh(matrix)[:, -1], value, before, vector, beta, small

    def grows(step: Tensor, value: Tensor, before: Tensor, *_: Tensor) -> Tensor:
        return (step < _STEPS) & tf.reduce_any(value > before * (1 + _CONVERGED))

    zero = tf.zeros((count,), tf.float64)
    nothing, small = tf.zeros((count, 1, 1), tf.float64), tf.zeros((count, 0, 2), tf.float64)
    state = (tf.constant(0), zero + 1, zero, tf.zeros_like(vector), vector, nothing, small)
    lengths = ((), (None,), (None,), (None, None, 1), (None, None, 1), (None, 1, 1), (None, None, 2))
    shapes = tuple(tf.TensorShape(one) for one in lengths)
    return tf.while_loop(grows, stride, state, shape_invariants=shapes)[1]
