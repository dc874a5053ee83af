"""Projections of the weights of a model that trains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tests.training.conftest import BATCHES, Lab, Step, largest_norm
from weightaudit.errors import UsageError
from weightaudit.projections import Clip, MaxNorm, NonNeg

BOUND = 0.4
ABOVE = BOUND * (1 + 1e-13)
"""The bound and what a sum of squares in float64 may be off."""


def project(*arguments: Any, every: int = 1) -> Any:
    """Return a projector for what `project=` takes."""
    from weightaudit.keras.live import Projector
    from weightaudit.keras.wishes import wishes_of

    return Projector(wishes_of(*arguments), every)


@pytest.mark.parametrize("step", ["eager", "graph", "jit"])
def test_norms_are_bounded_at_every_step(lab: Lab, step: Step) -> None:
    """However the step is compiled, after each batch no norm is above the bound, in float64."""
    watch, notes = lab.norms()
    lab.fit(lab.model(rate=0.1, step=step), lab.guard(project=f"max_norm({BOUND})"), watch, epochs=2)
    assert len(notes) == 2 * BATCHES
    assert 0.9 * BOUND < max(notes) <= ABOVE


def test_every_third_step(lab: Lab) -> None:
    """With project_every=3 the bound holds after every third batch, across epochs, and at the end."""
    callback = lab.guard(save_freq=1000, project=MaxNorm(BOUND), project_every=3)
    watch, notes = lab.norms()
    model = lab.model(rate=0.1)
    lab.fit(model, callback, watch)
    within = [note <= ABOVE for note in notes]
    assert within == [number % 3 == 0 for number in range(1, 3 * BATCHES + 1)]
    lab.fit(model, callback, watch, epochs=2)
    assert notes[-1] > ABOVE
    assert largest_norm(model) <= ABOVE


def test_the_same_as_a_constraint_of_keras(lab: Lab) -> None:
    """Projecting after every batch, it trains to the weights that keras.constraints.MaxNorm trains to."""
    free = lab.model(rate=0.05, step="graph")
    bound = lab.model(rate=0.05, step="graph", constraint=lab.keras.constraints.MaxNorm(BOUND))
    bound.set_weights(free.get_weights())
    lab.fit(free, lab.guard(project={MaxNorm(BOUND): "*first/kernel"}))
    lab.fit(bound)
    for left, right in zip(free.get_weights(), bound.get_weights(), strict=True):
        np.testing.assert_allclose(left, right, rtol=2e-5, atol=1e-6)
    assert largest_norm(free) == pytest.approx(BOUND)


def test_mixed_precision(lab: Lab) -> None:
    """Under mixed precision the float32 variables are projected, and stay float32."""
    lab.keras.config.set_dtype_policy("mixed_float16")
    model = lab.model(rate=0.1, step="jit")
    watch, notes = lab.norms()
    lab.fit(model, lab.guard(project=f"max_norm({BOUND})"), watch, epochs=2)
    layer = model.get_layer("first")
    assert (layer.compute_dtype, layer.kernel.dtype) == ("float16", "float32")
    assert 0.9 * BOUND < max(notes) <= ABOVE
    saved = lab.keras.models.load_model(lab.folder / "m.keras")
    np.testing.assert_array_equal(saved.get_layer("first").kernel.numpy(), layer.kernel.numpy())


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_other_types(lab: Lab, dtype: str) -> None:
    """Variables of another type comply in that type, and keep it."""
    lab.keras.config.set_dtype_policy(dtype)
    model = lab.model()
    kernel = model.get_layer("first").kernel
    kernel.assign(np.full(kernel.shape, 3.0))
    projector = project("max_norm(1)")
    projector.begin(model)
    projector.after_batch(0)
    assert kernel.dtype == dtype
    assert 0.98 < largest_norm(model) <= 1


def test_only_what_does_not_comply_is_written(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """One variable of two of one shape changes, and neither the other nor any slot is touched."""
    keras = lab.keras
    dense = keras.layers.Dense
    model = keras.Sequential([keras.Input((4,)), *(dense(4, name=name) for name in "ab")])
    model.compile(keras.optimizers.Adam())
    model.optimizer.build(model.trainable_variables)
    for variable in (*model.optimizer.variables, *model.weights):
        variable.assign(np.full(variable.shape, 0.3))
    high, low = (model.get_layer(name).kernel for name in "ab")
    high.assign(np.full((4, 4), 9.0))
    written: list[str] = []
    for variable in (*model.weights, *model.optimizer.variables):
        monkeypatch.setattr(variable, "assign", noting(written, variable))
    projector = project("max_norm(1)")
    projector.begin(model)
    projector.after_batch(0)
    projector.after_batch(1)
    assert written == [high.path]
    np.testing.assert_allclose(high.numpy(), np.full((4, 4), 0.5), rtol=1e-6)
    assert (low.numpy() == np.float32(0.3)).all()


def noting(written: list[str], variable: Any) -> Callable[[Any], Any]:
    """Return an `assign` that notes whose it is."""
    assign = variable.assign

    def noted(value: Any) -> Any:
        written.append(variable.path)
        return assign(value)

    return noted


def test_nan_does_not_become_a_number(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A column with NaN is no reason to write to a tensor whose other columns comply."""
    model = lab.model()
    kernel = model.get_layer("first").kernel
    values = np.full(kernel.shape, 0.01, np.float32)
    values[3, 7] = np.nan
    kernel.assign(values)
    written: list[str] = []
    monkeypatch.setattr(kernel, "assign", noting(written, kernel))
    projector = project({f"max_norm({BOUND})": "*first/kernel"})
    projector.begin(model)
    projector.after_batch(0)
    assert written == []
    np.testing.assert_array_equal(kernel.numpy(), values)


