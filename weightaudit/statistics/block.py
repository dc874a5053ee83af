"""A stretch of one tensor in memory, with the views that several folds share."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite, sqrt
from typing import Any, Generic, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from weightaudit.statistics.sums import Sums, numpy_sums

Real = NDArray[np.floating[Any]]
T = TypeVar("T")

_ABOVE_ROUNDING = 1.0 + 1e-9
"""A sum in float64 may be too small by its rounding, which is far less than this."""


class _View(Generic[T]):
    """A property that is computed once per block.

    This is `functools.cached_property` without its lock: before Python 3.12 that is one lock for
    all blocks, which makes threads that compute a view wait for each other.
    """

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self._name = compute.__name__
        self.__doc__ = compute.__doc__

    @overload
    def __get__(self, block: None, owner: type[Any]) -> _View[T]: ...
    @overload
    def __get__(self, block: object, owner: type[Any]) -> T: ...
    def __get__(self, block: object | None, owner: type[Any]) -> T | _View[T]:
        if block is None:
            return self
        value = block.__dict__[self._name] = self._compute(block)
        return value


class Scratch:
    """Memory that one worker uses again for every block, so that views stay in the CPU's cache.

    Attributes:
        sums: What computes the sums of a block.
        has_fast_sums: Whether that is faster than two passes of numpy, so that other views use it.
    """

    def __init__(self, sums: Sums = numpy_sums) -> None:
        self.sums = sums
        self.has_fast_sums = sums is not numpy_sums
        self._arrays: dict[tuple[str, np.dtype[Any]], NDArray[Any]] = {}

    def take(self, purpose: str, size: int, dtype: np.dtype[Any] | type[np.generic]) -> NDArray[Any]:
        """Return an array of `size` elements with undefined content, the same memory each time."""
        key = (purpose, np.dtype(dtype))
        array = self._arrays.get(key)
        if array is None or array.size < size:
            array = np.empty(size, dtype)
            self._arrays[key] = array
        return array[:size]


class Block:
    """Consecutive elements of a tensor in row-major order.

    Views are computed when a fold first asks for them, into scratch memory: they are valid
    until the next block, and must not be kept or written to.

    Attributes:
        values: One-dimensional float32 or float64 array, as stored (NaN and Inf included).
        start: Index in the flattened tensor of the first of them.
    """

    def __init__(self, values: Real, start: int, scratch: Scratch | None = None) -> None:
        self.values = values
        self.start = start
        self._scratch = scratch or Scratch()

    @_View
    def absolute(self) -> Real:
        """Absolute values, NaN and Inf included."""
        out = self._scratch.take("absolute", self.values.size, self.values.dtype)
        return np.abs(self.values, out=out)

    @_View
    def peak(self) -> float:
        """Largest absolute value; NaN if there is a NaN, 0 for an empty block."""
        return float(self.absolute.max()) if self.values.size else 0.0

    @_View
    def is_finite(self) -> bool:
        """Whether there is no NaN and no Inf: a finite sum of squares proves it, or a finite peak."""
        if self._scratch.has_fast_sums and isfinite(self._all_sums[1]):
            return True
        return isfinite(self.peak)

    @_View
    def bound(self) -> float:
        """An upper bound of all magnitudes: the root of the sum of squares, or the peak; NaN with a NaN."""
        # Squares of float64 may vanish or overflow; those of float32 do neither in float64.
        if self._scratch.has_fast_sums and self.values.dtype == np.float32:
            return sqrt(self._all_sums[1]) * _ABOVE_ROUNDING
        return self.peak

    @_View
    def _all_sums(self) -> tuple[float, float]:
        return self._scratch.sums(self.values)

    @_View
    def finite(self) -> Real:
        """The finite elements, without their places."""
        return self.values if self.is_finite else self.values[np.isfinite(self.values)]

    @_View
    def finite_absolute(self) -> Real:
        """Absolute values of the finite elements, without their places."""
        return self.absolute if self.is_finite else np.abs(self.finite)

    @_View
    def cleaned(self) -> Real:
        """All elements in their places, with zero for NaN and Inf."""
        if self.is_finite:
            return self.values
        return np.where(np.isfinite(self.values), self.values, self.values.dtype.type(0))

    @_View
    def cleaned_absolute(self) -> Real:
        """Absolute values in their places, with zero for NaN and Inf."""
        return self.absolute if self.is_finite else np.abs(self.cleaned)

    @_View
    def sums(self) -> tuple[float, float]:
        """Sum and sum of squares of the finite elements, in float64."""
        if self._scratch.has_fast_sums and self.is_finite:
            return self._all_sums
        return self._scratch.sums(self.finite)

    @_View
    def wide(self) -> NDArray[np.float64]:
        """`cleaned` as float64: squares of float32 are exact in it, and sums lose nothing that matters."""
        if self.values.dtype == np.float64:
            return self.cleaned.astype(np.float64, copy=False)
        out = self._scratch.take("wide", self.values.size, np.float64)
        np.copyto(out, self.cleaned)
        return out

    @_View
    def squares(self) -> NDArray[np.float64]:
        """Squares of `cleaned` in float64."""
        out = self._scratch.take("squares", self.values.size, np.float64)
        np.multiply(self.wide, self.wide, out=out)
        return out
