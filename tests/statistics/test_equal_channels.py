"""Which channels are equal, against the naive way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weightaudit.statistics.equal_channels import DISTINCT, EqualChannels, Equals
from weightaudit.testing import measure

from .arrays import arrays
from .folding import SPLITS, merged

if TYPE_CHECKING:
    from numpy.typing import NDArray


def naive(values: NDArray[Any]) -> Equals:
    """Compare every pair of columns."""
    columns = values.reshape(-1, values.shape[-1]).T
    found = [
        (channel, source)
        for channel in range(len(columns))
        for source in range(channel)
        if np.array_equal(columns[channel], columns[source]) and len(np.unique(columns[channel])) >= DISTINCT
    ]
    firsts = dict(reversed(found))
    channel = min(firsts, default=0)
    return Equals(len(firsts), channel, firsts.get(channel, 0))


@st.composite
def kernels(draw: st.DrawFn) -> NDArray[np.float32]:
    """Draw kernels of few or many different numbers, with copies of some channels and dead ones."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, columns = draw(st.integers(1, 60)), draw(st.integers(2, 40))
    if draw(st.booleans()):
        values = random.normal(size=(rows, columns))
    else:
        values = random.integers(-9, 10, (rows, columns)).astype(float)
    for _ in range(draw(st.integers(0, 4))):
        one, other = random.integers(columns, size=2)
        values[:, one] = 0 if draw(st.booleans()) else values[:, other]
    return values.astype(np.float32)


@settings(deadline=None)
@given(values=kernels(), **SPLITS)
def test_equal_channels_are_found_however_the_tensor_is_split(
    values: NDArray[np.float32], cuts: list[int], size: int
) -> None:
    """Count, channel and source are those of the naive way, also where a row lies in several blocks."""
    assert merged(values, EqualChannels(), cuts, size) == naive(values)


@settings(deadline=None)
@given(values=arrays().filter(lambda one: one.ndim > 0), **SPLITS)
def test_any_tensor_can_be_looked_at(values: NDArray[Any], cuts: list[int], size: int) -> None:
    """Whatever the type, values and split, the result is of its own kind."""
    assert type(merged(values, EqualChannels(), cuts, size)) is Equals


@pytest.mark.parametrize("row", [0, 3, 299, 699])
def test_one_different_number_is_a_difference(row: int) -> None:
    """Channels that differ in a single number, however late, are not equal."""
    values = np.random.default_rng(0).normal(size=(700, 16)).astype(np.float32)
    values[:, 5] = values[:, 2]
    assert measure(values, [EqualChannels()], size=999)[EqualChannels()] == Equals(1, 5, 2)
    values[row, 5] += 1
    assert measure(values, [EqualChannels()], size=999)[EqualChannels()] == Equals()


def test_channels_can_have_several_axes() -> None:
    """Heads and their dimensions are channels together."""
    values = np.random.default_rng(0).normal(size=(32, 4, 8)).astype(np.float32)
    values[:, 2, 3] = values[:, 0, 1]
    assert measure(values, [EqualChannels(2)])[EqualChannels(2)] == Equals(1, 19, 1)
    assert measure(values, [EqualChannels()])[EqualChannels()] == Equals()


def test_what_shows_few_numbers_early_is_not_followed() -> None:
    """Channels whose first 256 rows are zero count as dead, whatever comes after them."""
    values = np.random.default_rng(0).normal(size=(600, 8)).astype(np.float32)
    values[:300, 3:5] = 0
    values[:, 3] = values[:, 4]
    assert measure(values, [EqualChannels()])[EqualChannels()] == Equals(1, 4, 3)
    assert measure(values, [EqualChannels()], size=8 * 260)[EqualChannels()] == Equals()


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from([np.float16, np.float32, np.float64]),
    pairs=st.lists(st.tuples(st.integers(0, 299), st.integers(0, 299)), max_size=3),
)
def test_many_channels_are_told_apart_as_in_the_naive_way(
    seed: int, dtype: type[np.floating[Any]], pairs: list[tuple[int, int]]
) -> None:
    """Rows that are too long for Python give the same: copies are found, also by a zero of another sign."""
    values = np.random.default_rng(seed).normal(0, 0.05, (12, 300)).astype(dtype)
    for one, other in pairs:
        values[3, other] = 0
        values[:, one] = values[:, other]
        values[3, one] = -values[3, other]
    assert merged(values, EqualChannels(), [], 4096) == naive(values.astype(np.float64))


@pytest.mark.parametrize("cut", [20_000, 60_007])
def test_thousands_of_copies_are_counted_wherever_the_tensor_is_cut(cut: int) -> None:
    """Every channel has a copy, and the first rows are zero: as many groups as pairs, on both sides."""
    values = np.repeat(np.random.default_rng(0).normal(size=(30, 2000)).astype(np.float32), 2, axis=1)
    values[:6] = 0
    assert merged(values, EqualChannels(), [cut], 4096) == Equals(2000, 1, 0)