def changed(model: Any, projector: Any) -> set[str]:
    """Set all variables to -5, project, and return the paths of those that changed."""
    for variable in model.weights:
        variable.assign(np.full(variable.shape, -5))
    projector.begin(model)
    projector.after_batch(0)
    return {variable.path for variable in model.weights if (variable.numpy() != -5).any()}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("non_neg", {"words/embeddings", "mix/kernel"}),
        (["non_neg", "max_norm(2)"], {"words/embeddings", "mix/kernel"}),
        ([(NonNeg(), "*/bias")], {"mix/bias", "fixed/bias"}),
        ({"non_neg": ["fixed/*", "*beta"]}, {"fixed/kernel", "fixed/bias", "norm/beta"}),
        (
            [(NonNeg(), None), ("non_neg", "*/moving_variance")],
            {"words/embeddings", "mix/kernel", "norm/moving_variance"},
        ),
    ],
)
def test_which_variables_are_meant(lab: Lab, asked: Any, expected: set[str]) -> None:
    """By default trainable kernels and embeddings; with globs, exactly the variables that match."""
    keras, layers = lab.keras, lab.keras.layers
    inputs = keras.Input((3,), dtype="int32")
    hidden = layers.Dense(4, name="mix")(layers.Embedding(5, 4, name="words")(inputs))
    outputs = layers.Dense(2, name="fixed", trainable=False)(layers.BatchNormalization(name="norm")(hidden))
    assert changed(keras.Model(inputs, outputs), project(asked)) == expected


def test_projections_run_in_their_order(lab: Lab) -> None:
    """Whatever the order in which they are asked for, signs come before norms."""
    model = lab.model()
    kernel = model.get_layer("first").kernel
    kernel.assign(np.where(np.arange(8)[:, None] == 0, 3.0, -4.0) * np.ones((1, 12)))
    projector = project(["max_norm(1)", "non_neg"])
    projector.begin(model)
    projector.after_batch(0)
    np.testing.assert_allclose(kernel.numpy()[0], np.ones(12), rtol=1e-6)


def test_what_is_asked_for_twice_is_done_once(lab: Lab) -> None:
    """A variable that two requests for the same projection mean takes one step."""
    model = lab.model()
    kernel = model.get_layer("first").kernel
    kernel.assign(np.ones(kernel.shape))
    projector = project([("soft_threshold(0.125)", "*first/kernel"), ("soft_threshold(0.125)", "*/kernel")])
    projector.begin(model)
    projector.after_batch(0)
    np.testing.assert_array_equal(kernel.numpy(), np.full(kernel.shape, 0.875, np.float32))


def test_mere_steps_keep_their_rhythm(lab: Lab) -> None:
    """Soft thresholding is done once every second batch, however often the model is saved."""
    model = lab.model(rate=0.0)
    kernel = model.get_layer("first").kernel
    kernel.assign(np.ones(kernel.shape))
    steps = {"soft_threshold(0.125)": "*first/kernel"}
    lab.fit(model, lab.guard(save_freq=1, project=steps, project_every=2))
    np.testing.assert_array_equal(kernel.numpy(), np.full(kernel.shape, 0.625, np.float32))


