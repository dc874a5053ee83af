"""Random arrays of every storage type, with the values that break careless arithmetic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
from hypothesis import strategies as st

if TYPE_CHECKING:
    from numpy.typing import NDArray

FLOATS = ("float16", "float32", "float64", "bfloat16", "float8_e4m3fn", "float8_e5m2")
COMPLEX = ("complex64", "complex128")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool")
EVERY_DTYPE = (*FLOATS, *COMPLEX, *INTEGERS)

_EXTENSIONS: dict[str, Any] = {
    "bfloat16": ml_dtypes.bfloat16,
    "float8_e4m3fn": ml_dtypes.float8_e4m3fn,
    "float8_e5m2": ml_dtypes.float8_e5m2,
}


def numpy_dtype(name: str) -> np.dtype[Any]:
    """Return numpy's (or ml_dtypes') type of that name."""
    dtype: np.dtype[Any] = np.dtype(_EXTENSIONS.get(name, name))
    return dtype


@st.composite
def arrays(draw: st.DrawFn, dtypes: tuple[str, ...] = EVERY_DTYPE) -> NDArray[Any]:
    """Draw an array of up to four axes: random bits, so NaN, Inf and subnormals, then runs of zeros."""
    dtype = numpy_dtype(draw(st.sampled_from(dtypes)))
    shape = tuple(draw(st.lists(st.integers(0, 7), max_size=4)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = int(np.prod(shape, dtype=int))
    if dtype == np.bool_:
        values: NDArray[Any] = rng.random(size) < draw(st.sampled_from([0.0, 0.5, 1.0]))
    elif draw(st.booleans()):
        values = np.frombuffer(rng.bytes(size * dtype.itemsize), dtype).copy()
    else:
        numbers = rng.normal(0, draw(st.sampled_from([1e-30, 1e-6, 1.0, 50.0])), size)
        # A negative number has no unsigned one, and some processors say so.
        with np.errstate(invalid="ignore"):
            values = numbers.astype(dtype)
    values[rng.random(size) < draw(st.sampled_from([0.0, 0.3, 1.0]))] = dtype.type(0)
    if dtype.kind != "b" and draw(st.booleans()):
        values[:] = values[:1]
    return values.reshape(shape)


def parts(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return the real numbers of an array, flat, in float64: the naive way that is compared with."""
    flat = values.reshape(-1)
    if values.dtype.kind == "c":
        flat = np.stack([flat.real, flat.imag], axis=-1).reshape(-1)
    with np.errstate(invalid="ignore"):  # some NaN are signalling ones
        return flat.astype(np.float64)
