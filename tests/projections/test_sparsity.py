"""Pruning, against naive loops."""

from __future__ import annotations

from math import inf, nan
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.projections.tensors import tensors
from weightaudit.projections import Prune, prune

if TYPE_CHECKING:
    from numpy.typing import NDArray


@settings(max_examples=300, deadline=None)
@given(tensors(), st.floats(0, 1))
def test_the_share_is_reached_with_as_few_zeros_as_can_be(
    tensor: tuple[NDArray[Any], str], share: float
) -> None:
    """Zeros reach the share of the finite elements, one fewer would not, and the largest are kept."""
    values, _ = tensor
    after = prune(values, share)
    finite = np.isfinite(values)
    zeros, size = np.count_nonzero(after[finite] == 0), np.count_nonzero(finite)
    if size:
        assert zeros / size >= share
        assert after is values or (zeros - 1) / size < share
    pruned = (after == 0) & (values != 0)
    kept = finite & (after != 0)
    if pruned.any() and kept.any():
        assert np.abs(values[pruned]).max() <= np.abs(values[kept]).min()
    assert values[~pruned].tobytes() == after[~pruned].tobytes()


def test_no_more_than_asked_for() -> None:
    """0.55 of 100 is 55 although the product of floats is 55.00000000000001; of ties the first go."""
    after = prune(np.ones(100), 0.55)
    assert np.flatnonzero(after).tolist() == list(range(55, 100))


def naive(values: NDArray[Any], n: int, m: int) -> NDArray[Any]:
    """Prune every column of a matrix by sorting each stretch of it."""
    after = values.copy()
    for column in after.T:
        for first in range(0, len(column), m):
            stretch = column[first : first + m]
            order = sorted(range(len(stretch)), key=lambda place: -abs(stretch[place]))
            stretch[order[n:]] = 0
    return after


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.integers(1, 8), st.integers(1, 8))
def test_n_of_m_keeps_the_largest_of_every_stretch(seed: int, rows: int, n: int, m: int) -> None:
    """Along the input axis the N largest of every M stay, the first of equals, and of a shorter rest too."""
    rng = np.random.default_rng(seed)
    values = rng.choice([rng.normal(0, 1, (rows, 3)), rng.integers(-2, 3, (rows, 3)).astype(float)])
    n, m = min(n, m), max(n, m)
    np.testing.assert_array_equal(prune(values, n_of_m=f"{n}:{m}"), naive(values, n, m))


def test_the_axis_of_a_pattern() -> None:
    """By default the pattern runs along the input axis of Keras' kernels; another can be named."""
    kernel = np.random.default_rng(1).normal(0, 1, (3, 3, 8, 5))
    flat = np.moveaxis(kernel, 2, 0).reshape(8, -1)
    expected = np.moveaxis(naive(flat, 2, 4).reshape(8, 3, 3, 5), 0, 2)
    np.testing.assert_array_equal(prune(kernel, n_of_m="2:4"), expected)
    dense = np.array([[1.0, 2.0, 3.0, 4.0]])
    np.testing.assert_array_equal(prune(dense, n_of_m="2:4", axis=-1), [[0, 0, 3, 4]])
    assert prune(dense, n_of_m="2:4") is dense
    assert Prune(n_of_m="2:4").splits((3, 3, 8, 5))
    assert not Prune(n_of_m="2:4").splits((8, 5))
    assert not Prune(0.5).splits((3, 3, 8, 5))


def test_nan_and_infinity_are_never_pruned() -> None:
    """They count as the largest of a pattern, and are left out of a share."""
    values = np.array([[nan, 1, inf, 2, 3, 4]]).T
    np.testing.assert_array_equal(prune(values, n_of_m="2:6")[:, 0], [nan, 0, inf, 0, 0, 0])
    np.testing.assert_array_equal(prune(values, n_of_m="1:6")[:, 0], [nan, 0, inf, 0, 0, 0])
    np.testing.assert_array_equal(prune(values, 0.5)[:, 0], [nan, 0, inf, 0, 3, 4])


@pytest.mark.parametrize(
    "arguments",
    [{}, {"sparsity": 0.5, "n_of_m": "2:4"}, {"sparsity": 1.1}, {"n_of_m": "4:2"}, {"n_of_m": "2/4"}],
)
def test_parameters_without_sense_are_refused(arguments: dict[str, Any]) -> None:
    """One of share and pattern is needed, a share from 0 to 1 or a pattern that can be."""
    with pytest.raises(ValueError, match="must"):
        Prune(**arguments)


def test_a_bias_has_no_input_axis() -> None:
    """A pattern along the input axis needs one."""
    with pytest.raises(ValueError, match=r"the shape \(8,\) has no axis -2"):
        prune(np.ones(8), n_of_m="2:4")
