"""What a model's numbers say of its training: layers as made, stale statistics, copies, optimizer slots."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import weightaudit
from weightaudit.policy import Policy, RuleSettings
from weightaudit.rule import Measured, Severity
from weightaudit.tensor import Declared, Role
from weightaudit.testing import measure, tensor_info
from weightaudit_rules._initial import start_of
from weightaudit_rules._training import STATE_NEEDS, State, state_of
from weightaudit_rules.duplicate_tensors import DuplicateTensors
from weightaudit_rules.optimizer_state import OptimizerState
from weightaudit_rules.statistics_never_updated import StatisticsNeverUpdated
from weightaudit_rules.untrained_layer import UntrainedLayer

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from weightaudit.rule import Finding, Rule

# Keras converts its variables the way numpy 2 warns of.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

RULES: tuple[Rule, ...] = (
    UntrainedLayer(),
    StatisticsNeverUpdated(),
    DuplicateTensors(),
    OptimizerState(enabled=True),
)
DRAWN: dict[str, dict[str, Any]] = {
    "GlorotUniform": {},
    "GlorotNormal": {},
    "HeUniform": {},
    "HeNormal": {},
    "LecunUniform": {},
    "LecunNormal": {},
    "RandomUniform": {"minval": -0.1, "maxval": 0.3},
    "RandomNormal": {"mean": 0.5, "stddev": 0.2},
    "TruncatedNormal": {"mean": -0.5, "stddev": 0.2},
    "Orthogonal": {"gain": 0.01},
    "VarianceScaling": {"scale": 2.0, "mode": "fan_out", "distribution": "untruncated_normal"},
}
BOUNDED = [name for name in DRAWN if name not in {"RandomNormal", "VarianceScaling"}]
SHAPES = [(8, 8), (3, 3, 16, 24), (64, 256), (40, 7)]


def state(values: NDArray[Any], **info: Any) -> State:
    """Say what a tensor's numbers tell of its past."""
    described = tensor_info(values, **info)
    return state_of(described, measure(values, STATE_NEEDS, described), start_of(described))


def found(rule: Rule, tensors: dict[str, tuple[NDArray[Any], dict[str, Any]]]) -> list[Finding]:
    """Run a rule on a model of tensors by name, each with what is known of it."""
    infos = [
        tensor_info(values, **({"layer": name.rpartition("/")[0]} | known | {"name": name}))
        for name, (values, known) in tensors.items()
    ]
    wanted = rule.needs_of_model(Measured(infos, {}, ()))
    stats = {}
    for info, (values, _) in zip(infos, tensors.values(), strict=True):
        needs = (*(rule.needs(info) if rule.applies(info) else ()), *wanted.get(info.name, ()))
        stats[info.name] = measure(values, needs, info)
    return list(rule.check_model(Measured(infos, stats, ())))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", DRAWN)
def test_what_keras_draws_is_recognised(name: str, shape: tuple[int, ...]) -> None:
    """Numbers from each of Keras' own initializers count as initial, for kernels of every rank."""
    keras = pytest.importorskip("keras")
    initializer = getattr(keras.initializers, name)(**DRAWN[name], seed=11)
    values = np.asarray(initializer(shape), np.float32)
    declared = Declared(name, {**initializer.get_config(), "seed": None})
    assert state(values, initializer=declared) is State.INITIAL


@pytest.mark.parametrize("name", BOUNDED)
def test_small_changes_show_where_there_is_a_bound(name: str) -> None:
    """Noise of a fiftieth of the scale takes a kernel of 16384 numbers away from its initializer."""
    keras = pytest.importorskip("keras")
    initializer = getattr(keras.initializers, name)(**DRAWN[name], seed=11)
    values = np.asarray(initializer((64, 256)), np.float32)
    noise = np.random.default_rng(1).normal(0, 0.02 * values.std(), values.shape)
    declared = Declared(name, initializer.get_config())
    assert state((values + noise).astype(np.float32), initializer=declared) is State.MOVED


