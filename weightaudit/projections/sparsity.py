"""Pruning by magnitude: to a share of zeros, or to a pattern that hardware can use."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import ceil, prod
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.projections.base import Phase, Projection
from weightaudit.projections.demands import require
from weightaudit.projections.grid import grid_of
from weightaudit.projections.groups import reduced_axes

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PATTERN = re.compile(r"([1-9][0-9]?):([1-9][0-9]?)")


def prune(
    values: NDArray[Any],
    sparsity: float | None = None,
    n_of_m: str | None = None,
    axis: int = -2,
    *,
    dtype: str | None = None,
) -> NDArray[Any]:
    """Set the smallest magnitudes to zero; see `Prune`.

    Args:
        values: float16, float32 or float64 array; never written to.
        sparsity: Share of zeros to reach, 0 to 1.
        n_of_m: Pattern such as ``2:4`` instead.
        axis: Axis along which the pattern runs.
        dtype: Storage type of the result's numbers; by default that of `values`.

    Returns:
        `values` itself if it is as sparse already, else a new array.

    Raises:
        ValueError: Neither or both of `sparsity` and `n_of_m` are given or one makes no sense, or
            the shape does not have the axis.
    """
    return Prune(sparsity, n_of_m, axis).project(values, dtype=dtype)


@dataclass(frozen=True)
class Prune(Projection):
    """Enough zeros: the elements of smallest magnitude become zero, and no more than needed.

    The projection onto arrays with that many zeros, magnitude pruning (Han et al. 2015, Learning
    both Weights and Connections for Efficient Neural Networks). With `n_of_m`, of every M
    neighbours along the axis at most N are not zero (Mishra et al. 2021, Accelerating Sparse Deep
    Neural Networks), also of the fewer at its end. Of equal magnitudes the first is pruned for a
    share, and the last for a pattern. NaN and Inf are never pruned; a share is one of the finite
    elements, and in a pattern they are counted as the largest.

    Attributes:
        sparsity: Share of zeros to reach, 0 to 1; give this or `n_of_m`.
        n_of_m: Pattern N:M, such as ``2:4``, with numbers below 100.
        axis: Axis along which the pattern runs; by default the input axis of Keras' kernels.
    """

    sparsity: float | None = None
    n_of_m: str | None = None
    axis: int = -2

    name = "prune"
    phase = Phase.SPARSITY

    def __post_init__(self) -> None:
        require((self.sparsity is None) != (self.n_of_m is None), "prune must have sparsity or n_of_m")
        require(self.sparsity is None or 0 <= self.sparsity <= 1, "sparsity must lie between 0 and 1")
        if self.n_of_m is not None:
            parts = _PATTERN.fullmatch(self.n_of_m)
            ordered = parts is not None and int(parts[1]) <= int(parts[2])
            require(ordered, "n_of_m must be a pattern such as '2:4', N not above M and both below 100")

    def project(self, values: NDArray[Any], *, dtype: str | None = None) -> NDArray[Any]:
        grid_of(values, dtype)
        surplus = self._surplus(values)
        if surplus is None:
            return values
        result = values.copy()
        np.copyto(result, 0, where=surplus)
        return result

    def splits(self, shape: tuple[int, ...]) -> bool:
        return self.n_of_m is not None and len(shape) > 1 and 0 not in reduced_axes(shape, self.axis)

    @np.errstate(all="ignore")
    def _surplus(self, values: NDArray[Any]) -> NDArray[np.bool_] | None:
        """Say which elements have to become zero, None for none."""
        if self.sparsity is not None:
            return _smallest(values, self.sparsity)
        kept, length = (int(number) for number in str(self.n_of_m).split(":"))
        (axis,) = reduced_axes(values.shape, self.axis)
        if not values.size:
            return None
        view = values.reshape(prod(values.shape[:axis]), values.shape[axis], -1)
        whole = view.shape[1] - view.shape[1] % length
        parts = [
            _beyond(view[:, :whole], kept, length),
            _beyond(view[:, whole:], kept, view.shape[1] - whole),
        ]
        result = np.concatenate(parts, axis=1)
        return result.reshape(values.shape) if result.any() else None


def _smallest(values: NDArray[Any], share: float) -> NDArray[np.bool_] | None:
    finite = np.isfinite(values)
    magnitudes = np.abs(values[finite]) if not finite.all() else np.abs(values).reshape(-1)
    zeros = magnitudes.size - np.count_nonzero(magnitudes)
    needed = ceil(share * magnitudes.size)
    # The product may be rounded up, and the share that people compute is a quotient.
    if needed and (needed - 1) / magnitudes.size >= share:
        needed -= 1
    if zeros >= needed:
        return None
    limit = np.partition(magnitudes, needed - 1)[needed - 1]
    chosen = magnitudes < limit
    ties = np.flatnonzero(magnitudes == limit)
    chosen[ties[: needed - np.count_nonzero(chosen)]] = True
    result = np.zeros(values.shape, np.bool_)
    result[finite] = chosen & (magnitudes > 0)
    return result


def _beyond(view: NDArray[Any], kept: int, length: int) -> NDArray[np.bool_]:
    """Say which finite elements are not among the largest of their stretch of the middle axis."""
    if kept >= length:
        return np.zeros(view.shape, np.bool_)
    stretches = view.reshape(view.shape[0], view.shape[1] // length, length, view.shape[2])
    present = stretches != 0
    if not (present.sum(axis=2, dtype=np.int8) > kept).any():
        return np.zeros(view.shape, np.bool_)
    finite = np.isfinite(stretches)
    magnitudes = np.where(finite, np.abs(stretches), np.inf)
    larger = np.zeros(stretches.shape, np.int8)
    for first in range(length):
        for second in range(first + 1, length):
            first_wins = magnitudes[:, :, first] >= magnitudes[:, :, second]
            larger[:, :, second] += first_wins
            larger[:, :, first] += ~first_wins
    surplus: NDArray[np.bool_] = present & finite & (larger >= kept)
    return surplus.reshape(view.shape)
