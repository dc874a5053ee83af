"""Compares two arrays as if they were a tensor of two models: for examples and tests of rules."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.comparison.channels import tally_of
from weightaudit.comparison.result import Comparison, Match, Status, TensorComparison
from weightaudit.comparison.steps import Part
from weightaudit.comparison.tally import Tally
from weightaudit.dtypes import components, decode
from weightaudit.statistics.block import Scratch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from weightaudit.comparison.result import Difference
    from weightaudit.tensor import TensorInfo


def compare_arrays(info: TensorInfo, before: NDArray[Any], after: NDArray[Any]) -> Comparison:
    """Return the comparison of two models that hold one tensor each.

    Args:
        info: What the tensor is in the second model.
        before: Its values in the first model, the reference, of any type in `weightaudit.dtypes`.
        after: Those in the second.
    """
    first = replace(info, shape=before.shape, dtype=before.dtype.name)
    found = TensorComparison(Status.EQUAL, first, info, Match.NAME)
    if before.shape != after.shape:
        found = replace(found, status=Status.RESHAPED)
    elif before.dtype != after.dtype:
        found = replace(found, status=Status.RETYPED, difference=_difference(info, before, after))
    elif before.tobytes() != after.tobytes():
        found = replace(found, status=Status.CHANGED, difference=_difference(info, before, after))
    return Comparison("reference", "model", ("example", "example"), (found,), weights_only=True)


def _difference(info: TensorInfo, before: NDArray[Any], after: NDArray[Any]) -> Difference:
    tally = Tally(channels=tally_of(info, after.shape))
    with np.errstate(all="ignore"):
        tally.add(_part(before), _part(after), Scratch())
    return tally.finish(before.shape, components(before.dtype.name))


def _part(values: NDArray[Any]) -> Part:
    raw = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
    # Without bits, elements are compared as numbers: an example has no other -0 or NaN to tell apart.
    return Part(0, decode(raw, values.dtype.name), None)