def test_chance_accuses_no_fresh_kernel() -> None:
    """Of 3000 small kernels from a uniform distribution, none is said to have moved."""
    bound = np.sqrt(6 / 16)
    draws = np.random.default_rng(5).uniform(-bound, bound, (3000, 8, 8)).astype(np.float32)
    states = [state(one, initializer=Declared("GlorotUniform")) for one in draws]
    assert State.MOVED not in states
    assert states.count(State.INITIAL) > 2990


@pytest.mark.parametrize("units", [1, 7, 32])
def test_forget_gates_begin_at_one(units: int) -> None:
    """The bias of an LSTM is initial with ones in a quarter of it, and moved with anything else."""
    bias = np.zeros(4 * units, np.float32)
    bias[units : 2 * units] = 1
    zeros = Declared("Zeros")
    assert state(bias, role="bias", initializer=zeros) is State.INITIAL
    bias[0] = 1e-7
    assert state(bias, role="bias", initializer=zeros) is State.MOVED


def test_a_guess_never_says_that_a_kernel_moved() -> None:
    """Without a declared initializer, a kernel unlike Keras' default may have begun otherwise."""
    kernel = np.random.default_rng(1).normal(0, 1, (64, 64)).astype(np.float32)
    assert state(kernel) is State.UNCLEAR
    assert state(kernel, initializer=Declared("GlorotUniform")) is State.MOVED


@pytest.mark.parametrize(
    "declared",
    [
        Declared("GlorotUniform", builtin=False),
        Declared("VarianceScaling", {"scale": "2", "mode": ["fan_in"], "distribution": None}),
        Declared("RandomUniform", {"minval": 1.0, "maxval": -1.0}),
        Declared("RandomNormal", {"stddev": 10**400}),
        Declared("Orthogonal", {"gain": float("nan")}),
        Declared("GlorotUniform", {"input_axes": [0.5, {}], "output_axes": [99]}),
    ],
)
def test_declarations_that_make_no_sense_tell_nothing(declared: Declared) -> None:
    """A custom class or arguments of the wrong kind crash nothing and call no kernel fresh."""
    kernel = np.random.default_rng(1).normal(0, 1, (64, 64)).astype(np.float32)
    assert state(kernel, initializer=declared) is not State.INITIAL


@settings(deadline=None, max_examples=150)
@given(
    shapes=st.lists(st.lists(st.integers(0, 4), max_size=3).map(tuple), min_size=1, max_size=4),
    roles=st.lists(st.sampled_from(Role), min_size=4, max_size=4),
    name=st.sampled_from(["momentum", "velocity", "iteration", "learning_rate", "dynamic_scale", "kernel"]),
    dtype=st.sampled_from([np.float16, np.float32, np.float64, np.complex64, np.int64]),
    seed=st.integers(0, 2**32 - 1),
    zero=st.booleans(),
)
def test_any_model_is_judged(
    shapes: list[tuple[int, ...]], roles: list[Role], name: str, dtype: Any, seed: int, *, zero: bool
) -> None:
    """Whatever the shapes, roles, types and bits, the rules answer with sentences of their own."""
    rng = np.random.default_rng(seed)
    tensors: dict[str, tuple[NDArray[Any], dict[str, Any]]] = {}
    for index, shape in enumerate(shapes):
        raw = rng.bytes(int(np.prod(shape, dtype=int)) * np.dtype(dtype).itemsize)
        values = np.frombuffer(bytes(len(raw)) if zero else raw, dtype).reshape(shape)
        known = {"role": roles[index], "initializer": Declared("GlorotUniform") if index % 2 else None}
        tensors[f"{index}/{name}"] = values, known
    for rule in RULES:
        for finding in found(rule, tensors):
            assert finding.code == rule.code
            assert finding.message.endswith(".")


