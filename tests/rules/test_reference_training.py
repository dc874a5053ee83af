"""Rules against a reference, on a network that Keras trains here: silent while it learns."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

keras = pytest.importorskip("keras")

import weightaudit  # noqa: E402 - TensorFlow reads the environment when it is imported
from weightaudit.policy import Policy  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

POLICY = Policy(select=("WA6",), plugins=("weightaudit_rules",))
LAYERS = keras.layers


def network(*, frozen: bool = False) -> Any:
    """Return a compiled network of convolution, normalization and two Dense layers, initialized by a seed."""
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            LAYERS.Conv2D(8, 3, name="stem", trainable=not frozen),
            LAYERS.BatchNormalization(name="norm", trainable=not frozen),
            LAYERS.GlobalAveragePooling2D(),
            LAYERS.Dense(16, activation="relu", name="hidden"),
            LAYERS.Dense(16, activation="relu", name="middle"),
            LAYERS.Dense(3, name="head"),
        ]
    )
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def fit(model: Any) -> None:
    """Train for one epoch of 20 steps on images whose class is the place of a bright row."""
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 3, 640)
    images = rng.normal(0, 0.5, (640, 8, 8, 1)).astype("float32")
    images[np.arange(640), labels * 2] += 1
    model.fit(images, labels, batch_size=32, epochs=1, verbose=0, shuffle=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the fresh network and with checkpoints after three epochs."""
    path = tmp_path_factory.mktemp("training")
    model = network()
    model.save(path / "0.keras")
    for epoch in (1, 2, 3):
        fit(model)
        model.save(path / f"{epoch}.keras")
    return path


def found(model: Path, reference: Path) -> set[tuple[str, str]]:
    """Return codes and tensors of what is found; the name of the model before them is left out."""
    report = weightaudit.audit(model, policy=POLICY, reference=reference)
    assert report.models[0].is_complete
    return {(one.code, "/".join((one.tensor or "").split("/")[-2:])) for one in report.findings}


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_training_is_no_drift(folder: Path, epoch: int) -> None:
    """From the fresh network on, nothing is found from one epoch to the next."""
    assert found(folder / f"{epoch}.keras", folder / f"{epoch - 1}.keras") == set()


def _again(model: Any) -> None:
    model.get_layer("hidden").kernel.assign(np.random.default_rng(9).normal(0, 0.3, (8, 16)))


def _scaled(model: Any) -> None:
    kernel = model.get_layer("stem").kernel
    kernel.assign(kernel * 10)


def _negated(model: Any) -> None:
    kernel = model.get_layer("middle").kernel
    kernel.assign(-kernel)


def _bias_reset(model: Any) -> None:
    bias = model.get_layer("hidden").bias
    bias.assign(bias * 0)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (_again, {("WA601", "hidden/kernel")}),
        (_scaled, {("WA601", "stem/kernel")}),
        (_negated, {("WA601", "middle/kernel")}),
        (_bias_reset, {("WA601", "hidden/bias")}),
    ],
)
def test_a_fault_is_found_where_it_is(
    folder: Path, tmp_path: Path, fault: Callable[[Any], None], expected: set[tuple[str, str]]
) -> None:
    """A layer initialized again, scaled or negated, and a bias reset, are named, and no other tensor is."""
    model = keras.models.load_model(folder / "3.keras")
    fault(model)
    model.save(tmp_path / "m.keras")
    assert found(tmp_path / "m.keras", folder / "2.keras") == expected


def test_a_stale_layer_is_found(folder: Path, tmp_path: Path) -> None:
    """A layer that is as it was before the epoch has not moved, while the others have."""
    model, old = (keras.models.load_model(folder / name) for name in ("3.keras", "2.keras"))
    model.get_layer("hidden").set_weights(old.get_layer("hidden").get_weights())
    model.save(tmp_path / "stale.keras")
    stale = found(tmp_path / "stale.keras", folder / "2.keras")
    assert stale == {("WA602", "hidden/kernel"), ("WA602", "hidden/bias")}


def test_a_frozen_backbone_stays_or_is_told(tmp_path: Path) -> None:
    """Layers that are declared as frozen may rest; what moves of them, statistics too, is told."""
    model = network(frozen=True)
    model.save(tmp_path / "0.keras")
    fit(model)
    model.save(tmp_path / "1.keras")
    assert found(tmp_path / "1.keras", tmp_path / "0.keras") == set()
    model.get_layer("stem").bias.assign([0.1] * 8)
    model.get_layer("norm").moving_mean.assign([0.1] * 8)
    model.save(tmp_path / "2.keras")
    assert found(tmp_path / "2.keras", tmp_path / "0.keras") == {
        ("WA603", "stem/bias"),
        ("WA603", "norm/moving_mean"),
    }
