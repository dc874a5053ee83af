"""Largest eigenvalues of Gram matrices: exact for small ones, proven up to a tolerance for large ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SMALL = 1024
"""Rows of a matrix up to which all eigenvalues are computed: 0.05 s."""

TOLERANCE = 1e-6
"""Relative amount by which the result may be too small for larger ones."""

_STEPS = 400
"""Steps of the Lanczos method at most."""

_ELEMENTS = 1 << 23
"""Elements of a kernel that are multiplied at once, 64 MiB of float64."""


def gram(matrix: NDArray[Any]) -> NDArray[np.float64]:
    """Return the smaller of ``A.T @ A`` and ``A @ A.T`` in float64; it has the same largest eigenvalue.

    Args:
        matrix: Matrix A of finite real numbers.
    """
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    size = tall.shape[1]
    result = np.zeros((size, size))
    step = max(1, _ELEMENTS // max(1, size))
    for first in range(0, len(tall), step):
        block = tall[first : first + step].astype(np.float64)
        result += block.T @ block
    return result


def largest_eigenvalue(matrix: NDArray[np.float64]) -> float:
    """Return the largest eigenvalue of a symmetric positive semidefinite matrix.

    Up to 1024 rows all eigenvalues are computed, and the error is that of rounding. Above, the value
    v is that of a Lanczos method, which errs to the small side; that no eigenvalue is above
    v * (1 + 1e-6) is proven by the Cholesky factorization of v * (1 + 1e-6) * I - A, which exists
    only then (but for rounding, in the order of 1e-12). Where that fails, all eigenvalues are computed.

    Args:
        matrix: The matrix A, float64. It is infinite where float64 overflowed; so is the result then.
    """
    if not np.isfinite(matrix).all():
        return float("inf")
    if len(matrix) > SMALL:
        value = _lanczos(matrix)
        if _is_bounded(matrix, value * (1 + TOLERANCE)):
            return value
    return max(0.0, float(np.linalg.eigvalsh(matrix)[-1])) if matrix.size else 0.0


def _is_bounded(matrix: NDArray[np.float64], limit: float) -> bool:
    """Say whether it is proven that all eigenvalues are below a limit."""
    difference = -matrix
    difference.flat[:: len(matrix) + 1] += limit
    try:
        np.linalg.cholesky(difference)
    except np.linalg.LinAlgError:
        return False
    return True


def _lanczos(matrix: NDArray[np.float64]) -> float:
    """Return a lower bound of the largest eigenvalue (Lanczos 1950, every vector orthogonalized twice).

    Its relative error is in the order of the square of the residual at which it ends, 1e-5, by the
    relative distance of the second eigenvalue.
    """
    vector = np.random.default_rng(0).standard_normal(len(matrix))
    vector /= np.linalg.norm(vector)
    basis = np.zeros((_STEPS, len(matrix)))
    small = np.zeros((_STEPS + 1, _STEPS + 1))
    value = 0.0
    for step in range(_STEPS):
        basis[step] = vector
        known = basis[: step + 1]
        image = matrix @ vector
        small[step, step] = vector @ image
        for _ in range(2):
            image -= (known @ image) @ known
        beta = float(np.linalg.norm(image))
        if step % 10 == 9 or beta == 0:
            values, vectors = np.linalg.eigh(small[: step + 1, : step + 1])
            value = float(values[-1])
            if beta * abs(float(vectors[-1, -1])) <= 1e-5 * value or beta == 0:
                break
        small[step, step + 1] = small[step + 1, step] = beta
        vector = image / beta
    return value