def keras_model() -> Any:
    """Return a small model with biases, without, and with normalization."""
    keras = pytest.importorskip("keras")
    layers = keras.layers
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(16, 3, name="stem"),
            layers.Conv2D(32, 3, use_bias=False, kernel_initializer="he_normal", name="body"),
            layers.BatchNormalization(name="norm"),
            layers.Flatten(),
            layers.Dense(32, activation="relu", kernel_initializer="he_uniform", name="hidden"),
            layers.Dense(32, activation="relu", name="twin"),
            layers.Dense(32, activation="relu", name="other"),
            layers.Dense(4, name="head"),
        ],
        name="net",
    )


@cache
def weights_after(steps: int) -> list[NDArray[Any]]:
    """Return the weights of the same model after some steps on numbers that can be learned."""
    model = keras_model()
    model.compile(pytest.importorskip("keras").optimizers.Adam(5e-3), "mse")
    rng = np.random.default_rng(2)
    inputs = rng.normal(size=(32, 8, 8, 3)).astype(np.float32)
    for _ in range(steps):
        model.train_on_batch(inputs, inputs[:, :2, :2, 0].reshape(32, 4))
    weights: list[NDArray[Any]] = model.get_weights()
    return weights


def trained_model(steps: int = 60) -> Any:
    """Return the same model with those weights."""
    model = keras_model()
    model.set_weights(weights_after(steps))
    return model


def audited(model: Any, path: Path, policy: Policy | None = None) -> list[tuple[str, str | None, Severity]]:
    """Save a model and return what these rules find in the file."""
    model.save(path)
    policy = policy or Policy(plugins=("weightaudit_rules",))
    (report,) = weightaudit.audit(path, policy=replace(policy, select=("WA5",))).models
    assert not report.skipped
    return [(one.code, one.tensor, one.severity) for one in report.findings]


def test_a_fresh_model_gets_one_note(tmp_path: Path) -> None:
    """A model that was never trained is told once, as a note, and by no other rule of the group."""
    assert audited(keras_model(), tmp_path / "fresh.keras") == [("WA501", None, Severity.NOTE)]


@pytest.mark.parametrize("steps", [1, 60])
def test_a_trained_model_gets_nothing(steps: int, tmp_path: Path) -> None:
    """After a single step no layer is taken for untrained, nor after sixty."""
    assert audited(trained_model(steps), tmp_path / "trained.keras") == []


@pytest.mark.parametrize(
    ("name", "suffix"), [("stem", ".keras"), ("body", ".keras"), ("hidden", ".keras"), ("head", ".h5")]
)
def test_a_layer_made_anew_is_found(name: str, suffix: str, tmp_path: Path) -> None:
    """Kernel and bias as made, in an otherwise trained model, are one warning, with a bias or without."""
    model, fresh = trained_model(), keras_model()
    model.get_layer(name).set_weights(fresh.get_layer(name).get_weights())
    assert audited(model, tmp_path / f"model{suffix}") == [("WA501", f"net/{name}/kernel", Severity.WARNING)]


def test_a_frozen_layer_may_stay_random(tmp_path: Path) -> None:
    """A layer that is declared as not trained is not expected to move."""
    model, fresh = trained_model(), keras_model()
    model.get_layer("hidden").set_weights(fresh.get_layer("hidden").get_weights())
    model.get_layer("hidden").trainable = False
    assert audited(model, tmp_path / "model.keras") == []


def test_weights_alone_are_judged_by_the_defaults(tmp_path: Path) -> None:
    """Without a configuration a layer that agrees with Keras' defaults is found, and no other one."""
    model, fresh = trained_model(), keras_model()
    model.get_layer("twin").set_weights(fresh.get_layer("twin").get_weights())
    path = tmp_path / "model.weights.h5"
    model.save_weights(path)
    policy = Policy(plugins=("weightaudit_rules",), select=("WA501",))
    (report,) = weightaudit.audit(path, policy=policy).models
    assert [finding.tensor for finding in report.findings] == ["twin/kernel"]


