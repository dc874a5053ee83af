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


def gram(matrix: NDArray[Any], unit: float = 1.0) -> NDArray[np.float64]:
    """Return the smaller of ``A.T @ A`` and ``A @ A.T`` in float64; it has the same largest eigenvalue.

    Args:
        matrix: Matrix of finite real numbers.
        unit: A is the matrix times this power of two, which keeps squares in the range of float64.
    """
    tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
    size = tall.shape[1]
    result = np.zeros((size, size))
    step = max(1, _ELEMENTS // max(1, size))
    for first in range(0, len(tall), step):
        block = tall[first : first + step].astype(np.float64) * unit
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
        value, _ = lanczos(matrix, 1e-5)
        if is_bounded(matrix, value * (1 + TOLERANCE)):
            return value
    return max(0.0, float(np.linalg.eigvalsh(matrix)[-1])) if matrix.size else 0.0


def is_bounded(matrix: NDArray[np.float64], limit: float) -> bool:
    """Say whether it is proven that no eigenvalue of a positive semidefinite matrix is above a limit.

    Up to 1024 rows all are computed; above, ``limit * I - A`` has a Cholesky factorization only then.
    """
    if len(matrix) <= SMALL:
        return bool(np.linalg.eigvalsh(matrix)[-1] <= limit)
    if not matrix.any():
        return limit >= 0
    difference = -matrix
    difference.flat[:: len(matrix) + 1] += limit
    try:
        np.linalg.cholesky(difference)
    except np.linalg.LinAlgError:
        return False
    return True


def lanczos(matrix: NDArray[np.float64], converged: float) -> tuple[float, float]:
    """Return a lower bound of the largest eigenvalue, and its residual.

    The method is that of Lanczos (1950), every vector orthogonalized twice. The relative error is in
    the order of the square of the residual, by the relative distance of the second eigenvalue.

    Args:
        matrix: Symmetric positive semidefinite matrix.
        converged: Residual, relative to the value, at which it ends; or else after 400 steps.
    """
    vector = np.random.default_rng(0).standard_normal(len(matrix))
    vector /= np.linalg.norm(vector)
    steps = min(_STEPS, len(matrix))
    basis = np.zeros((steps, len(matrix)))
    small = np.zeros((steps + 1, steps + 1))
    value = residual = 0.0
    for step in range(steps):
        basis[step] = vector
        known = basis[: step + 1]
        image = matrix @ vector
        small[step, step] = vector @ image
        for _ in range(2):
            image -= (known @ image) @ known
        beta = float(np.linalg.norm(image))
        if step % 10 == 9 or step + 1 == steps or beta == 0:
            values, vectors = np.linalg.eigh(small[: step + 1, : step + 1])
            value, residual = float(values[-1]), beta * abs(float(vectors[-1, -1]))
            if residual <= converged * value or beta == 0:
                break
        small[step, step + 1] = small[step + 1, step] = beta
        vector = image / beta
    return value, residual
