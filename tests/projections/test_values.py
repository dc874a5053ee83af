"""Projections of single values."""

from __future__ import annotations

from math import inf, nan
from typing import Any

import numpy as np
import pytest

from tests.projections.tensors import DTYPES, stored
from weightaudit.projections import (
    Clip,
    FitDtype,
    ReplaceNonfinite,
    clip,
    fit_dtype,
    non_neg,
    replace_nonfinite,
    restore_from,
    shrink,
    soft_threshold,
)
from weightaudit.projections.groups import BLOCK_ELEMENTS


def test_non_neg_keeps_negative_zero_and_infinity() -> None:
    """Only finite negative values become zero."""
    values = np.array([-1.0, -0.0, 2.0, -inf, nan, -5e-324])
    np.testing.assert_array_equal(non_neg(values), [0, 0, 2, -inf, nan, 0])
    assert list(np.signbit(non_neg(values))[:2]) == [False, True]
    positive = np.array([-0.0, 1.0])
    assert non_neg(positive) is positive


@pytest.mark.parametrize("dtype", DTYPES)
def test_clip_ends_exactly_inside(dtype: str) -> None:
    """A bound that the type does not have counts as the next number inside, never as the nearest."""
    values = stored([-3, -0.1, 0.05, 0.1, 7, nan], dtype)
    after = clip(values, -0.1, 0.1, dtype=dtype)
    assert (np.abs(after[:-1].astype(np.float64)) <= 0.1).all()
    np.testing.assert_allclose(after[[0, 4]], [-0.1, 0.1], rtol=0.125)
    assert after[2] == values[2]


def test_clip_without_a_number_inside() -> None:
    """An interval between two neighbouring numbers is an error, and so is one beyond the largest."""
    with pytest.raises(ValueError, match=r"float16 has no number from 0.1 to 0.1"):
        clip(np.ones(3, np.float32), 0.1, 0.1, dtype="float16")
    with pytest.raises(ValueError, match="float8_e4m3fn has no number from 500 to inf"):
        clip(np.ones(3, np.float32), 500, inf, dtype="float8_e4m3fn")
    one = np.array([3.0])
    assert clip(one, 1.0, 1.0) == 1.0


def test_clip_in_many_blocks() -> None:
    """A tensor of several blocks of which one offends changes there alone."""
    values = np.zeros(3 * BLOCK_ELEMENTS + 5, np.float32)
    values[BLOCK_ELEMENTS + 1 :: BLOCK_ELEMENTS] = 9, -9, 9
    after = clip(values, -1, 1)
    assert np.flatnonzero(after).tolist() == np.flatnonzero(values).tolist()
    assert after.sum() == 1


@pytest.mark.parametrize(
    ("target", "largest"),
    [
        ("float16", 65504.0),
        ("bfloat16", 3.3895313892515355e38),
        ("float8_e4m3fn", 448.0),
        ("float8_e5m2", 57344.0),
    ],
)
def test_fit_dtype_makes_a_cast_finite(target: Any, largest: float) -> None:
    """What does not fit becomes the largest finite number with its sign; a cast then overflows nowhere."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    values = np.array([1e-30, -1.0, 400.0, 1e38 if target == "bfloat16" else 1e5, -3.4e38, inf], np.float32)
    after = fit_dtype(values, target)
    assert after[4] == -largest
    assert after[5] == inf
    assert after[:3].tobytes() == values[:3].tobytes()
    cast = after[:5].astype(getattr(ml_dtypes, target, target))
    assert np.isfinite(cast.astype(np.float32)).all()


def test_fit_dtype_stays_on_the_numbers_of_the_storage_type() -> None:
    """bfloat16 has no 65504: values become the largest bfloat16 that float16 can hold."""
    after = fit_dtype(np.array([1e6], np.float32), "float16", dtype="bfloat16")
    assert after[0] == 65280


def test_infinity_becomes_the_largest_of_its_tensor() -> None:
    """Without a stated value, Inf takes the largest finite magnitude there is, and NaN becomes zero."""
    values = np.array([1.0, -3.0, inf, -inf, nan], np.float32)
    np.testing.assert_array_equal(replace_nonfinite(values), [1, -3, 3, -3, 0])
    np.testing.assert_array_equal(replace_nonfinite(values, nan=0.5, inf=9.0), [1, -3, 9, -9, 0.5])
    np.testing.assert_array_equal(replace_nonfinite(np.array([inf, nan])), [0, 0])
    assert replace_nonfinite(np.array([inf], np.float32), inf=1e9, dtype="float16") == 65504
    assert ReplaceNonfinite(inf=1.0).splits((3,))
    assert not ReplaceNonfinite().splits((3,))


def test_soft_threshold_is_the_proximal_step() -> None:
    """Magnitudes become smaller by the threshold, and those below it zero; nothing else is touched."""
    values = np.array([3.0, -2.0, 0.5, -0.25, -0.0, nan, inf])
    after = soft_threshold(values, 0.5)
    np.testing.assert_array_equal(after, [2.5, -1.5, 0, 0, 0, nan, inf])
    assert np.signbit(after[4])
    assert soft_threshold(values, 0.0) is values


def test_shrink_is_the_proximal_step() -> None:
    """The result minimizes strength * v**2 / 2 + (v - w)**2 / 2, as a fine grid of v shows."""
    grid = np.linspace(-4, 4, 800_001)
    for w in (3.0, -1.2, 0.0):
        best = grid[np.argmin(0.5 * grid**2 / 2 + (grid - w) ** 2 / 2)]
        assert shrink(np.array([w]), 0.5)[0] == pytest.approx(best, abs=1e-5)
    values = np.array([1.0, inf])
    assert shrink(values, 0.0) is values


def test_restore_from_compares_bits() -> None:
    """The donor's sign of zero is restored too; equal bits are the same object; NaN is no donor."""
    values = np.array([nan, 0.0, 1.0])
    donor = np.array([2.0, -0.0, 1.0])
    after = restore_from(values, donor)
    assert after.tobytes() == donor.tobytes()
    assert after is not donor
    assert restore_from(after, donor) is after
    assert np.signbit(restore_from(np.array([2.0, 0.0, 1.0]), donor)[1])
    with pytest.raises(ValueError, match="NaN or Inf itself"):
        restore_from(donor, values)
    with pytest.raises(ValueError, match="of shape"):
        restore_from(donor, donor[:2])


@pytest.mark.parametrize(
    ("make", "demand"),
    [
        (lambda: Clip(1.0, 0.0), "minimum must not be above maximum"),
        (lambda: Clip(nan, 0.0), "must be numbers"),
        (lambda: ReplaceNonfinite(nan=inf), "nan must be a finite number"),
        (lambda: ReplaceNonfinite(inf=inf), "inf must be a finite number"),
        (lambda: ReplaceNonfinite(inf=-1.0), "inf must not be negative"),
        (lambda: FitDtype("float64"), "target must be one of float32, float16"),  # type: ignore[arg-type]  # the point
    ],
)
def test_parameters_without_sense_are_refused(make: Any, demand: str) -> None:
    """What cannot be meant is an error that names the parameter."""
    with pytest.raises(ValueError, match=demand):
        make()
