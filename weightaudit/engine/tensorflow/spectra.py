"""Spectral norms of many kernels of one shape in one call."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.engine.tensorflow.limits import MOST_ELEMENTS
from weightaudit.projections.tensorflow.eigenvalues import SMALL, all_eigenvalues, lanczos
from weightaudit.projections.tensorflow.library import Tensor, tf
from weightaudit.statistics.spectral import SpectralNorm, Spectrum, matrix_shape, reason_against, spectrum_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from weightaudit.statistics import Block, Statistic
    from weightaudit.tensor import TensorInfo

STACK_ELEMENTS = 1 << 23
"""Elements of kernels that wait for others of their shape, 32 MiB of float32, before some are sent."""

_ORDINARY = 2.0**-64, 2.0**400
"""Largest magnitudes of kernels that TensorFlow measures: subnormal numbers, which it takes for zero, do not
matter there, and no square leaves the range of float64."""


@dataclass(frozen=True, slots=True)
class Stack:
    """Kernels of one shape, each with at least as many rows as columns, and the tensors that they are."""

    tensors: list[int] = field(default_factory=list[int])
    kernels: list[NDArray[Any]] = field(default_factory=list["NDArray[Any]"])

    @property
    def elements(self) -> int:
        """Elements of all kernels."""
        return sum(kernel.size for kernel in self.kernels)


def is_stacked(statistic: Statistic[Any], info: TensorInfo) -> bool:
    """Say whether a statistic is a spectral norm that is computed here."""
    return type(statistic) is SpectralNorm and 0 < info.size <= MOST_ELEMENTS and not reason_against(info)


class Spectra:
    """Puts kernels together from their blocks, stacks those of one shape, and measures the stacks.

    Host memory: kernels that are being put together (one, unless tensors overlap in the file), 32 MiB
    in stacks that wait, and each stack under way, which is of 32 MiB or of one kernel.

    Args:
        infos: The kernels, as decoded, by the number of their tensor.
    """

    def __init__(self, infos: Mapping[int, TensorInfo]) -> None:
        self._infos = infos
        self._parts: dict[int, tuple[NDArray[Any], int]] = {}
        self._stacks: dict[tuple[Any, ...], Stack] = {}
        self._results: dict[int, Spectrum] = {}

    def add(self, tensor: int, block: Block) -> Iterator[Stack]:
        """Take in a block of a tensor, and yield stacks that are to be computed now."""
        info = self._infos.get(tensor)
        if info is None:
            return
        if tensor not in self._parts:
            self._parts[tensor] = np.empty(info.size, block.values.dtype), 0
        kernel, seen = self._parts.pop(tensor)
        kernel[block.start : block.start + block.values.size] = block.cleaned
        seen += block.values.size
        if seen < info.size:
            self._parts[tensor] = kernel, seen
            return
        matrix = kernel.reshape(matrix_shape(info))
        tall = matrix if matrix.shape[0] >= matrix.shape[1] else matrix.T
        stack = self._stacks.setdefault((tall.shape, tall.dtype.name), Stack())
        stack.tensors.append(tensor)
        stack.kernels.append(tall)
        while sum(one.elements for one in self._stacks.values()) >= STACK_ELEMENTS:
            yield self._stacks.pop(max(self._stacks, key=lambda key: self._stacks[key].elements))

    def rest(self) -> Iterator[Stack]:
        """Yield what is left, at the end."""
        while self._stacks:
            yield self._stacks.popitem()[1]

    def compute(self, stack: Stack) -> None:
        """Measure the kernels of a stack."""
        peaks = [float(np.abs(kernel).max()) for kernel in stack.kernels]
        ordinary = [_ORDINARY[0] < peak < _ORDINARY[1] for peak in peaks]
        for tensor, kernel, is_ordinary in zip(stack.tensors, stack.kernels, ordinary, strict=True):
            if not is_ordinary:
                self._results[tensor] = spectrum_of(kernel)
        chosen = [number for number, is_ordinary in enumerate(ordinary) if is_ordinary]
        if chosen:
            found = measure_kernels(np.stack([stack.kernels[number] for number in chosen]))
            self._results.update(zip((stack.tensors[number] for number in chosen), found, strict=True))

    def results(self, tensor: int) -> dict[Statistic[Any], Any]:
        """Return what was measured of a tensor."""
        return {SpectralNorm(): self._results[tensor]} if tensor in self._results else {}


def measure_kernels(kernels: NDArray[Any]) -> list[Spectrum]:
    """Measure kernels of one shape in one call.

    A norm is that of float64 arithmetic up to 512 columns, with a relative error of about 1e-13. Above,
    it is what a Lanczos method finds: never more than the norm but for rounding, and less by about
    1e-9 relatively, which is not proven. There is one trace for each way, whatever the shape.

    Args:
        kernels: float32 or float64 array of shape (kernels, rows, columns), with at least as many rows as
            columns, finite, and of ordinary magnitude.
    """
    values, squares = _traced(is_small=kernels.shape[2] <= SMALL, dtype=kernels.dtype.name)(kernels)
    norms = np.sqrt(np.maximum(values.numpy(), 0))
    return [Spectrum(*one) for one in zip(norms.tolist(), squares.numpy().tolist(), strict=True)]


@lru_cache
def _traced(*, is_small: bool, dtype: str) -> Any:
    measure = partial(_measure, all_eigenvalues if is_small else lanczos)
    return tf.function(measure, [tf.TensorSpec((None, None, None), dtype)], autograph=False)


def _measure(largest: Callable[[Tensor], Tensor], kernels: Tensor) -> tuple[Tensor, Tensor]:
    wide = tf.cast(kernels, tf.float64)
    return largest(wide), tf.reduce_sum(tf.square(wide), (1, 2))
