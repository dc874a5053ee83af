"""Places in a tensor, and which tensors are stored as the numbers that they stand for."""

from __future__ import annotations

from math import frexp, log2, prod
from typing import TYPE_CHECKING

from weightaudit_rules._roles import is_matrix

if TYPE_CHECKING:
    from weightaudit.tensor import TensorInfo

_BIAS = {"float16": (15, 5), "bfloat16": (127, 8), "float32": (127, 8), "float64": (1023, 11)}
"""Of the exponent of a storage type: what is added to it, and its bits."""

_ONE_BIT = 2.0
"""What a number is of whose exponent the highest bit alone is set, with nothing in its fraction."""

_LEAST = 1e-6
"""Share of the magnitude of other values below which nobody would expect a weight."""


def is_plain_matrix(info: TensorInfo) -> bool:
    """Say whether it is a kernel or an embedding of real floating point numbers, not quantized."""
    return info.dtype in _BIAS and info.quantization is None and is_matrix(info)


def index_of(info: TensorInfo, place: int) -> tuple[int, ...]:
    """Return the index of an element by its place in the flattened tensor."""
    strides = (prod(info.shape[axis + 1 :]) for axis in range(len(info.shape)))
    return tuple(place // stride % length for stride, length in zip(strides, info.shape, strict=True))


def flipped_bit(dtype: str, value: float, below: float) -> tuple[int, float] | None:
    """Return the exponent bit whose flip explains an isolated value, 0 for the lowest, and what it was.

    Where several do, it is the one that leads nearest to a quarter of the largest magnitude of other
    values, which is the root mean square of some thousand normal numbers. Zero, as in pruned kernels,
    becomes exactly 2 by a flip of the highest bit, in each of the types. None if no bit does.
    """
    bias, bits = _BIAS.get(dtype, (0, 0))
    if bits and abs(value) == _ONE_BIT:
        return bits - 1, 0.0
    exponent = frexp(value)[1] - 1 + bias
    found = [
        (bit, before)
        for bit in range(bits)
        if exponent >> bit & 1 and _LEAST * below <= abs(before := value * 2.0 ** -(1 << bit)) <= below
    ]
    return min(found, key=lambda one: abs(log2(4 * abs(one[1]) / below)), default=None)
