"""Norm projections against float64 arithmetic, and against the tolerance that each one states."""

from __future__ import annotations

from math import inf, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings

from tests.projections.tensors import DTYPES, stored, tensors
from weightaudit.projections import (
    MaxNorm,
    MinMaxNorm,
    UnitNorm,
    clip_norm,
    max_norm,
    min_max_norm,
    unit_norm,
)
from weightaudit.projections.grid import GRIDS
from weightaudit.projections.groups import BLOCK_ELEMENTS

if TYPE_CHECKING:
    from numpy.typing import NDArray


def norms(values: NDArray[Any], axis: int | tuple[int, ...] | None = 0) -> NDArray[np.float64]:
    """Return Euclidean norms in long double, which does not overflow for any of our values."""
    squares: NDArray[Any] = np.square(values.astype(np.longdouble)).sum(axis=axis)
    return np.asarray(np.sqrt(squares), np.float64)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(64, 32), (700, 500), (3, 3, 8, 16)])
def test_max_norm_is_within_the_bound_and_close_to_it(dtype: str, shape: tuple[int, ...]) -> None:
    """No column is above the bound, and none is shortened more than rounding towards zero explains."""
    kernel = np.random.default_rng(1).normal(0, 3, shape)
    axis = tuple(range(len(shape) - 1))
    values = stored(kernel, dtype)
    bound = 0.6 * float(norms(values, axis).min())
    after = norms(max_norm(values, bound, axis, dtype=dtype), axis)
    assert (after <= bound).all()
    grid = GRIDS[dtype]
    assert (after >= bound * (1 - grid.epsilon - 1e-9) - grid.step * sqrt(kernel.size / shape[-1])).all()


@settings(max_examples=300, deadline=None)
@given(tensors())
def test_no_finite_norm_is_above_the_bound(tensor: tuple[NDArray[Any], str]) -> None:
    """Whatever the values, from subnormals to the largest: measured in more digits, the bound holds."""
    values, dtype = tensor
    values[~np.isfinite(values)] = 1
    assert norms(MaxNorm(0.7, axis=None).project(values, dtype=dtype), None) <= 0.7


@pytest.mark.parametrize("dtype", DTYPES)
def test_unit_norm_is_one_within_its_tolerance(dtype: str) -> None:
    """Columns of any length come to 1 within epsilon and what subnormals lose; zeros stay zeros."""
    values = stored(np.random.default_rng(2).normal(0, 1, (64, 32)) * np.logspace(-1, 1, 32), dtype)
    values[:, 5] = 0
    after = norms(unit_norm(values, dtype=dtype))
    assert after[5] == 0
    grid = GRIDS[dtype]
    slack = grid.epsilon + grid.step * sqrt(64) + 1e-13
    assert np.abs(np.delete(after, 5) - 1).max() <= slack


@pytest.mark.parametrize("dtype", DTYPES)
def test_min_max_norm_holds_the_upper_end_exactly(dtype: str) -> None:
    """Even where both ends are the same, no norm is above, and none is below by more than rounding."""
    values = stored(np.random.default_rng(3).normal(0, 1, (64, 32)) * np.logspace(-1, 1, 32), dtype)
    after = norms(min_max_norm(values, 1.5, 1.5, dtype=dtype))
    grid = GRIDS[dtype]
    assert after.max() <= 1.5
    assert after.min() >= 1.5 * (1 - grid.epsilon - 1e-12) - grid.step * sqrt(64)


def test_rate_goes_a_share_of_the_way() -> None:
    """A rate of one quarter leaves three quarters of the distance to the interval."""
    values = np.diag([8.0, 2.0, 0.5, 0.0])
    after = norms(min_max_norm(values, 1.0, 4.0, rate=0.25))
    np.testing.assert_allclose(after, [7.0, 2.0, 0.625, 0.0], rtol=1e-14)
    assert MinMaxNorm(1.0, 4.0, rate=0.25).is_step
    assert not MinMaxNorm(1.0, 4.0).is_step