def test_several_batches_in_a_step(lab: Lab) -> None:
    """Batches are counted where Keras runs several of them before it calls back."""
    model = lab.model(rate=0.0, step="graph", steps_per_execution=2)
    kernel = model.get_layer("first").kernel
    kernel.assign(np.ones(kernel.shape))
    steps = {"soft_threshold(0.125)": "*first/kernel"}
    lab.fit(model, lab.guard(project=steps, project_every=3))
    # After batches 4 and 6 of 6: as soon as a third one has gone by.
    np.testing.assert_array_equal(kernel.numpy(), np.full(kernel.shape, 0.75, np.float32))


def test_what_is_validated_and_saved_complies(lab: Lab) -> None:
    """Between two projections as well, the saved model is within the bound and the one that was validated."""
    numbers = np.random.default_rng(0).normal(0, 1, (8, 8)).astype(np.float32)
    targets = numbers.sum(1, keepdims=True)
    bound: dict[str, Any] = {
        "policy": lab.policy(limit=BOUND),
        "project": f"max_norm({BOUND})",
        "project_every": 1000,
    }
    callback = lab.guard(**bound, stop_on="error")
    history = lab.fit(lab.model(rate=0.1), callback, epochs=2, validation_data=(numbers, targets))
    assert callback.last_report.ok
    loaded = lab.keras.models.load_model(lab.folder / "m.keras")
    assert 0.99 * BOUND < largest_norm(loaded) <= ABOVE
    loss = loaded.evaluate(numbers, targets, verbose=0)
    assert loss == pytest.approx(history["val_loss"][-1], rel=1e-6)


def test_what_is_saved_without_validation_complies(lab: Lab) -> None:
    """The saved model is within the bound where nothing else would have seen to it."""
    bound: dict[str, Any] = {"policy": lab.policy(limit=BOUND), "project": f"max_norm({BOUND})"}
    callback = lab.guard(**bound, project_every=1000)
    lab.fit(lab.model(rate=0.1), callback, epochs=1)
    assert callback.last_report.ok


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("max_nrom(2)", "did you mean 'max_norm'"),
        ({"non_neg": "net/first/kernal"}, "did you mean 'net/first/kernel'"),
        ({"non_neg": "first/kernel"}, "no variable has the path 'first/kernel'"),
        ("restore_from('m.keras')", "exchanges whole tensors"),
        (
            {"max_norm(1, axis=3)": "*first/kernel"},
            r"max_norm.* does not fit net/first/kernel of shape \(8, 12\)",
        ),
    ],
)
def test_requests_without_sense(lab: Lab, asked: Any, said: str) -> None:
    """Unknown projections and variables, whole tensors and wrong axes are refused in one sentence."""
    with pytest.raises(UsageError, match=said):
        changed(lab.model(), project(asked))


def test_models_without_kernels(lab: Lab) -> None:
    """A default that is for no variable is refused, too."""
    keras = lab.keras
    model = keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization()])
    with pytest.raises(UsageError, match="the model has no trainable kernel"):
        changed(model, project("non_neg"))


def test_an_interval_of_no_batches() -> None:
    """project_every must be at least 1."""
    with pytest.raises(UsageError, match="at least 1, not 0"):
        project("non_neg", every=0)


@dataclass(frozen=True)
class Capped(Clip):
    """A projection that somebody wrote, which TensorFlow knows nothing of: `Clip` under another name."""

    name = "capped"


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_projections_of_plugins(lab: Lab, dtype: str) -> None:
    """What runs with numpy alone is applied, too, on numbers of the variable's own type."""
    lab.keras.config.set_dtype_policy(dtype)
    model = lab.model()
    kernel = model.get_layer("first").kernel
    kernel.assign(np.where(np.arange(12) % 2, 7.0, 0.25) * np.ones((8, 1)))
    projector = project(Capped(-1, 0.7))
    projector.begin(model)
    projector.after_batch(0)
    values = kernel.numpy().astype(np.float64)
    assert (values[:, 0::2] == 0.25).all()
    assert ((values[:, 1::2] > 0.69) & (values[:, 1::2] <= 0.7)).all()


def test_weights_are_left_alone_outside_of_a_training(lab: Lab) -> None:
    """Evaluating a model with the callback does not change it."""
    model = lab.model()
    before = model.get_weights()
    numbers = np.ones((4, 8), np.float32)
    callback = lab.guard(project="max_norm(0.001)")
    model.evaluate(numbers, numbers[:, :1], callbacks=[callback], verbose=0)
    for left, right in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)