def test_most_layers_anew_are_one_finding() -> None:
    """Where more layers are as made than have moved, the model is told of once."""
    bound = np.sqrt(6 / 96)
    rng = np.random.default_rng(1)
    tensors: dict[str, tuple[NDArray[Any], dict[str, Any]]] = {}
    for index in range(4):
        kernel = rng.uniform(-bound, bound, (64, 32)).astype(np.float32)
        bias = np.full(32, 0.5 if index == 0 else 0.0, np.float32) + (np.arange(32) * 0.01 * (index == 0))
        tensors[f"dense_{index}/kernel"] = kernel, {"initializer": Declared("GlorotUniform")}
        tensors[f"dense_{index}/bias"] = (
            bias.astype(np.float32),
            {"initializer": Declared("Zeros"), "role": "bias"},
        )
    (finding,) = found(UntrainedLayer(), tensors)
    assert finding.tensor is None
    assert finding.values == {"layers": 3, "moved": 1}


def test_statistics_that_were_reset_are_found(tmp_path: Path) -> None:
    """A mean of zeros and a variance of ones beside a trained scale are one warning."""
    model = trained_model()
    scale, offset, mean, variance = model.get_layer("norm").get_weights()
    model.get_layer("norm").set_weights([scale, offset, np.zeros_like(mean), np.ones_like(variance)])
    wanted = [("WA502", "net/norm/moving_variance", Severity.WARNING)]
    assert audited(model, tmp_path / "model.keras") == wanted


def test_variances_that_did_not_load_are_told() -> None:
    """Sixteen variances of exactly 1 beside means that moved are a note; three may be what they are."""
    for count, told in ((16, [Severity.NOTE]), (3, [])):
        means = np.linspace(0.1, 2, count).astype(np.float32)
        tensors: dict[str, tuple[NDArray[Any], dict[str, Any]]] = {
            "norm/moving_mean": (means, {"role": "moving_mean"}),
            "norm/moving_variance": (np.ones(count, np.float32), {"role": "moving_variance"}),
        }
        assert [one.severity for one in found(StatisticsNeverUpdated(), tensors)] == told


def test_a_copied_kernel_is_found(tmp_path: Path) -> None:
    """A kernel in the place of another one of its shape is one warning, on the second of the two."""
    model = trained_model()
    model.get_layer("other").kernel.assign(model.get_layer("twin").kernel)
    assert audited(model, tmp_path / "model.keras") == [("WA503", "net/other/kernel", Severity.WARNING)]


def test_equal_bytes_give_equal_sums_wherever_they_lie(tmp_path: Path) -> None:
    """Copies of 4 million numbers are found, though several workers read them in stretches."""
    h5py = pytest.importorskip("h5py")
    kernel = np.random.default_rng(1).normal(0, 0.01, (1024, 4099)).astype(np.float32)
    with h5py.File(tmp_path / "model.weights.h5", "w") as file:
        for index, values in enumerate((kernel, kernel * np.float32(1.5), kernel)):
            file[f"layers/dense_{index}/vars/0"] = values
            file[f"layers/dense_{index}/vars/1"] = values[0, : 4099 - index]
    policy = Policy(plugins=("weightaudit_rules",), select=("WA503",))
    (report,) = weightaudit.audit(tmp_path / "model.weights.h5", policy=policy, workers=3).models
    (finding,) = report.findings
    ends = {"dense_0/kernel", "dense_2/kernel"}
    assert finding.tensor in ends
    assert (ends - {finding.tensor}).pop() in finding.message


def test_a_model_in_a_model_is_one_note() -> None:
    """Copies of half of all kernels, as of a target network, are told of once."""
    kernels = [np.random.default_rng(index).normal(0, 0.1, (16, 16)).astype(np.float32) for index in range(4)]
    tensors: dict[str, tuple[NDArray[Any], dict[str, Any]]] = {
        f"{part}/dense_{index}/kernel": (kernel, {})
        for part in ("online", "target")
        for index, kernel in enumerate(kernels)
    }
    (finding,) = found(DuplicateTensors(), tensors)
    assert (finding.tensor, finding.severity) == (None, Severity.NOTE)


