"""Projection that scales a kernel to a bound on its largest singular value."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit import eigenvalues
from weightaudit.eigenvalues import gram, is_bounded, lanczos
from weightaudit.projections.base import Phase, Projection
from weightaudit.projections.demands import require_norm
from weightaudit.projections.grid import grid_of, nearest
from weightaudit.projections.groups import group, scaled, total, units

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_CONVERGED = 1e-9
"""Relative residual at which it ends."""


def spectral_norm(values: NDArray[Any], max_value: float = 1.0, *, dtype: str | None = None) -> NDArray[Any]:
    """Scale a kernel whose largest singular value is above a bound down to it; see `SpectralNorm`.

    Args:
        values: float16, float32 or float64 array of at least one axis; never written to.
        max_value: Largest singular value allowed.
        dtype: Storage type of the result's numbers; by default that of `values`.

    Returns:
        `values` itself if no singular value is above the bound, else a new array.

    Raises:
        ValueError: The bound makes no sense, or the array has no axis.
    """
    return SpectralNorm(max_value).project(values, dtype=dtype)


@dataclass(frozen=True)
class SpectralNorm(Projection):
    """Singular values of at most `max_value`: a kernel W becomes W * min(1, max_value / sigma).

    Sigma is the largest singular value of W with all axes but the last flattened into one
    (Miyato et al. 2018, Spectral Normalization for Generative Adversarial Networks; as
    ``keras.layers.SpectralNormalization``, which divides whether sigma is too large or not). It is
    computed in float64 from the Gram matrix G: exactly up to 1024 rows, else by a Krylov method
    that starts from power iteration. That gives a lower bound; it is the Cholesky factorization
    of s**2 * I - G, which only exists if sigma < s, that certifies s as an upper bound. The
    result, rounded to its storage type, is certified in the same way, and scaled further until it
    complies. A kernel with NaN or Inf stays.

    Attributes:
        max_value: Largest singular value allowed.
    """

    max_value: float = 1.0

    name = "spectral_norm"
    phase = Phase.NORM

    def __post_init__(self) -> None:
        require_norm("max_value", self.max_value)

    @np.errstate(all="ignore")
    def project(self, values: NDArray[Any], *, dtype: str | None = None) -> NDArray[Any]:
        grid = grid_of(values, dtype)
        if not values.ndim:
            raise ValueError("the shape () has no axis -1")
        whole = group(values, None)
        if not values.size:
            return values
        unit = units(whole)
        bound = self.max_value * float(unit.flat[0])
        limit = bound * bound
        squares = float(total(whole, np.square, unit).flat[0])
        if not limit < squares < np.inf:
            return values
        product = _gram(values, unit)
        if is_bounded(product, limit):
            return values
        factor = self.max_value / np.sqrt(_largest_eigenvalue(product))
        everything = np.ones(1, np.bool_)
        rounding = partial(nearest, grid=grid)
        # Rounding may raise singular values a little, also where it lowers every magnitude.
        attempts = (
            scaled(whole, np.array([one]), unit, everything, rounding).reshape(values.shape)
            for one in _smaller_and_smaller(factor, max(grid.epsilon / 2, len(product) * 2.0**-50))
        )
        return next(one for one in attempts if is_bounded(_gram(one, unit), limit))


def _smaller_and_smaller(factor: float, share: float) -> Iterator[float]:
    for power in count():
        yield factor * (1 - share) ** (2.0**power)


def _gram(values: NDArray[Any], unit: NDArray[np.float64]) -> NDArray[np.float64]:
    return gram(values.reshape(-1, values.shape[-1]), float(unit.flat[0]))


def _largest_eigenvalue(product: NDArray[np.float64]) -> float:
    """Return the largest eigenvalue, or a close upper bound."""
    if len(product) <= eigenvalues.SMALL:
        return float(np.linalg.eigvalsh(product)[-1])
    value, residual = lanczos(product, _CONVERGED)
    excess = max(residual, value * 2.0**-40)
    while not is_bounded(product, value + excess):
        excess *= 4
    return value + excess
