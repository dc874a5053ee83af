"""The contract of a projection, checked on tensors that break careless arithmetic.

A plugin author's whole test is one line per projection::

    def test_my_projection() -> None:
        check_projection(MyProjection(0.5))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.errors import RuleError, UsageError
from weightaudit.projections.base import Phase, Projection
from weightaudit.projections.catalogue import validate_projection
from weightaudit.projections.grid import GRIDS, bits, encode, nearest
from weightaudit.projections.notation import parse_projection

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

_SHAPES = ((), (0,), (7,), (0, 3), (12, 5), (1, 8), (4, 3, 2, 6))


def check_projection(projection: Projection, tensors: Iterable[NDArray[Any]] | None = None) -> None:
    """Check that a projection keeps the contract, in every storage type.

    Args:
        projection: The projection, with its parameters.
        tensors: Arrays to try it on besides; with values that the storage type does not have,
            they are rounded first.

    Raises:
        AssertionError: It does not; the text lists every way in which.
    """
    problems = list(dict.fromkeys(_all_problems(projection, tensors)))
    if problems:
        raise AssertionError(f"{projection} breaks the contract of a projection:\n- " + "\n- ".join(problems))


def projection_problems(
    projection: Projection, values: NDArray[Any], dtype: str | None = None
) -> Iterator[str]:
    """Yield one sentence for every way in which a projection breaks the contract on one tensor.

    Args:
        projection: The projection.
        values: The tensor, of numbers that the storage type has.
        dtype: Its storage type; by default its own.

    Raises:
        ValueError: The projection is not for this shape.
    """
    dtype = dtype or values.dtype.name
    where = f"on {dtype} of shape {values.shape}"
    before = values.copy()
    values.flags.writeable = False
    after = projection.project(values, dtype=dtype)
    if not np.array_equal(bits(values), bits(before)):
        yield f"it writes to its input {where}"
    if (after.shape, after.dtype) != (values.shape, values.dtype):
        yield f"it gives {after.dtype} of shape {after.shape} {where}"
        return
    yield from _value_problems(projection, before, after, dtype, where)
    if not projection.is_step:
        if not projection.complies(after, dtype=dtype):
            yield f"what it returns does not comply {where}"
        if projection.project(after, dtype=dtype) is not after:
            yield f"it does not leave alone what it returned itself {where}"
        if projection.complies(values, dtype=dtype) and after is not values:
            yield f"it changes a tensor that complies {where}"
    if projection.splits(values.shape):
        yield from _splitting_problems(projection, values, after, dtype, where)


def _value_problems(
    projection: Projection, before: NDArray[Any], after: NDArray[Any], dtype: str, where: str
) -> Iterator[str]:
    lost = ~np.isfinite(before).reshape(-1)
    if projection.phase is not Phase.REPLACE and (bits(before)[lost] != bits(after)[lost]).any():
        yield f"it changes NaN or Inf {where}"
    if (~np.isfinite(after).reshape(-1) & ~lost).any():
        yield f"it makes NaN or Inf of numbers {where}"
    try:
        encode(after.reshape(-1)[bits(before) != bits(after)], dtype)
    except ValueError as error:
        yield f"{error}, {where}"


def _splitting_problems(
    projection: Projection, values: NDArray[Any], after: NDArray[Any], dtype: str, where: str
) -> Iterator[str]:
    for rows in (1, 3):
        cuts = range(rows, len(values), rows)
        parts = [projection.project(part, dtype=dtype) for part in np.split(values, cuts)]
        if not np.array_equal(bits(np.concatenate(parts)), bits(after)):
            yield f"slices of {rows} along the first axis give another result {where}"


def _all_problems(projection: Projection, tensors: Iterable[NDArray[Any]] | None) -> Iterator[str]:
    try:
        validate_projection(type(projection))
        if parse_projection(str(projection), {projection.name: type(projection)}) != projection:
            yield f"its text {projection} stands for another projection"
    except (RuleError, UsageError) as error:
        yield str(error)
    tried = 0
    for dtype in GRIDS:
        for values in (*_tensors(), *(tensors or ())):
            try:
                yield from projection_problems(projection, _stored(values, dtype), dtype)
            except ValueError:
                continue
            tried += 1
    if not tried:
        yield "it refuses every tensor; give it one of the shape that it needs"


def _tensors() -> Iterator[NDArray[np.float64]]:
    """Yield tensors of many shapes: ordinary, zero, tiny, huge, sparse, and with NaN and Inf."""
    rng = np.random.default_rng(7)
    for shape in _SHAPES:
        ordinary = rng.normal(0, 1, shape)
        yield ordinary
        yield from (ordinary * scale for scale in (0.0, 1e-6, 1e-40, 1e-310, 100.0, 1e30, 1e307))
        yield np.round(ordinary)
        yield np.where(rng.random(shape) < 0.2, rng.choice([np.nan, np.inf, -np.inf], shape), ordinary)


def _stored(values: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Return values as they come from a file in which they are stored with that type."""
    rounded = nearest(np.atleast_1d(np.asarray(values, np.float64)), GRIDS[dtype]).reshape(np.shape(values))
    return rounded.astype(np.float64 if dtype == "float64" else np.float32)
