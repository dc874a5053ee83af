"""Norm constraints on float16 weights are told, because Keras computes them in float16."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from weightaudit.rule import Finding, Measured
from weightaudit.tensor import Declared
from weightaudit.testing import tensor_info
from weightaudit_rules.constraint_precision import ConstraintPrecision


def precision_findings(
    dtype: str, name: str, shape: tuple[int, ...] = (64, 8), **config: Any
) -> list[Finding]:
    """Judge a float tensor by its type and declared constraint."""
    info = tensor_info(np.zeros(shape, dtype), constraint=Declared(name, config))
    return list(ConstraintPrecision().check_model(Measured([info], {}, ())))


@pytest.mark.parametrize("name", ["MaxNorm", "MinMaxNorm", "UnitNorm"])
@pytest.mark.parametrize("peak", [1e-4, 256.0])
def test_keras_destroys_float16_groups_out_of_range(name: str, peak: float) -> None:
    """In float16, Keras' own classes give norms far from any bound, where in float32 they keep them."""
    keras = pytest.importorskip("keras")
    constraint = getattr(keras.constraints, name)()
    upper = {"MaxNorm": 2.0}.get(name, 1.0)
    for dtype, is_destroyed in (("float16", True), ("float32", False)):
        column = keras.ops.cast(np.full((32, 1), peak if peak < 1 else peak / np.sqrt(32)), dtype)
        result = np.asarray(keras.ops.cast(constraint(column), "float32"))
        norm = float(np.linalg.norm(result))
        assert (not 0 < norm <= upper * 1.01) == is_destroyed
    assert len(precision_findings("float16", name)) == 1
    assert precision_findings("float32", name) == []


def test_unsafe_bounds_are_named() -> None:
    """A bound that no float16 norm reaches, and one whose weights vanish, are told apart from safe ones."""
    for config, shape, words in (
        ({"max_value": 300.0}, (64, 8), "the bound 300 itself is above that"),
        ({"max_value": 0.001}, (64, 8), "groups of 64 weights at the bound 0.001 hold 0.00013 on average"),
        ({"max_value": 255.0}, (64, 8), "the bound 255 itself is safe"),
    ):
        (finding,) = precision_findings("float16", "MaxNorm", shape, **config)
        assert words in finding.message


def test_what_float16_cannot_hurt_is_left_in_peace() -> None:
    """NonNeg squares nothing, frozen weights stay as they are, and WA310 tells of senseless arguments."""
    assert precision_findings("float16", "NonNeg") == []
    assert precision_findings("float16", "MaxNorm", max_value="2") == []
    assert precision_findings("float16", "MaxNorm", axis=5) == []
    frozen = tensor_info(np.zeros((8, 8), np.float16), constraint=Declared("UnitNorm"), trainable=False)
    assert list(ConstraintPrecision().check_model(Measured([frozen], {}, ()))) == []
