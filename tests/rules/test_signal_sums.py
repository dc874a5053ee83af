"""`AxisSum`: signed sums over axes, the same in blocks of any size."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weightaudit.cache.forms import array_shape, describe, parse
from weightaudit.statistics import AxisSum
from weightaudit.testing import measure, tensor_info


@settings(deadline=None, max_examples=150)
@given(
    shape=st.lists(st.integers(1, 7), min_size=1, max_size=4).map(tuple),
    data=st.data(),
    size=st.integers(1, 64),
    dtype=st.sampled_from([np.float16, np.float32, np.float64, np.int8]),
)
def test_sums_are_those_of_numpy(shape: tuple[int, ...], data: Any, size: int, dtype: Any) -> None:
    """Whatever is reduced and however the blocks lie, sums agree within what float32 blocks can lose."""
    axes = data.draw(st.sets(st.integers(0, len(shape) - 1)).map(sorted).map(tuple))
    values = np.random.default_rng(len(shape)).normal(0, 40, shape).astype(dtype)
    found = measure(values, [AxisSum(axes)], tensor_info(values), size=size)[AxisSum(axes)]
    expected = values.astype(np.float64).sum(axis=axes)
    magnitudes = np.abs(values.astype(np.float64)).sum(axis=axes)
    assert found.shape == expected.shape
    assert np.all(np.abs(found - expected) <= 1e-5 * magnitudes)


def test_without_axes_the_elements_are_returned() -> None:
    """Small vectors are kept as they are, which rules about channels ask for."""
    values = np.array([1.5, -2, 0], np.float32)
    assert measure(values, [AxisSum(())])[AxisSum(())].tolist() == [1.5, -2, 0]


def test_what_is_not_finite_is_left_out() -> None:
    """NaN and infinities count as nothing, as in all statistics."""
    values = np.array([[np.nan, 1], [2, np.inf]], np.float32)
    assert measure(values, [AxisSum((0,))])[AxisSum((0,))].tolist() == [2, 1]


def test_wrong_axes_are_refused() -> None:
    """An axis that a tensor does not have is an error that names the tensor."""
    values = np.ones((2, 2), np.float32)
    with pytest.raises(ValueError, match="does not have the axes"):
        measure(values, [AxisSum((2,))])


def test_the_cache_can_keep_it() -> None:
    """Its description and the shape of its result survive being written down."""
    assert parse(json.loads(json.dumps(describe(AxisSum((0, 1)))))) == AxisSum((0, 1))
    assert array_shape(AxisSum((0, 1)), (3, 4, 5)) == (5,)