def adam(scale_first: float = 1.0, scale_second: float = 1.0, steps: int = 300) -> dict[str, Any]:
    """Return Adam's state of five variables; the slots of the third are scaled."""
    rng = np.random.default_rng(1)
    slots: dict[str, Any] = {"optimizer/iteration": (np.array(steps), {"role": "counter"})}
    for index in range(5):
        first, second = (scale_first, scale_second) if index == 2 else (1.0, 1.0)
        momentum = rng.normal(0, 1e-3 * first, 64).astype(np.float32)
        velocity = rng.exponential(1e-5 * second, 64).astype(np.float32)
        slots[f"optimizer/dense_{index}/kernel/momentum"] = momentum, {"role": "optimizer_slot"}
        slots[f"optimizer/dense_{index}/kernel/velocity"] = velocity, {"role": "optimizer_slot"}
    return slots


SCALED = [(1, 1, ""), (30, 1, ""), (1, 30, ""), (1e3, 1, "momentum"), (1, 1e-6, "momentum")]
SCALED += [(1, 1e6, "velocity"), (1e-2, 1e4, "velocity"), (1e-4, 1, "momentum"), (1e-4, 99, "momentum")]


@pytest.mark.parametrize(("first", "second", "named"), SCALED)
def test_moments_that_contradict_each_other_are_found(first: float, second: float, named: str) -> None:
    """A moment far from what the other, or other variables, allow is told, and the worse of both named."""
    tensors = [finding.tensor for finding in found(OptimizerState(enabled=True), adam(first, second))]
    assert tensors == [f"optimizer/dense_2/kernel/{named}"] * bool(named)


def test_momentum_alone_is_compared_with_its_kind() -> None:
    """Without second moments a slot 1e6 times as large as the others is told."""
    slots = {name: slot for name, slot in adam(1e6).items() if not name.endswith("velocity")}
    (finding,) = found(OptimizerState(enabled=True), slots)
    assert finding.tensor == "optimizer/dense_2/kernel/momentum"


def test_counters_are_compared_with_slots() -> None:
    """No step with slots that moved, and many steps with slots of zeros, are each one finding."""
    rule = OptimizerState(enabled=True)
    (moved,) = found(rule, adam(steps=0))
    assert "no step was counted" in moved.message
    zeros = {
        name: (values if name.endswith("iteration") else np.zeros_like(values), known)
        for name, (values, known) in adam(steps=500).items()
    }
    (still,) = found(rule, zeros)
    assert "All 10 slots are zero" in still.message


def test_counters_are_compared_with_each_other() -> None:
    """Two optimizers that counted differently are a note; a counter that was never used is not."""
    rule = OptimizerState(enabled=True)
    other = {"discriminator/iteration": (np.array(200), {"role": "counter"})}
    assert [one.severity for one in found(rule, adam() | other)] == [Severity.NOTE]
    unused = {"discriminator/iteration": (np.array(0), {"role": "counter"})}
    assert found(rule, adam() | unused) == []


@pytest.mark.parametrize("optimizer", ["Adam", "SGD", "RMSprop", "Ftrl"])
def test_states_that_keras_saves_are_in_order(optimizer: str, tmp_path: Path) -> None:
    """What Keras' optimizers leave after 20 steps gives no finding, though the policy asks for them."""
    keras = pytest.importorskip("keras")
    arguments = {"momentum": 0.9} if optimizer in {"SGD", "RMSprop"} else {}
    model = keras_model()
    model.compile(getattr(keras.optimizers, optimizer)(**arguments), "mse")
    rng = np.random.default_rng(2)
    for _ in range(20):
        model.train_on_batch(rng.normal(size=(8, 8, 8, 3)), rng.normal(size=(8, 4)))
    policy = Policy(
        plugins=("weightaudit_rules",), rules={"optimizer-state": RuleSettings(options={"enabled": True})}
    )
    assert [one for one in audited(model, tmp_path / "model.keras", policy) if one[0] == "WA510"] == []
