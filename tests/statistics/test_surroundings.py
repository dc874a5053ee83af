"""What stands out of a tensor, and what is in its row and its column, against the naive way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from weightaudit.statistics import OVERVIEW, UNKNOWN, Isolated, Isolation
from weightaudit.statistics.surroundings import Outlier, Standout
from weightaudit.testing import measure, tensor_info

from .arrays import arrays
from .folding import SPLITS, merged

if TYPE_CHECKING:
    from numpy.typing import NDArray


def kernel(factor: float, place: int = 777) -> NDArray[np.float32]:
    """Make a kernel of which one value is so many times the largest of the others."""
    values = np.random.default_rng(0).normal(0, 0.1, (60, 50)).astype(np.float32)
    flat = values.reshape(-1)
    flat[place] = 0
    flat[place] = np.abs(flat).max() * np.float32(factor)
    return values


@settings(deadline=None)
@given(values=arrays(), **SPLITS)
def test_any_tensor_can_be_looked_at(values: NDArray[Any], cuts: list[int], size: int) -> None:
    """Whatever the type, values and split, the result is of its own kind."""
    assert type(merged(values, Standout(), cuts, size)) is Outlier


@settings(deadline=None, max_examples=50)
@given(place=st.integers(0, 2999), factor=st.sampled_from([1.15, 1.3, -1.9]))
def test_the_surroundings_are_the_row_and_the_column(place: int, factor: float) -> None:
    """Of a largest value that no gap isolates, the largest other in its row and its column is told."""
    values = kernel(factor, place)
    found = measure(values, [Standout()])[Standout()]
    row, column = divmod(place, 50)
    others = np.abs(np.concatenate([np.delete(values[row], column), np.delete(values[:, column], row)]))
    assert (found.count, found.place, found.value) == (0, place, values[row, column])
    assert found.beside == others.max()
    assert found.below == np.sort(np.abs(values), axis=None)[-2]


@settings(deadline=None, max_examples=50)
@example(place=2999, cuts=[2999], size=5)
@given(place=st.integers(0, 2999), **SPLITS)
def test_a_split_only_leaves_neighbours_out(place: int, cuts: list[int], size: int) -> None:
    """However a tensor is split, value and place are the same, and no neighbour is invented."""
    values = kernel(1.5, place)
    whole, split = measure(values, [Standout()])[Standout()], merged(values, Standout(), cuts, size)
    assert (split.count, split.value, split.place, split.below) == (0, whole.value, place, whole.below)
    assert split.beside <= whole.beside or split.beside == abs(whole.value)


@pytest.mark.parametrize("factor", [1.05, 1.15, 1.5, 4.0, 2.0**100])
def test_what_a_gap_isolates_is_what_isolation_says(factor: float) -> None:
    """The count is that of `Isolation`; below `near`, nothing stands out."""
    values = kernel(factor)
    stats = measure(values, [Isolation(), Standout()])
    isolated, found = stats[Isolation()], stats[Standout()]
    assert isinstance(isolated, Isolated)
    assert found.count == isolated.count
    assert (found.place >= 0) == (factor > 1.1)


def test_a_narrow_tensor_tells_nothing_of_its_rows() -> None:
    """With fewer than three others in a row there is nothing to compare with, so it is the value itself."""
    values = kernel(1.5).reshape(-1, 3)
    found = measure(values, [Standout()])[Standout()]
    assert found.beside == abs(found.value)


def test_a_last_axis_of_length_one_is_no_row() -> None:
    """In a depthwise kernel the channels are the row."""
    values = kernel(1.5)
    plain, deep = (measure(one, [Standout()])[Standout()] for one in (values, values[..., np.newaxis]))
    assert plain == deep


@settings(deadline=None)
@given(values=arrays())
def test_an_overview_answers_as_the_elements_do(values: NDArray[Any]) -> None:
    """Where sums and extremes suffice, the answer is that of a look at all elements."""
    stats = measure(values, [OVERVIEW, Standout()])
    if stats[OVERVIEW].is_finite:
        answer = Standout().follow(tensor_info(values), stats[OVERVIEW])
        assert answer is UNKNOWN or answer == stats[Standout()]
