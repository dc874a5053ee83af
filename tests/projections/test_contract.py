"""Every projection keeps the contract on every tensor."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import example, given, settings

from tests.projections.tensors import DTYPES, projections, stored, tensors
from weightaudit.projections import (
    Clip,
    ClipNorm,
    FitDtype,
    L1Ball,
    MaxNorm,
    MinMaxNorm,
    NonNeg,
    Projection,
    Prune,
    ReplaceNonfinite,
    Shrink,
    SoftThreshold,
    SpectralNorm,
    UnitNorm,
    load_projections,
    parse_projection,
)
from weightaudit.projections.contract import projection_problems
from weightaudit.testing import check_projection

if TYPE_CHECKING:
    from numpy.typing import NDArray

EXAMPLES = (
    Clip(-0.1, 0.3),
    ClipNorm(2.0),
    FitDtype("float8_e4m3fn"),
    L1Ball(1.0),
    L1Ball(0.5, axis=(0, 1)),
    MaxNorm(2.0),
    MaxNorm(1.0, axis=-1),
    MinMaxNorm(0.5, 1.0),
    MinMaxNorm(1.0, inf, rate=0.25, axis=None),
    NonNeg(),
    Prune(0.5),
    Prune(n_of_m="2:4"),
    ReplaceNonfinite(),
    Shrink(0.1),
    SoftThreshold(0.1),
    SpectralNorm(1.0),
    UnitNorm(),
    UnitNorm(axis=-1),
)


@pytest.mark.parametrize("projection", EXAMPLES, ids=str)
def test_the_kit_passes(projection: Projection) -> None:
    """The kit that plugin authors run finds nothing wrong with our own projections."""
    check_projection(projection)


def test_every_projection_is_among_the_examples() -> None:
    """No projection that can be named is left out of these tests, but for the one that needs a file."""
    assert {one.name for one in EXAMPLES} == set(load_projections()) - {"restore_from"}


@settings(max_examples=1500, deadline=None)
@given(projections(), tensors())
@example(MaxNorm(1.0), (np.array([[1e308], [1e308]]), "float64"))
@example(UnitNorm(None), (np.array([5e-324, 0.0, 5e-324]), "float64"))
@example(L1Ball(1.0), (np.array([1e308, -1e308, 1e308]), "float64"))
@example(SpectralNorm(1.0), (np.array([[1e308, 1e308], [-1e308, 1e308]]), "float64"))
@example(MinMaxNorm(1e30, inf, axis=None), (np.ones(3, np.float32), "float16"))
@example(NonNeg(), (np.array([-0.0, 0.0, -1.0], np.float32), "float32"))
def test_every_projection_on_every_tensor(projection: Projection, tensor: tuple[NDArray[Any], str]) -> None:
    """Whatever the tensor: input, shape, dtype, NaN and Inf stay, the result complies, and cuts are free."""
    values, dtype = tensor
    try:
        problems = list(projection_problems(projection, values, dtype))
    except ValueError as error:
        assert "has no axis" in str(error) or "has no number" in str(error)  # noqa: PT017 - only sometimes
    else:
        assert not problems


@settings(max_examples=200, deadline=None)
@given(projections())
def test_text_stands_for_the_projection(projection: Projection) -> None:
    """What a plan prints can be given to --project, and means the same."""
    assert parse_projection(str(projection), load_projections()) == projection


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("projection", [MaxNorm(1.0), MinMaxNorm(0.5, 1.0), L1Ball(1.0, 0), UnitNorm()])
def test_groups_that_comply_keep_every_bit(projection: Projection, dtype: str) -> None:
    """Only offending columns change; a column with NaN stays as it is, whatever else it holds."""
    columns = [[0.5, 0.0, -0.5, -0.0], [3, 4, 0, 0.001], [np.nan, 900, 1, -1]]
    if isinstance(projection, UnitNorm):
        columns[0] = [0, 1, 0, -0.0]
    values = stored(np.transpose(columns), dtype)
    after = projection.project(values, dtype=dtype)
    assert after[:, [0, 2]].tobytes() == values[:, [0, 2]].tobytes()
    assert (after[:2, 1] != values[:2, 1]).all()


@pytest.mark.parametrize("projection", EXAMPLES, ids=str)
def test_integers_are_refused(projection: Projection) -> None:
    """Arrays and storage types that are no real floating-point numbers are an error, not a guess."""
    with pytest.raises(ValueError, match="floating-point"):
        projection.project(np.ones((4, 4), np.int32))
    with pytest.raises(ValueError, match="not int8"):
        projection.project(np.ones((4, 4), np.float32), dtype="int8")


@pytest.mark.parametrize("projection", EXAMPLES, ids=str)
def test_half_precision_arrays(projection: Projection) -> None:
    """Arrays of float16 give the same numbers as the float32 that stands for stored float16."""
    values = np.random.default_rng(1).normal(0, 2, (9, 8)).astype(np.float16)
    after = projection.project(values)
    assert after.dtype == np.float16
    as_read = projection.project(values.astype(np.float32), dtype="float16")
    np.testing.assert_array_equal(after.astype(np.float32), as_read)


@pytest.mark.parametrize("projection", EXAMPLES, ids=str)
def test_memory_order_does_not_matter(projection: Projection) -> None:
    """A transposed view gives the same numbers as a copy of it."""
    values = np.random.default_rng(2).normal(0, 2, (8, 9)).T
    np.testing.assert_array_equal(projection.project(values), projection.project(values.copy()))
