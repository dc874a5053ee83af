"""A stretch of one tensor in memory, with the views that several folds share."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any, Generic, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from weightaudit.kernels import native
from weightaudit.statistics.summary import NOTHING_KNOWN, Sketch, Summary

Real = NDArray[np.floating[Any]]
T = TypeVar("T")


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
        compiled: Whether blocks are summed up by the compiled kernels, if there are any.
    """

    def __init__(self, *, compiled: bool = True) -> None:
        self.compiled = compiled and native is not None
        self._arrays: dict[tuple[str, np.dtype[Any]], NDArray[Any]] = {}
        self._for_parts: Scratch | None = None

    @property
    def for_parts(self) -> Scratch:
        """Memory for parts of a block, whose own views stay valid meanwhile."""
        if self._for_parts is None:
            self._for_parts = Scratch(compiled=self.compiled)
        return self._for_parts

    def take(self, purpose: str, size: int, dtype: np.dtype[Any] | type[np.generic]) -> NDArray[Any]:
        """Return an array of `size` elements with undefined content, the same memory each time."""
        key = (purpose, np.dtype(dtype))
        array = self._arrays.get(key)
        if array is None or array.size < size:
            array = self._arrays[key] = _aligned(size, key[1])
        return array[:size]


def _aligned(size: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return memory that begins at a page: SIMD loads that cross cache lines take twice as long."""
    raw = np.empty(size * dtype.itemsize + mmap.PAGESIZE, np.uint8)
    skip = -raw.ctypes.data % mmap.PAGESIZE
    return raw[skip : skip + size * dtype.itemsize].view(dtype)


@dataclass(frozen=True, slots=True)
class Outline:
    """What is known of a long block whose elements are not at hand.

    Attributes:
        size: Number of elements in a chunk; the last one may have fewer.
        rows: Sums and extremes of each chunk: float64, a row of `kernels.Sums` for each.
        read: Reads the elements of a chunk, or of a part of it, again: from one place in the block to
            before another.
    """

    size: int
    rows: NDArray[np.float64]
    read: Callable[[int, int], Real]


class Block:
    """Consecutive elements of a tensor in row-major order.

    Views are computed when a fold first asks for them, into scratch memory: they are valid
    until the next block, and must not be kept or written to. In a healthy tensor the sums and
    extremes often suffice, which may be known already when nothing was decoded yet.

    Attributes:
        size: Number of elements.
        start: Index in the flattened tensor of the first of them.
        border: Index of an element of the tensor with which a page of the file begins, the first one;
            0 where the tensor does not lie in one piece.
        repeats: How many pages in it may repeat an earlier one (`kernels.Native.repeats`); -1: not known.
    """

    def __init__(
        self,
        values: Real | Callable[[int, int], Real],
        start: int,
        scratch: Scratch | None = None,
        *,
        size: int = -1,
        summary: Summary | None = None,
        border: int = 0,
        repeats: int = -1,
        outline: Outline | None = None,
    ) -> None:
        """Make a block.

        Args:
            values: One-dimensional float32 or float64 array, or what gives such an array of the
                elements from one place to before another.
            start: Index of the first element.
            scratch: Memory for the views.
            size: Number of elements, where `values` is a function.
            summary: Its sums and extremes, if they are known.
            border: See the attributes.
            repeats: See the attributes.
            outline: What is known of its chunks.
        """
        self.start = start
        self.border = border
        self.repeats = repeats
        self._outline = outline
        self._scratch = scratch or Scratch()
        if callable(values):
            self.size = size
            self._bring = values
        else:
            self.size = values.size
            self.__dict__["values"] = values
        if summary is not None:
            self.__dict__["_sums"] = summary

    @_View
    def values(self) -> Real:
        """One-dimensional float32 or float64 array, as stored (NaN and Inf included)."""
        return self._bring(0, self.size)

    def part(self, start: int, size: int) -> Block:
        """Return a block of `size` elements from place `start`; only those are decoded.

        Its views are valid until the next part is made.
        """
        end = start + size
        values = self.values[start:end] if "values" in self.__dict__ else self._bring(start, end)
        part = Block(values, self.start + start, self._scratch.for_parts)
        if self.is_finite:
            part.__dict__["is_finite"] = True
        return part

    def chunks(self) -> Iterator[Block]:
        """Yield blocks that make up this one, whose sums are known without looking at their elements.

        Where those of parts are not known it is the block itself. Each is valid until the next one.
        """
        if self._outline is None:
            yield self
        else:
            for number in range(len(self._outline.rows)):
                yield self._chunk(number, self._outline)

    def zeros(self) -> tuple[int, Iterator[Block]]:
        """Return how many zeros are known to be lone, and those of `chunks` that may have others, or more.

        Of lone ones no eight follow each other, neither in a chunk nor across the border of two.
        """
        if self._outline is None:
            lone = self.summary.lone_zeros
            return max(0, lone), iter((self,) if lone < 0 else ())
        outline = self._outline
        lones = outline.rows[:, 6]
        chunks = (self._chunk(number, outline) for number in np.flatnonzero(lones < 0).tolist())
        return int(lones.sum(where=lones > 0)), chunks

    def largest(self, count: int) -> list[int]:
        """Return the places in this block of up to nine elements of largest magnitude, NaN and Inf left out.

        Of equal magnitudes the first come first.
        """
        if native is not None and self._scratch.compiled:
            return native.largest(self.cleaned, self.values.itemsize)[:count]
        magnitudes = self.cleaned_absolute
        count = min(count, self.size)
        least = np.partition(magnitudes, self.size - count)[self.size - count]
        above = np.flatnonzero(magnitudes > least)
        equal = np.flatnonzero(magnitudes == least)[: count - above.size]
        return [*above[np.argsort(-magnitudes[above], kind="stable")].tolist(), *equal.tolist()]

    def patterns(self) -> tuple[int, ...] | None:
        """Return what `kernels.Native.patterns` says of float32 elements; None without compiled kernels."""
        return native.patterns(self.values) if native is not None and self._scratch.compiled else None

    def peak_chunks(self, count: int) -> tuple[Real, Iterator[Block]]:
        """Return the largest magnitudes of some chunks, largest first, and these chunks.

        Args:
            count: How many chunks; fewer if there are no more.
        """
        if self._outline is None:
            return np.array([self.peak]), iter((self,))
        outline = self._outline
        peaks = np.maximum(outline.rows[:, 3], -outline.rows[:, 2])
        order = np.argsort(-peaks, kind="stable")[:count]
        return peaks[order], (self._chunk(int(number), outline) for number in order)

    def _chunk(self, number: int, outline: Outline) -> Block:
        first = number * outline.size
        count = min(outline.size, self.size - first)

        def values(start: int, end: int) -> Real:
            return outline.read(first + start, first + end)

        summary = Sketch(count, *outline.rows[number].tolist())
        start = self.start + first
        return Block(values, start, self._scratch.for_parts, size=count, summary=summary, border=self.border)

    @_View
    def _sums(self) -> Summary | None:
        """Sums and extremes in one pass, where there are compiled kernels."""
        if native is None or not self._scratch.compiled:
            return None
        # Asking a dtype for its name takes longer than adding up a small block.
        dtype = "float32" if self.values.itemsize == 4 else "float64"
        return Sketch(self.size, *native.summarize(self.values, dtype))

    @_View
    def summary(self) -> Summary:
        """Sums and extremes; nothing is known of a block with a NaN or an Inf."""
        if self._sums is not None:
            return self._sums
        if not self.is_finite:
            return NOTHING_KNOWN
        return Summary(self.size, *self.sums, *self.range, float(self.absolute.min(initial=inf)))

    @_View
    def absolute(self) -> Real:
        """Absolute values, NaN and Inf included."""
        out = self._scratch.take("absolute", self.size, self.values.dtype)
        return np.abs(self.values, out=out)

    @_View
    def peak(self) -> float:
        """Largest absolute value; NaN if there is a NaN, 0 for an empty block."""
        if self._sums is not None and self._sums.is_finite:
            return self._sums.peak
        return float(self.absolute.max()) if self.size else 0.0

    @_View
    def is_finite(self) -> bool:
        """Whether there is no NaN and no Inf: a finite sum of squares proves it, or a finite peak."""
        return isfinite(self.peak)

    @_View
    def finite(self) -> Real:
        """The finite elements, without their places."""
        return self.values if self.is_finite else self.values[np.isfinite(self.values)]

    @_View
    def finite_count(self) -> int:
        """Number of finite elements."""
        return self.size if self.is_finite else self.finite.size

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
        if self._sums is not None and self._sums.is_finite:
            return self._sums.total, self._sums.squares
        wide = self.finite.astype(np.float64, copy=False)
        # Not np.dot: BLAS starts threads of its own, which fight with the engine's.
        return float(np.add.reduce(wide)), float(np.einsum("i,i->", wide, wide))

    @_View
    def range(self) -> tuple[float, float]:
        """Smallest and largest finite element; Inf and -Inf if there is none."""
        if self._sums is not None and self._sums.is_finite:
            return self._sums.minimum, self._sums.maximum
        return float(self.finite.min(initial=inf)), float(self.finite.max(initial=-inf))

    @_View
    def wide(self) -> NDArray[np.float64]:
        """`cleaned` as float64: squares of float32 are exact in it, and sums lose nothing that matters."""
        if self.values.dtype == np.float64:
            return self.cleaned.astype(np.float64, copy=False)
        out = self._scratch.take("wide", self.size, np.float64)
        np.copyto(out, self.cleaned)
        return out

    @_View
    def squares(self) -> NDArray[np.float64]:
        """Squares of `cleaned` in float64."""
        out = self._scratch.take("squares", self.size, np.float64)
        np.multiply(self.wide, self.wide, out=out)
        return out