def test_an_open_upper_end() -> None:
    """With an infinite upper end only groups below the lower one change."""
    values = np.diag([8.0, 0.5])
    np.testing.assert_allclose(norms(min_max_norm(values, 1.0, inf)), [8.0, 1.0], rtol=1e-14)


def test_axes_are_those_that_are_summed_over() -> None:
    """As in Keras: axis 0 bounds columns, axis 1 rows, (0, 1, 2) filters, None the tensor."""
    values = np.full((2, 3, 4, 5), 1.0)
    for axis in (0, 1, -1, (0, 1, 2), (0, 2), (1, 3), None):
        np.testing.assert_allclose(norms(max_norm(values, 0.5, axis), axis), 0.5, rtol=1e-13)
    np.testing.assert_allclose(max_norm(values, 0.5, ()), 0.5, rtol=1e-13)


def test_huge_and_tiny_values() -> None:
    """Norms that float64 cannot square, or not even hold, are scaled all the same."""
    huge = np.full((4, 2), 1.5e308)
    np.testing.assert_allclose(max_norm(huge, 2.0), 1.0, rtol=1e-13)
    tiny = np.full((4, 2), 5e-324)
    np.testing.assert_allclose(unit_norm(tiny), 0.5, rtol=1e-13)
    assert max_norm(tiny, 2.0) is tiny
    np.testing.assert_allclose(unit_norm(np.full((4, 2), 3e38, np.float32)), 0.5, rtol=1e-6)


def test_tensors_of_many_blocks() -> None:
    """Sums that are put together from blocks give what one sum gives, over either axis."""
    values = np.random.default_rng(4).normal(0, 1, (1000, 3 * BLOCK_ELEMENTS // 1000)).astype(np.float32)
    for axis in (0, 1, None):
        after = max_norm(values, 3.0, axis)
        scale = np.minimum(1, 3.0 / np.linalg.norm(values.astype(np.float64), axis=axis, keepdims=True))
        np.testing.assert_allclose(after, values * scale, rtol=3e-7, atol=1e-12)


def test_clip_norm_is_max_norm_of_the_whole() -> None:
    """The norm of the tensor as a whole is bounded, and a tensor within the bound is the same object."""
    values = np.random.default_rng(5).normal(0, 1, (6, 7)).astype(np.float32)
    assert norms(clip_norm(values, 2.0), None) == pytest.approx(2.0, rel=1e-6)
    assert clip_norm(values, 100.0) is values


def test_shapes_without_the_axes_are_refused() -> None:
    """A bias has no axis 1, and a scalar none at all."""
    with pytest.raises(ValueError, match=r"the shape \(3,\) has no axis 1"):
        max_norm(np.ones(3), axis=(0, 1))
    with pytest.raises(ValueError, match=r"the shape \(\) has no axis 0"):
        unit_norm(np.ones(()))


def test_cuts_along_the_first_axis() -> None:
    """Slices may be projected apart only if no norm reaches over several of them."""
    assert MaxNorm(axis=1).splits((4, 3))
    assert UnitNorm(axis=(-1, -2)).splits((4, 3, 2))
    assert not MaxNorm(axis=-2).splits((4, 3))
    assert not MaxNorm(axis=None).splits((4, 3))
    assert not MaxNorm(axis=()).splits((4,))


@pytest.mark.parametrize(
    ("make", "demand"),
    [
        (lambda: MaxNorm(-1.0), "max_value must be 0 or lie between"),
        (lambda: MaxNorm(inf), "max_value must"),
        (lambda: MaxNorm(float("nan")), "max_value must"),
        (lambda: MaxNorm(1e-300), "max_value must"),
        (lambda: MinMaxNorm(2.0, 1.0), "min_value must not be above max_value"),
        (lambda: MinMaxNorm(rate=0.0), "rate must"),
        (lambda: MinMaxNorm(rate=1.5), "rate must"),
    ],
)
def test_parameters_without_sense_are_refused(make: Any, demand: str) -> None:
    """A bound that cannot be meant is an error that names the parameter."""
    with pytest.raises(ValueError, match=demand):
        make()
