"""Decoding equals numpy and ml_dtypes, bit for bit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings

from weightaudit.dtypes import components, decode, itemsize, kind_of

from .arrays import EVERY_DTYPE, arrays, numpy_dtype, parts

if TYPE_CHECKING:
    from numpy.typing import NDArray


def wide(values: NDArray[Any]) -> NDArray[np.float64]:
    """Widen to float64; some NaN are signalling ones, which numpy would warn about."""
    with np.errstate(invalid="ignore"):
        return values.astype(np.float64)


@settings(deadline=None)
@given(values=arrays())
def test_decoding_is_exact(values: NDArray[Any]) -> None:
    """Every value of every type comes out as numpy converts it, NaN included."""
    raw = np.frombuffer(values.tobytes(), np.uint8)
    with np.errstate(invalid="ignore"):
        decoded = decode(raw, values.dtype.name)
    assert decoded.dtype in (np.float32, np.float64)
    np.testing.assert_array_equal(wide(decoded), parts(values))


@settings(deadline=None)
@given(values=arrays(tuple(name for name in EVERY_DTYPE if not name.startswith("float8"))))
def test_big_endian_decoding_is_exact(values: NDArray[Any]) -> None:
    """Bytes in the other order give the same numbers."""
    width = max(1, itemsize(values.dtype.name) // components(values.dtype.name))
    raw = np.frombuffer(values.tobytes(), np.uint8).reshape(-1, width)[:, ::-1].reshape(-1)
    decoded = decode(np.ascontiguousarray(raw), values.dtype.name, big_endian=True)
    np.testing.assert_array_equal(wide(decoded), parts(values))


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2"])
def test_every_float8_code(dtype: str) -> None:
    """All 256 codes of both float8 formats have the value that ml_dtypes gives them."""
    codes = np.arange(256, dtype=np.uint8)
    expected = codes.view(numpy_dtype(dtype)).astype(np.float32)
    np.testing.assert_array_equal(decode(codes, dtype), expected)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_every_16_bit_code(dtype: str) -> None:
    """All 65536 codes of both 16-bit formats have the value that numpy and ml_dtypes give them."""
    codes = np.arange(65536, dtype=np.uint16)
    with np.errstate(invalid="ignore"):  # signalling NaN, on some processors
        expected = codes.view(numpy_dtype(dtype)).astype(np.float32)
    np.testing.assert_array_equal(decode(codes.view(np.uint8), dtype), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats_are_viewed(dtype: str) -> None:
    """The common types are not copied, which would cost as much as reading them."""
    raw = np.zeros(64, np.uint8)
    assert np.shares_memory(decode(raw, dtype), raw)


@pytest.mark.parametrize("dtype", EVERY_DTYPE)
def test_sizes_and_kinds(dtype: str) -> None:
    """Item sizes and kinds are numpy's."""
    expected = numpy_dtype(dtype)
    assert itemsize(dtype) == expected.itemsize
    kinds = {"f": "float", "V": "float", "c": "complex", "i": "int", "u": "uint", "b": "bool"}
    assert kind_of(dtype) == kinds[expected.kind]


def test_other_types_are_opaque() -> None:
    """Strings, resources and types that nobody knows yet have no numbers."""
    for name in ("string", "resource", "variant", "float4_e2m1fn", ""):
        assert (kind_of(name), itemsize(name)) == ("opaque", 0)
