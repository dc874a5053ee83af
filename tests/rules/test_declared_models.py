"""Declared constraints of real saved models: fresh, trained, never enforced, averaged and mended ones."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import weightaudit
from weightaudit.discover import search
from weightaudit.policy import Policy
from weightaudit.rule import Severity

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from weightaudit.tensor import TensorInfo

POLICY = Policy(plugins=("weightaudit_rules",), select=("WA310",))
CONSTRAINED = frozenset(
    {
        "conv/kernel",
        "lstm/lstm_cell/kernel",
        "lstm/lstm_cell/recurrent_kernel",
        "hidden/kernel",
        "head/kernel",
    }
)


@pytest.fixture(params=["keras", "tf_keras"])
def keras(request: pytest.FixtureRequest) -> Any:
    """Both generations of Keras."""
    pytest.importorskip(request.param)
    return importlib.import_module(request.param)


def build(keras: Any, *, constrained: bool = True) -> Any:
    """Return a model whose weights, as drawn, break a constraint of every class, or the same without any."""
    keras.utils.set_random_seed(1)
    layers, known = keras.layers, keras.constraints
    filters, gates, recurrent, hidden, head = (
        (
            known.UnitNorm([0, 1, 2]),
            known.MaxNorm(0.2),
            known.UnitNorm(),
            known.MinMaxNorm(0.1, 0.2),
            known.NonNeg(),
        )
        if constrained
        else [None] * 5
    )
    return keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            layers.Conv2D(4, 3, kernel_constraint=filters, name="conv"),
            layers.Reshape((6, 24)),
            layers.LSTM(4, kernel_constraint=gates, recurrent_constraint=recurrent, name="lstm"),
            layers.Dense(6, kernel_constraint=hidden, name="hidden"),
            layers.Dense(1, kernel_constraint=head, use_bias=False, name="head"),
        ],
        name="m",
    )


def fit(keras: Any, model: Any, **options: Any) -> None:
    """Train a model for four steps."""
    drawn = np.random.default_rng(1)
    model.compile(keras.optimizers.Adam(0.01, **options), "mse", run_eagerly=True)
    model.fit(drawn.normal(size=(32, 8, 8, 2)), drawn.normal(size=(32, 1)), batch_size=8, verbose=0)


def found(model: Any, path: Path, severity: Severity) -> set[str]:
    """Save a model, audit it, and return what findings of one severity are about."""
    model.save(path)
    (report,) = weightaudit.audit(path, policy=POLICY).models
    assert report.failure is None
    assert not report.skipped
    broken = [one.tensor or "" for one in report.findings if one.severity is severity]
    return {name.removeprefix("m/") for name in broken}


@pytest.mark.filterwarnings("ignore")  # of Keras and TensorFlow, about their own deprecations
def test_only_weights_that_training_should_have_constrained_are_errors(keras: Any, tmp_path: Path) -> None:
    """Fresh models have notes, trained ones nothing, and those trained without the constraints errors."""
    model, path = build(keras), tmp_path / "m.keras"
    assert found(model, path, Severity.NOTE) == CONSTRAINED
    assert found(model, path, Severity.WARNING) == found(model, path, Severity.ERROR) == set()
    fit(keras, model)
    assert [found(model, path, severity) for severity in Severity] == [set()] * 3
    free = build(keras, constrained=False)
    fit(keras, free)
    model = build(keras)
    model.set_weights(free.get_weights())
    assert found(model, path, Severity.ERROR) == CONSTRAINED


@pytest.mark.filterwarnings("ignore")  # of Keras and TensorFlow, about their own deprecations
def test_repair_mends_what_was_never_enforced(tmp_path: Path) -> None:
    """A constraint that was set when the layer was built already is broken; `repair` enforces it exactly."""
    keras = pytest.importorskip("keras")
    model, path = build(keras, constrained=False), tmp_path / "m.h5"
    fit(keras, model)
    model.get_layer("conv").kernel_constraint = keras.constraints.UnitNorm([0, 1, 2])
    model.get_layer("hidden").kernel_constraint = keras.constraints.MaxNorm(0.25)
    assert found(model, path, Severity.ERROR) == {"conv/kernel", "hidden/kernel"}
    weightaudit.repair_model(path, policy=POLICY, output=tmp_path / "mended.h5", max_change=2.0)
    mended = keras.saving.load_model(tmp_path / "mended.h5", compile=False)
    assert found(mended, path, Severity.ERROR) == set()
    norms = np.linalg.norm(mended.get_layer("hidden").get_weights()[0], axis=0)
    assert norms.max() == pytest.approx(0.25, rel=1e-6)


@pytest.mark.filterwarnings("ignore")  # of Keras and TensorFlow, about their own deprecations
def test_averaged_weights_are_no_errors(tmp_path: Path) -> None:
    """Keras averages weights before it constrains them, so after sound training the averages break bounds."""
    keras = pytest.importorskip("keras")
    model, path = build(keras), tmp_path / "m.h5"
    fit(keras, model, use_ema=True, ema_momentum=0.5)
    assert found(model, path, Severity.ERROR) == set()
    assert found(model, path, Severity.WARNING)


def breaks(info: TensorInfo, weights: NDArray[np.float64]) -> bool:
    """Say, by numpy in float64, whether weights break their declared constraint."""
    assert info.constraint is not None
    config = info.constraint.config
    if info.constraint.name == "NonNeg":
        return bool((weights < 0).any())
    axis = config["axis"]
    norms = np.sqrt((weights**2).sum(axis=tuple(axis) if isinstance(axis, list) else axis))
    low, high = {
        "MaxNorm": (0.0, float(config.get("max_value", 2))),
        "UnitNorm": (1.0, 1.0),
        "MinMaxNorm": (float(config.get("min_value", 0)), float(config.get("max_value", 1))),
    }[info.constraint.name]
    slack = 2 / 127 if info.quantization else {"float16": 2e-3, "bfloat16": 1.6e-2}.get(info.dtype, 1.02e-5)
    return bool(((norms > high * (1 + slack)) | (norms < low * (1 - slack))).any())


def test_every_broken_constraint_of_the_zoo_is_found(zoo: Path) -> None:
    """In models of eight framework versions, the rule finds what numpy finds in float64, and nothing else."""
    checked = 0
    for target in search([str(zoo)]).targets:
        (report,) = weightaudit.audit(target.path, policy=POLICY).models
        judged = {one.tensor for one in report.findings}
        with weightaudit.open_checkpoint(target.path) as checkpoint:
            declared = [info for info in checkpoint if info.constraint is not None]
            for info in declared:
                weights = checkpoint.read(info.name).astype(np.float64)
                assert breaks(info, weights) == (info.name in judged), (target.path, info.name)
            checked += len(declared)
    assert checked > 400
