"""Scales of quantized layers that stand alone, or that no quantizer gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import weightaudit
from weightaudit.policy import Policy
from weightaudit.rule import Measured, Severity
from weightaudit.tensor import Quantization
from weightaudit.testing import measure, tensor_info
from weightaudit_rules.quantization_scale import QuantizationScale

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from weightaudit.rule import Finding

# Keras converts its variables the way numpy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def found(scales: NDArray[Any], mode: str = "int8", zero: str | None = None, **known: Any) -> list[Finding]:
    """Return what the rule says of a layer with these scales."""
    rule = QuantizationScale()
    integers = np.ones((4, scales.size), np.int8)
    scale = tensor_info(scales, name="dense/kernel_scale", key="scale", role="quantization")
    kernel = tensor_info(
        integers, name="dense/kernel", quantization=Quantization(mode, "scale", zero), **known
    )
    stats = {scale.name: measure(scales, rule.needs(scale), scale)}
    return [*rule.check_model(Measured([kernel, scale], stats, ()))]


def scales_of(*factors: float, size: int = 32) -> NDArray[np.float32]:
    """Return scales of which the first are multiplied."""
    values = np.random.default_rng(1).uniform(300, 600, size)
    values[: len(factors)] *= factors
    return values.astype(np.float32)


@pytest.mark.parametrize(
    ("factors", "count"),
    [((1,), 0), ((4,), 0), ((100,), 1), ((0.01,), 1), ((100, 100, 100), 3), ((0.01, 0.01), 2)],
)
def test_scales_that_stand_alone_are_told(factors: tuple[float, ...], count: int) -> None:
    """Up to three scales far from all others are one warning that counts them, and a factor of 4 is none."""
    warnings = [(one.severity, one.values["count"]) for one in found(scales_of(*factors))]
    assert warnings == [(Severity.WARNING, count)] * bool(count)


def test_few_scales_are_not_compared() -> None:
    """Three channels show nothing of how channels differ."""
    assert found(scales_of(100, size=3)) == []
    assert len(found(scales_of(100, size=4))) == 1


@pytest.mark.parametrize(("factor", "word"), [(100, "larger"), (0.01, "smaller")])
def test_scales_with_zero_points_are_factors(factor: float, word: str) -> None:
    """Where weights are multiplied by their scale, a larger one makes larger weights."""
    (finding,) = found(scales_of(factor), "int4", "zero")
    assert word in finding.message


def test_a_row_that_vanished_is_a_note() -> None:
    """A single row of an embedding far below the others may be that for padding."""
    (finding,) = found(scales_of(100), role="embedding")
    assert finding.severity is Severity.NOTE


@pytest.mark.parametrize("bad", [-1.0, 0.0])
def test_scales_that_no_quantizer_gives_are_errors(bad: float) -> None:
    """A scale of 0 or below is an error, whatever the others are."""
    assert [one.severity for one in found(scales_of(bad))] == [Severity.ERROR]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scales_that_are_not_finite_are_left_to_other_rules(bad: float) -> None:
    """NaN and infinity are told of the same tensor by WA101 and WA102."""
    assert found(scales_of(bad)) == []


def test_groups_of_gptq_are_not_judged() -> None:
    """Its quantizer gives groups of zeros a scale far above the others."""
    assert found(scales_of(100), "gptq", "zero") == []


@pytest.mark.parametrize("mode", ["int8", "int4"])
def test_a_layer_that_keras_quantized_is_in_order_until_a_scale_is_damaged(mode: str, tmp_path: Path) -> None:
    """Keras' own scales, one of a channel of zeros among them, give no finding; one times 100 does."""
    keras = pytest.importorskip("keras")
    model = keras.Sequential([keras.Input((24,)), keras.layers.Dense(16)])
    (layer,) = model.layers
    kernel = np.random.default_rng(2).normal(0, 0.2, (24, 16))
    kernel[:, 5] = 0
    layer.set_weights([kernel, np.zeros(16)])
    layer.quantize(mode)
    assert codes(model, tmp_path / "good.keras") == []
    scale = layer.kernel_scale.numpy()
    scale.reshape(-1)[7] *= 100
    layer.kernel_scale.assign(scale)
    assert codes(model, tmp_path / "bad.keras") == ["WA126"]


def codes(model: Any, path: Path) -> list[str]:
    """Save a model and return the codes of what this rule finds."""
    model.save(path)
    policy = Policy(plugins=("weightaudit_rules",), select=("WA126",))
    (report,) = weightaudit.audit(path, policy=policy).models
    assert not report.skipped
    return [finding.code for finding in report.findings]
