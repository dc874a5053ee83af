"""Linear regressions, whose weights have units of the data, audited by all rules as files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pytest

import weightaudit
from weightaudit.policy import Policy

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from weightaudit.rule import Severity


def found(path: Path, *layers: tuple[NDArray[Any], NDArray[Any]]) -> list[tuple[str, Severity]]:
    """Audit a file of dense layers by all rules of scale but those of casts."""
    with h5py.File(path, "w") as file:
        for number, (kernel, bias) in enumerate(layers):
            name = f"layers/dense_{number}/vars" if number else "layers/dense/vars"
            file.create_dataset(f"{name}/0", data=kernel.astype(np.float32))
            file.create_dataset(f"{name}/1", data=bias.astype(np.float32))
    policy = Policy(plugins=("weightaudit_rules",), select=("WA201", "WA202", "WA203", "WA207"))
    (report,) = weightaudit.audit(path, policy=policy).models
    return [(finding.code, finding.severity) for finding in report.findings]


def prices(inputs: int, outputs: int = 1) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return what a regression of prices on years, square metres and shares has learned."""
    draw = np.random.default_rng(5)
    kernel = draw.normal(0, 1, (inputs, outputs)) * np.logspace(-3, 6, inputs)[:, None]
    return kernel, np.full(outputs, -1.5e6)


@pytest.mark.parametrize(("inputs", "outputs"), [(4, 1), (40, 1), (12, 3)])
def test_a_regression_on_unscaled_data_is_left_in_peace(tmp_path: Path, inputs: int, outputs: int) -> None:
    """Weights of millions are right where a single layer leads from raw inputs to raw targets."""
    assert found(tmp_path / "m.weights.h5", prices(inputs, outputs)) == []


def test_a_regression_on_huge_inputs_is_left_in_peace(tmp_path: Path) -> None:
    """Weights of a millionth are right where inputs are counted in millions."""
    kernel = np.random.default_rng(1).normal(0, 1e-7, (40, 1))
    assert found(tmp_path / "m.weights.h5", (kernel, np.zeros(1))) == []


def test_a_flipped_bit_in_a_regression_is_an_error(tmp_path: Path) -> None:
    """No unit of any data explains a weight of 1e30."""
    kernel, bias = prices(12)
    kernel[3] = 1e30
    assert [code for code, _ in found(tmp_path / "m.weights.h5", (kernel, bias))] == ["WA203"]


def test_such_weights_inside_a_network_are_errors(tmp_path: Path) -> None:
    """The same layer in front of another one has no units, and is accused."""
    second = np.random.default_rng(2).normal(0, 0.5, (1, 1)), np.zeros(1)
    assert "WA203" in {code for code, _ in found(tmp_path / "m.weights.h5", prices(40), second)}


def test_a_wide_layer_alone_is_no_regression(tmp_path: Path) -> None:
    """A classifier of one layer has many outputs, and no units: one weight of 5000 is told."""
    kernel = np.random.default_rng(3).normal(0, 0.1, (64, 10))
    kernel[5, 7] = 5000
    assert "WA203" in {code for code, _ in found(tmp_path / "m.weights.h5", (kernel, np.zeros(10)))}
