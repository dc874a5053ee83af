"""Rounding onto storage types and back to bytes, against ml_dtypes and numpy."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.projections.tensors import DTYPES, FEW_BITS, stored
from weightaudit.dtypes import decode, itemsize
from weightaudit.projections.grid import GRIDS, at_least, at_most, bits, encode, nearest, toward_zero


def numpy_dtype(name: str) -> np.dtype[Any]:
    """Return numpy's or ml_dtypes' type of that name."""
    dtype: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name, name))
    return dtype


def numbers(dtype: str) -> Any:
    """Return every finite number of a type with few bits, as float64, sorted."""
    size = itemsize(dtype)
    codes = np.arange(256**size, dtype=f"<u{size}")
    values = decode(codes.view(np.uint8), dtype)
    return np.unique(values[np.isfinite(values)].astype(np.float64))


@pytest.mark.parametrize("dtype", FEW_BITS)
def test_limits_are_those_of_the_numbers(dtype: str) -> None:
    """Largest and smallest number and epsilon, hence all limits, are what a list of all numbers shows."""
    grid, positive = GRIDS[dtype], numbers(dtype)
    positive = positive[positive > 0]
    assert grid.largest == positive[-1]
    assert grid.step == positive[0]
    assert grid.epsilon == positive[positive > 1][0] - 1


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_limits_of_ieee_types(dtype: str) -> None:
    """They are those that numpy states."""
    grid, known = GRIDS[dtype], np.finfo(dtype)
    stated = [
        float(known.max),
        float(known.smallest_subnormal),
        float(known.eps),
        float(known.smallest_normal),
    ]
    assert [grid.largest, grid.step, grid.epsilon, grid.normal] == stated


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(FEW_BITS), st.integers(0, 2**32 - 1))
def test_rounding_finds_the_right_neighbour(dtype: str, seed: int) -> None:
    """Against a search among all numbers of the type: not larger in magnitude, and the nearest one."""
    rng, known = np.random.default_rng(seed), numbers(dtype)
    values = rng.normal(0, 1, 50) * 10.0 ** rng.uniform(-45, 39, 50)
    values = np.concatenate([values, rng.choice(known, 20), rng.choice(known, 20) * (1 + 2.0**-50)])
    grid = GRIDS[dtype]
    clipped = np.clip(values, -grid.largest, grid.largest)
    places = np.searchsorted(known, np.abs(clipped), "right") - 1
    np.testing.assert_array_equal(np.abs(toward_zero(values, grid)), known[places])
    lower, upper = known[places], known[np.minimum(places + 1, known.size - 1)]
    closest = np.minimum(np.abs(np.abs(clipped) - lower), np.abs(upper - np.abs(clipped)))
    np.testing.assert_array_equal(np.abs(nearest(values, grid) - clipped), closest)
    np.testing.assert_array_equal(np.signbit(nearest(values, grid)), np.signbit(values))


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(DTYPES), st.integers(0, 2**32 - 1))
def test_ties_go_to_even(dtype: str, seed: int) -> None:
    """Rounding to nearest agrees with casts of numpy and ml_dtypes wherever these do not overflow."""
    rng = np.random.default_rng(seed)
    values = stored(rng.normal(0, 1, 80) * 10.0 ** rng.uniform(-8, 2, 80), dtype).astype(np.float64)
    step = np.abs(values) * GRIDS[dtype].epsilon
    between = (values + rng.integers(-2, 3, 80) * step / 2).astype(np.float32)
    expected = between.astype(numpy_dtype(dtype)).astype(np.float64)
    np.testing.assert_array_equal(nearest(between.astype(np.float64), GRIDS[dtype]), expected)


def test_float32_against_numpy() -> None:
    """float64 becomes float32 as numpy casts it, and toward zero never beyond it."""
    values = np.random.default_rng(1).normal(0, 1, 10_000) * np.logspace(-46, 38, 10_000)
    cast = values.astype(np.float32).astype(np.float64)
    np.testing.assert_array_equal(nearest(values, GRIDS["float32"]), cast)
    down = toward_zero(values, GRIDS["float32"])
    assert (down == down.astype(np.float32)).all()
    assert (np.abs(down) <= np.abs(values)).all()
    assert (np.abs(values - down) < np.maximum(np.abs(values) * 2.0**-23, 2.0**-149)).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_rounding_keeps_nan_and_infinity(dtype: str) -> None:
    """Neither becomes a number, and no number becomes one of them."""
    values = np.array([nan, inf, -inf, 1e308, -1e308, 0.0, -0.0])
    for rounding in (toward_zero, nearest):
        after = rounding(values, GRIDS[dtype])
        largest = min(1e308, GRIDS[dtype].largest)
        np.testing.assert_array_equal(after, [nan, inf, -inf, largest, -largest, 0, 0])
        assert np.signbit(after[-1])


@pytest.mark.parametrize("dtype", FEW_BITS)
def test_the_next_number_on_either_side(dtype: str) -> None:
    """Below and above any value lies the number that a search finds; beyond the ends lies infinity."""
    known = numbers(dtype)
    rng = np.random.default_rng(2)
    for value in (*rng.normal(0, 1, 50), *rng.choice(known, 50), 1e-60, -1e-60, 0.0, 1e39, -1e39):
        below, above = known[known <= value], known[known >= value]
        assert at_most(value, GRIDS[dtype]) == (below[-1] if below.size else -inf)
        assert at_least(value, GRIDS[dtype]) == (above[0] if above.size else inf)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("big_endian", [False, True])
def test_encode_is_the_inverse_of_decode(dtype: str, big_endian: bool) -> None:  # noqa: FBT001 - a case
    """Any bits come back after decoding, unless they are NaN, which stays NaN."""
    size = itemsize(dtype)
    raw = np.frombuffer(np.random.default_rng(3).bytes(size * 5000), np.uint8)
    values = decode(raw, dtype, big_endian=big_endian)
    back = encode(values.astype(values.dtype.newbyteorder("=")), dtype, big_endian=big_endian)
    numbers_ = ~np.isnan(values)
    assert numbers_.sum() > 4000
    assert back.reshape(-1, size)[numbers_].tobytes() == raw.reshape(-1, size)[numbers_].tobytes()
    assert np.isnan(decode(back, dtype, big_endian=big_endian)[~numbers_]).all()


@pytest.mark.parametrize("dtype", ["float32", *FEW_BITS])
@pytest.mark.parametrize("value", [1 / 3, 1e39, -1e-50])
def test_encode_refuses_what_the_type_does_not_have(dtype: str, value: float) -> None:
    """A value that would be rounded is an error, never a silent change."""
    with pytest.raises(ValueError, match=f"is not a number of the type {dtype}"):
        encode(np.array([1.0, value]), dtype)


def test_encode_refuses_infinity_where_there_is_none() -> None:
    """float8_e4m3fn has NaN and no infinity."""
    with pytest.raises(ValueError, match="inf is not a number of the type float8_e4m3fn"):
        encode(np.array([inf]), "float8_e4m3fn")
    with pytest.raises(ValueError, match="not int8"):
        encode(np.array([1.0]), "int8")


def test_a_nan_whose_payload_is_cut_off_stays_nan() -> None:
    """A float32 NaN with only low bits set must not become infinite in bfloat16."""
    values = np.array([0x7F800001, 0xFF800001], np.uint32).view(np.float32)
    assert np.isnan(decode(encode(values, "bfloat16"), "bfloat16")).all()


def test_bits_tell_zeros_apart() -> None:
    """-0.0 and 0.0 are equal numbers and different bits."""
    assert bits(np.array([0.0, -0.0])).tolist() == [0, 1 << 63]
