"""Proximal steps: what one step against a penalty does to the weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.projections.base import Phase, Projection
from weightaudit.projections.demands import require_norm
from weightaudit.projections.grid import bits, grid_of, nearest
from weightaudit.projections.groups import blocks

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray


def soft_threshold(values: NDArray[Any], threshold: float, *, dtype: str | None = None) -> NDArray[Any]:
    """Bring values nearer to zero by a threshold, and small ones to zero; see `SoftThreshold`.

    Args:
        values: float16, float32 or float64 array; never written to.
        threshold: What magnitudes become smaller by.
        dtype: Storage type of the result's numbers; by default that of `values`.

    Returns:
        A new array, or `values` itself if nothing changes.

    Raises:
        ValueError: The threshold makes no sense.
    """
    return SoftThreshold(threshold).project(values, dtype=dtype)


def shrink(values: NDArray[Any], strength: float, *, dtype: str | None = None) -> NDArray[Any]:
    """Divide values by 1 + strength; see `Shrink`.

    Args:
        values: float16, float32 or float64 array; never written to.
        strength: Strength of the penalty.
        dtype: Storage type of the result's numbers; by default that of `values`.

    Returns:
        A new array, or `values` itself if nothing changes.

    Raises:
        ValueError: The strength makes no sense.
    """
    return Shrink(strength).project(values, dtype=dtype)


@dataclass(frozen=True)
class SoftThreshold(Projection):
    """One proximal step of the L1 penalty: each w becomes sign(w) * max(abs(w) - threshold, 0).

    That minimizes threshold * sum(abs(v)) + sum((v - w)**2) / 2 over v (Parikh and Boyd 2014,
    Proximal Algorithms, section 6.5.2). NaN and Inf stay.

    Attributes:
        threshold: What magnitudes become smaller by: step size times strength of the penalty.
    """

    threshold: float

    name = "soft_threshold"
    phase = Phase.SPARSITY

    def __post_init__(self) -> None:
        require_norm("threshold", self.threshold)

    @property
    def is_step(self) -> bool:
        return True

    def project(self, values: NDArray[Any], *, dtype: str | None = None) -> NDArray[Any]:
        return _each(values, dtype, lambda wide: wide - np.clip(wide, -self.threshold, self.threshold))

    def splits(self, shape: tuple[int, ...]) -> bool:
        return len(shape) > 0


@dataclass(frozen=True)
class Shrink(Projection):
    """One proximal step of the squared L2 penalty: each w becomes w / (1 + strength).

    That minimizes strength * sum(v**2) / 2 + sum((v - w)**2) / 2 over v (Parikh and Boyd 2014,
    Proximal Algorithms, section 6.1.1). NaN and Inf stay.

    Attributes:
        strength: Step size times strength of the penalty.
    """

    strength: float

    name = "shrink"
    phase = Phase.NORM

    def __post_init__(self) -> None:
        require_norm("strength", self.strength)

    @property
    def is_step(self) -> bool:
        return True

    def project(self, values: NDArray[Any], *, dtype: str | None = None) -> NDArray[Any]:
        return _each(values, dtype, lambda wide: wide / (1 + self.strength))

    def splits(self, shape: tuple[int, ...]) -> bool:
        return len(shape) > 0


@np.errstate(all="ignore")
def _each(
    values: NDArray[Any],
    dtype: str | None,
    function: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> NDArray[Any]:
    """Apply a function to every finite element, and round to the nearest number of the type."""
    grid = grid_of(values, dtype)
    result = values.copy()
    flat = result.reshape(-1)
    for rows in blocks(flat.size):
        part = flat[rows]
        new = nearest(function(part.astype(np.float64)), grid)
        np.copyto(part, new, where=np.isfinite(part) & (part != 0), casting="same_kind")
    return values if np.array_equal(bits(result), bits(values)) else result
