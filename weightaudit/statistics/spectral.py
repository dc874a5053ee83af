"""Spectral norm and stable rank: how much a kernel can amplify, and over how many directions it does."""

from __future__ import annotations

from dataclasses import dataclass
from math import nan, prod, sqrt
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from weightaudit.dtypes import kind_of
from weightaudit.eigenvalues import gram, largest_eigenvalue
from weightaudit.statistics.base import UNKNOWN, Statistic, Stats, Unknown

if TYPE_CHECKING:
    from weightaudit.statistics.block import Block
    from weightaudit.tensor import TensorInfo

MOST_ELEMENTS = 1 << 26
"""Elements of a kernel that are kept until all have been seen: 256 MiB of float32."""

MOST_COLUMNS = 4096
"""Columns of a kernel whose rows are folded into a Gram matrix: 128 MiB."""


@dataclass(frozen=True, slots=True)
class Spectrum:
    """The largest singular value of a kernel, and the sum of the squares of all.

    Attributes:
        norm: Largest singular value; NaN if it was not measured, infinite where float64 overflowed.
        squares: Sum of the squares of all singular values, which is that of all elements.
        reason: Why it was not measured; empty if it was.
    """

    norm: float
    squares: float
    reason: str = ""

    @property
    def stable_rank(self) -> float:
        """Squares of all singular values by the largest square, from 1 to the rank; NaN if all are 0.

        (Rudelson and Vershynin 2007, Sampling from Large Matrices.)
        """
        largest = self.norm * self.norm
        return self.squares / largest if largest else nan


@dataclass(frozen=True, slots=True)
class SpectralNorm(Statistic[Spectrum]):
    """Largest singular value of a kernel with all axes but the last flattened into one, and its stable rank.

    That is the matrix whose norm ``keras.layers.SpectralNormalization`` divides by. A vector is a matrix
    of one row. NaN and Inf count as zero, as in every statistic but `NonFinite`.

    The norm is that of float64 arithmetic up to 1024 rows or columns, whichever are fewer, with a
    relative error of about 1e-14; above, it may be too small by 5e-7 relatively, and it is proven that
    it is by no more. Float64 values beyond 1e154 make it infinite.

    Memory: a kernel is kept until it was seen whole, in the type that it is decoded to, or folded into
    a float64 Gram matrix if it has more than twice as many rows as columns and at most 4096 columns.
    Kernels of more than 2**26 elements that cannot be folded, and complex ones, are not measured; the
    result says so.
    """

    def start(self, info: TensorInfo) -> SpectralFold:
        return SpectralFold(info)

    def answer(self, info: TensorInfo, known: Stats) -> Spectrum | Unknown:
        reason = reason_against(info)
        return Spectrum(nan, nan, reason) if reason else UNKNOWN


def matrix_shape(info: TensorInfo) -> tuple[int, int]:
    """Return rows and columns of the matrix that a tensor is taken for."""
    return (prod(info.shape[:-1]), info.shape[-1]) if info.shape else (1, 1)


@np.errstate(all="ignore")
def spectrum_of(matrix: NDArray[Any]) -> Spectrum:
    """Measure a matrix of finite real numbers; see `SpectralNorm`."""
    return _spectrum(gram(matrix))


def _spectrum(product: NDArray[np.float64]) -> Spectrum:
    return Spectrum(sqrt(largest_eigenvalue(product)), float(np.trace(product)))


def _is_tall(info: TensorInfo) -> bool:
    """Say whether a Gram matrix is smaller than the kernel."""
    height, width = matrix_shape(info)
    return height > 2 * width and width <= MOST_COLUMNS


def reason_against(info: TensorInfo) -> str:
    """Return why the spectral norm of a tensor is not measured; empty if it is."""
    if kind_of(info.dtype) == "complex":
        return "it holds complex numbers"
    if info.size > MOST_ELEMENTS and not _is_tall(info):
        height, width = matrix_shape(info)
        return f"as a matrix of {height} by {width} it does not fit into the memory that is set aside for it"
    return ""


class SpectralFold:
    """Keeps elements until the kernel is whole, or rows can be folded into a Gram matrix."""

    def __init__(self, info: TensorInfo) -> None:
        self._shape = matrix_shape(info)
        self._size = info.size
        self._reason = reason_against(info)
        self._is_folded = _is_tall(info)
        self._kept: list[tuple[int, NDArray[Any]]] = []
        self._gram: NDArray[np.float64] | None = None
        self._seen = 0
        self._result: Spectrum | None = None

    def update(self, block: Block) -> None:
        if self._reason:
            return
        self._kept.append((block.start, np.array(block.cleaned)))
        self._seen += block.values.size
        self._settle()

    def merge(self, other: Self) -> None:
        self._result = self._result or other._result
        self._kept += other._kept
        self._seen += other._seen
        if other._gram is not None:
            self._gram = other._gram if self._gram is None else self._gram + other._gram
        self._settle()

    def finish(self) -> Spectrum:
        if self._reason:
            return Spectrum(nan, nan, self._reason)
        return self._result or Spectrum(0.0, 0.0)

    @np.errstate(all="ignore")
    def _settle(self) -> None:
        """Free memory: of rows that can be folded, and of everything once the kernel is whole."""
        if self._result is not None or not self._seen:
            return
        is_whole = self._seen == self._size
        if self._is_folded:
            waiting = sum(values.nbytes for _, values in self._kept)
            if is_whole or waiting > max(8 * self._shape[1] ** 2, 1 << 20):
                self._fold_rows()
        if is_whole:
            self._result = _spectrum(self._whole_gram())
            self._kept, self._gram = [], None

    def _whole_gram(self) -> NDArray[np.float64]:
        if self._gram is not None:
            return self._gram
        return gram(np.concatenate([values for _, values in self._kept]).reshape(self._shape))

    def _fold_rows(self) -> None:
        """Fold whole rows into the Gram matrix, and keep the ends of those that are not whole."""
        width = self._shape[1]
        if self._gram is None:
            self._gram = np.zeros((width, width))
        ends: list[tuple[int, NDArray[Any]]] = []
        for start, values in _joined(self._kept):
            head = min(-start % width, values.size)
            tail = head + (values.size - head) // width * width
            body = values[head:tail].reshape(-1, width).astype(np.float64)
            self._gram += body.T @ body
            ends += [(start, values[:head].copy()), (start + tail, values[tail:].copy())]
        self._kept = [end for end in ends if end[1].size]


def _joined(kept: list[tuple[int, NDArray[Any]]]) -> list[tuple[int, NDArray[Any]]]:
    """Join stretches that follow each other."""
    runs: list[tuple[int, list[NDArray[Any]]]] = []
    stop = -1
    for start, values in kept:
        if start != stop:
            runs.append((start, []))
        runs[-1][1].append(values)
        stop = start + values.size
    return [(start, np.concatenate(parts)) for start, parts in runs]
