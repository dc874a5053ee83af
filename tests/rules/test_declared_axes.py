"""Axes of declared norms are questioned where they are probably a mistake, and nowhere else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from weightaudit.rule import Finding, Measured, Severity
from weightaudit.tensor import Declared, Role
from weightaudit.testing import tensor_info
from weightaudit_rules.constraint_axis import ConstraintAxis

CONV, TRANSPOSED, DEPTHWISE = (3,), (2,), (2, 3)


def axis_findings(*layers: tuple[tuple[int, ...], Any, tuple[int, ...], dict[str, Any]]) -> list[Finding]:
    """Judge kernels, each by its shape, declared axis, output axes and what else is known of it."""
    infos = [
        tensor_info(
            np.zeros(shape, np.float32),
            **{"constraint": Declared("UnitNorm", {"axis": axis}), "output_axes": outputs, **known},
        )
        for shape, axis, outputs, known in layers
    ]
    return list(ConstraintAxis().check_model(Measured(infos, {}, ())))


@pytest.mark.parametrize(
    ("shape", "axis", "outputs", "meant"),
    [
        ((3, 3, 4, 8), 0, CONV, [0, 1, 2]),
        ((3, 3, 4, 8), [0], CONV, [0, 1, 2]),
        ((3, 3, 4, 8), -4, CONV, [0, 1, 2]),
        ((5, 4, 8), 0, (2,), [0, 1]),
        ((1, 4, 8), 0, (2,), [0, 1]),
        ((2, 3, 3, 4, 8), 0, (4,), [0, 1, 2, 3]),
        ((3, 3, 8, 4), 0, TRANSPOSED, [0, 1, 3]),
        ((3, 3, 8, 4), [0, 1, 2], TRANSPOSED, [0, 1, 3]),
        ((3, 3, 8, 2), 0, DEPTHWISE, [0, 1]),
        ((3, 3, 8, 2), [0, 1, 2], DEPTHWISE, [0, 1]),
        ((1, 1, 8, 4), 0, CONV, [0, 1, 2]),
        ((2, 4, 6), 0, (2,), [0, 1]),
    ],
)
def test_mistakes_are_told(
    shape: tuple[int, ...], axis: Any, outputs: tuple[int, ...], meant: list[int]
) -> None:
    """The default axis where it is wrong, and Conv2D's axes elsewhere, get a warning with the right ones."""
    (finding,) = axis_findings((shape, axis, outputs, {}))
    assert finding.severity is Severity.WARNING
    assert f"axis={meant}" in finding.message


@pytest.mark.parametrize(
    ("shape", "axis", "outputs"),
    [
        ((64, 32), 0, (1,)),
        ((64, 32), 1, (1,)),
        ((3, 3, 4, 8), [0, 1, 2], CONV),
        ((3, 3, 4, 8), [-2, 0, 1], CONV),
        ((3, 3, 4, 8), [0, 1], CONV),
        ((3, 3, 4, 8), None, CONV),
        ((3, 3, 8, 4), [0, 1, 3], TRANSPOSED),
        ((3, 3, 8, 2), [0, 1], DEPTHWISE),
        ((22, 1, 8, 2), 0, DEPTHWISE),
        ((5, 1, 1, 8), 0, CONV),
        ((1, 1, 8, 4), 2, CONV),
        ((8, 2, 4), 0, (1, 2)),
        ((3, 3, 4, 8), 0, ()),
        ((32,), 0, ()),
        ((), 0, ()),
        ((3, 3, 4, 8), 7, CONV),
        ((3, 3, 4, 8), "0", CONV),
    ],
)
def test_choices_are_respected(shape: tuple[int, ...], axis: Any, outputs: tuple[int, ...]) -> None:
    """Right axes, other deliberate ones, unknown layouts, and what another rule tells of, are passed over."""
    assert axis_findings((shape, axis, outputs, {})) == []


def test_an_embedding_is_bounded_row_by_row() -> None:
    """The default axis bounds a feature over the whole vocabulary; axis 1 bounds each vector."""
    (finding,) = axis_findings(((50, 8), 0, (), {"role": Role.EMBEDDING}))
    assert "axis=[1]" in finding.message
    assert axis_findings(((50, 8), 1, (), {"role": Role.EMBEDDING})) == []


def test_one_finding_per_layer() -> None:
    """Two kernels of a ConvLSTM share one mistake; a second layer's is told as well."""
    kernels = [
        ((3, 3, 4, 8), 0, CONV, {"name": f"a/{name}", "layer": "a"}) for name in ("kernel", "recurrent")
    ]
    other = ((3, 3, 4, 8), 0, CONV, {"name": "b/kernel", "layer": "b"})
    assert [finding.tensor for finding in axis_findings(*kernels, other)] == ["a/kernel", "b/kernel"]


def test_only_norms_have_axes() -> None:
    """NonNeg has no axis, and nobody knows what a custom class takes its axis for."""
    for declared in (Declared("NonNeg"), Declared("UnitNorm", {"axis": 0}, builtin=False)):
        assert axis_findings(((3, 3, 4, 8), 0, CONV, {"constraint": declared})) == []
