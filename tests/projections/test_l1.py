"""The L1 ball against the algorithm of the paper, written naively."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.projections.tensors import DTYPES, stored, tensors
from weightaudit.projections import L1Ball, l1_ball
from weightaudit.projections.grid import GRIDS

if TYPE_CHECKING:
    from numpy.typing import NDArray


def duchi(vector: NDArray[Any], radius: float) -> NDArray[np.float64]:
    """Project one vector by sorting: figure 1 of Duchi et al. 2008."""
    magnitudes = np.abs(vector.astype(np.float64))
    if magnitudes.sum() <= radius:
        return vector.astype(np.float64)
    falling = np.sort(magnitudes)[::-1]
    sums = np.cumsum(falling)
    rho = max(j for j in range(len(falling)) if falling[j] - (sums[j] - radius) / (j + 1) > 0)
    theta = (sums[rho] - radius) / (rho + 1)
    result: NDArray[np.float64] = np.sign(vector) * np.maximum(magnitudes - theta, 0)
    return result


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 60),
    st.sampled_from([0.01, 1.0, 20.0]),
    st.sampled_from([1e-3, 1, 50]),
)
def test_the_same_as_sorting(seed: int, size: int, radius: float, scale: float) -> None:
    """Newton's method finds the theta that sorting finds, in float64 to eleven digits."""
    rng = np.random.default_rng(seed)
    columns = rng.choice([rng.normal(0, scale, (size, 3)), rng.integers(-3, 4, (size, 3)) * scale])
    expected = np.stack([duchi(column, radius) for column in columns.T], axis=1)
    np.testing.assert_allclose(l1_ball(columns, radius, 0), expected, rtol=1e-11, atol=1e-11 * radius)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("axis", [None, 0, 1, (0, 1)])
def test_no_sum_is_above_the_radius(dtype: str, axis: Any) -> None:
    """Measured in float64, the sum of magnitudes is within the radius, and close to it."""
    values = stored(np.random.default_rng(1).normal(0, 1, (8, 9, 4)), dtype)
    after = np.abs(l1_ball(values, 1.5, axis, dtype=dtype).astype(np.float64)).sum(axis=axis)
    assert after.max() <= 1.5
    grid = GRIDS[dtype]
    assert after.min() >= 1.5 * (1 - grid.epsilon - 1e-12) - grid.step * values.size


@settings(max_examples=300, deadline=None)
@given(tensors())
def test_whatever_the_values(tensor: tuple[NDArray[Any], str]) -> None:
    """From subnormals to the largest numbers, the bound holds when measured with more digits."""
    values, dtype = tensor
    values[~np.isfinite(values)] = 1
    assert np.abs(L1Ball(0.7).project(values, dtype=dtype).astype(np.longdouble)).sum() <= 0.7


def test_many_elements_next_to_the_threshold() -> None:
    """Half a million elements that one rounding of theta would move together stay within the radius."""
    values = 1 + np.random.default_rng(2).random(500_000) * 1e-3
    values[7] = 1.5
    for radius in (0.3, 1.0, 100.0):
        after = l1_ball(values, radius)
        assert radius * (1 - 1e-9) <= after.sum() <= radius


def test_differences_of_large_numbers() -> None:
    """Two values of 1e30 that differ in their last digits share the radius as they would near 1."""
    values = np.array([1e30, np.nextafter(1e30, 2e30), -1e29])
    np.testing.assert_array_equal(l1_ball(values, 1.0) != 0, [False, True, False])
    np.testing.assert_allclose(l1_ball(np.array([1e30, -1e30]), 1.0), [0.5, -0.5], rtol=1e-14)


def test_a_radius_far_below_the_peak() -> None:
    """A group whose peak is more than 308 orders of magnitude above the radius ends on it like any other."""
    after = l1_ball(np.array([[1e300, 3.0], [-2e299, 0.25]]), 1e-30, axis=0)
    np.testing.assert_allclose(after, np.array([[1e-30, 1e-30], [0, 0]]), rtol=1e-14)
    assert L1Ball(1e-30, axis=0).complies(after)


def test_small_elements_become_positive_zero() -> None:
    """Elements below theta become 0.0, whatever their sign."""
    after = l1_ball(np.array([5.0, -0.5, 0.5]), 1.0)
    np.testing.assert_allclose(after, [1, 0, 0], rtol=1e-14)
    assert not np.signbit(after).any()
