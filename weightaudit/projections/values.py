"""Projections of single values: bounds, signs, ranges of types, and values that are no numbers."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isnan
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from weightaudit.projections.base import Phase, Projection
from weightaudit.projections.demands import require, require_finite
from weightaudit.projections.grid import GRIDS, at_least, at_most, grid_of, nearest
from weightaudit.projections.groups import blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

FloatType = Literal["float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"]
"""Types that weights are cast to."""


def non_neg(values: NDArray[Any], *, dtype: str | None = None) -> NDArray[Any]:
    """Set negative values to zero; see `NonNeg`.

    Args:
        values: float16, float32 or float64 array; never written to.
        dtype: Storage type of the result's numbers; by default that of `values`.

    Returns:
        `values` itself if none is negative, else a new array.
    """
    return NonNeg().project(values, dtype=dtype)


def clip(
    values: NDArray[Any], minimum: float = -inf, maximum: float = inf, *, dtype: str | None = None
) -> NDArray[Any]:
    """Move values outside of an interval to its nearer end; see `Clip`.

    Args:
        values: float16, float32 or float64 array; never written to.
        minimum: Smallest value allowed.
        maximum: Largest value allowed.
        dtype: Storage type of the result's numbers; by default that of `values`.

    Returns:
        `values` itself if all are inside, else a new array.

    Raises:
        ValueError: The interval is empty, or holds no number of the storage type.
    """
    return Clip(minimum, maximum).project(values, dtype=dtype)


def fit_dtype(values: NDArray[Any], target: FloatType, *, dtype: str | None = None) -> NDArray[Any]:
    """Move values beyond the largest finite number of a type to it; see `FitDtype`.

    Args:
        values: float16, float32 or float64 array; never written to.
        target: Type into whose range the values shall fit.
        dtype: Storage type of the result's numbers; by default that of `values`.

    Returns:
        `values` itself if all fit, else a new array.

    Raises:
        ValueError: There is no such target.
    """
    return FitDtype(target).project(values, dtype=dtype)


def replace_nonfinite(
    values: NDArray[Any], nan: float = 0.0, inf: float | None = None, *, dtype: str | None = None
) -> NDArray[Any]:
    """Replace NaN and infinite values by numbers; see `ReplaceNonfinite`.

    Args:
        values: float16, float32 or float64 array; never written to.
        nan: What NaN becomes.
        inf: What Inf becomes, and -Inf with the other sign; None: the largest finite magnitude
            of the array, or 0 if it has none.
        dtype: Storage type of the result's numbers; by default that of `values`.

    Returns:
        `values` itself if all are finite, else a new array.

    Raises:
        ValueError: A replacement is not finite.
    """
    return ReplaceNonfinite(nan, inf).project(values, dtype=dtype)


@dataclass(frozen=True)
class NonNeg(Projection):
    """Values of at least zero: each negative w becomes 0, as with ``keras.constraints.NonNeg``.

    -0.0 is not negative, and stays; so does -Inf.
    """

    name = "non_neg"
    phase = Phase.SIGN

    def project(self, values: NDArray[Any], *, dtype: str | None = None) -> NDArray[Any]:
        grid_of(values, dtype)
        return _within(values, 0.0, inf)

    def splits(self, shape: tuple[int, ...]) -> bool:
        return len(shape) > 0


@dataclass(frozen=True)
class Clip(Projection):
    """Values from `minimum` to `maximum`: each w outside becomes min(max(w, minimum), maximum).

    As ``tf.clip_by_value``, but exactly inside: float32 has no 0.1, so values above 0.1 become
    the largest float32 below it. Inf stays.

    Attributes:
        minimum: Smallest value allowed.
        maximum: Largest value allowed.
    """

    minimum: float = -inf
    maximum: float = inf

    name = "clip"
    phase = Phase.CLIP

    def __post_init__(self) -> None:
        require(not isnan(self.minimum) and not isnan(self.maximum), "minimum and maximum must be numbers")
        require(self.minimum <= self.maximum, "minimum must not be above maximum")

    def project(self, values: NDArray[Any], *, dtype: str | None = None) -> NDArray[Any]:
        grid = grid_of(values, dtype)
        low, high = at_least(self.minimum, grid), at_most(self.maximum, grid)
        if low > high or low == inf or high == -inf:
            raise ValueError(f"{grid.dtype} has no number from {self.minimum:g} to {self.maximum:g}")
        return _within(values, low, high)

    def splits(self, shape: tuple[int, ...]) -> bool:
        return len(shape) > 0


@dataclass(frozen=True)
class FitDtype(Projection):
    """Values in the finite range of a narrower type: each w beyond its largest number becomes that.

    A cast then gives no Inf, nor NaN in float8_e4m3fn, where it would overflow. What a cast rounds
    to zero is not touched. Inf stays.

    Attributes:
        target: float32 (3.40e38), float16 (65504), bfloat16 (3.39e38), float8_e4m3fn (448) or
            float8_e5m2 (57344).
    """

    target: FloatType

    name = "fit_dtype"
    phase = Phase.PRECISION

    def __post_init__(self) -> None:
        targets = get_args(FloatType)
        require(self.target in targets, f"target must be one of {', '.join(targets)}")

    def project(self, values: NDArray[Any], *, dtype: str | None = None) -> NDArray[Any]:
        high = at_most(GRIDS[self.target].largest, grid_of(values, dtype))
        return _within(values, -high, high)

    def splits(self, shape: tuple[int, ...]) -> bool:
        return len(shape) > 0


@dataclass(frozen=True)
class ReplaceNonfinite(Projection):
    """No NaN and no Inf: they become numbers, which is a guess; a donor or a training is better.

    Unless `inf` says otherwise, an infinite value becomes the largest finite magnitude of its
    tensor, with its sign: the largest of the type would overflow again in the first product.

    Attributes:
        nan: What NaN becomes.
        inf: What Inf becomes, and -Inf with the other sign; None: the largest finite magnitude of
            the tensor, or 0 if it has none.
    """

    nan: float = 0.0
    inf: float | None = None

    name = "replace_nonfinite"
    phase = Phase.REPLACE

    def __post_init__(self) -> None:
        require_finite("nan", self.nan)
        require_finite("inf", self.inf)
        require(self.inf is None or self.inf >= 0, "inf must not be negative")

    @np.errstate(all="ignore")
    def project(self, values: NDArray[Any], *, dtype: str | None = None) -> NDArray[Any]:
        grid = grid_of(values, dtype)
        finite = np.isfinite(values)
        if finite.all():
            return values
        largest = np.abs(values).max(initial=0, where=finite) if self.inf is None else self.inf
        nan, large = nearest(np.array([self.nan, largest], np.float64), grid)
        result = values.copy()
        np.copyto(result, nan, where=np.isnan(values), casting="same_kind")
        infinite = np.isinf(values)
        result[infinite] = np.copysign(large, values[infinite])
        return result

    def splits(self, shape: tuple[int, ...]) -> bool:
        return self.inf is not None and len(shape) > 0


@np.errstate(all="ignore")
def _within(values: NDArray[Any], low: float, high: float) -> NDArray[Any]:
    """Move finite values outside of an interval to its nearer end; both are numbers of the type."""
    if not values.size or (values.min() >= low and values.max() <= high):
        return values
    flat = np.ascontiguousarray(values).reshape(-1)
    result: NDArray[Any] | None = None
    for rows in blocks(flat.size):
        part = flat[rows]
        beyond = np.isfinite(part) & ((part < low) | (part > high))
        if beyond.any():
            result = flat.copy() if result is None else result
            result[rows] = np.where(beyond, np.clip(part, low, high), part)
    return values if result is None else result.reshape(values.shape)
