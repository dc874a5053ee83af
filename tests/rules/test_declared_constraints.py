"""Declared constraints are judged as Keras means them, graver where training should have enforced them."""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import pytest

from weightaudit.rule import Finding, Measured, Severity
from weightaudit.tensor import Declared, Quantization, Role
from weightaudit.testing import measure, tensor_info
from weightaudit_rules._initial import start_of
from weightaudit_rules.declared_constraint import DeclaredConstraint

if TYPE_CHECKING:
    from numpy.typing import NDArray


RULE = DeclaredConstraint()
DTYPES = ("float32", "float64", "float16", "bfloat16")
ZEROS, GLOROT = Declared("Zeros"), Declared("GlorotUniform")

CONSTRAINTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("MaxNorm", {"max_value": 0.5}),
    ("MaxNorm", {}),
    ("MinMaxNorm", {"min_value": 0.5, "max_value": 1.5, "rate": 1.0}),
    ("UnitNorm", {}),
)
AXES = (
    ((512, 32), 0),
    ((48, 64), 1),
    ((3, 3, 16, 8), [0, 1, 2]),
    ((3, 3, 16, 8), [-4, -3]),
    ((64,), 0),
)


def model_of(*tensors: tuple[NDArray[Any], dict[str, Any]]) -> Measured:
    """Measure tensors, as the rule asks for it, as one model."""
    infos = [tensor_info(values, **differences) for values, differences in tensors]
    wanted = RULE.needs_of_model(Measured(infos, {}, ()))
    stats = {
        info.name: measure(values, wanted.get(info.name, ()), info)
        for info, (values, _) in zip(infos, tensors, strict=True)
    }
    return Measured(infos, stats, ())


def judge(*tensors: tuple[NDArray[Any], dict[str, Any]]) -> list[Finding]:
    """Judge tensors as one model."""
    return list(RULE.check_model(model_of(*tensors)))


def kernel(*shape: int, scale: float = 3.0) -> NDArray[np.float32]:
    """Return weights far from any bound used here."""
    return np.random.default_rng(1).normal(0, scale, shape).astype(np.float32)


def steps(count: int, name: str = "optimizer/iteration") -> tuple[NDArray[Any], dict[str, Any]]:
    """Return an optimizer's counter."""
    return np.array(count), {"role": "counter", "name": name, "layer": ""}


def bias(value: float, layer: str = "layer") -> tuple[NDArray[Any], dict[str, Any]]:
    """Return a bias that starts at zero."""
    described = {"role": "bias", "name": f"{layer}/bias", "layer": layer, "initializer": ZEROS}
    return np.full(8, value, np.float32), described


def broken(**differences: Any) -> tuple[NDArray[Any], dict[str, Any]]:
    """Return a kernel as its initializer gives it, which breaks MaxNorm(0.5)."""
    values = np.random.default_rng(1).uniform(-0.25, 0.25, (64, 32)).astype(np.float32)
    known = {"constraint": Declared("MaxNorm", {"max_value": 0.5}), "initializer": GLOROT, "trainable": True}
    return values, known | differences


def the_severity(*tensors: tuple[NDArray[Any], dict[str, Any]]) -> Severity:
    """Return how bad the one thing is that is found."""
    (finding,) = judge(*tensors)
    assert finding.code == "WA310"
    assert finding.message.endswith(".")
    return finding.severity


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize(("shape", "axis"), AXES)
@pytest.mark.parametrize(("name", "config"), CONSTRAINTS)
def test_what_keras_constrains_complies(
    name: str, config: dict[str, Any], shape: tuple[int, ...], axis: Any, dtype: str
) -> None:
    """What Keras' own class computes in each type passes, and what it was computed from does not."""
    keras = pytest.importorskip("keras")
    constraint = getattr(keras.constraints, name)(**config, axis=axis)
    weights = keras.ops.cast(kernel(*shape), dtype)
    stored = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    before, after = (
        np.asarray(keras.ops.cast(one, "float32")).astype(stored) for one in (weights, constraint(weights))
    )
    declared = {"constraint": Declared(name, config | {"axis": axis})}
    assert len(judge((before, declared))) == 1
    assert judge((after, declared)) == []


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "axis"), [*AXES, ((64, 32), None), ((4, 3, 5), [])])
@pytest.mark.parametrize(("name", "config"), [*CONSTRAINTS, ("NonNeg", {})])
def test_its_projection_silences_the_rule(
    name: str, config: dict[str, Any], shape: tuple[int, ...], axis: Any, dtype: str
) -> None:
    """What the rule proposes mends each class along each axis in each storage type, and stays as it is."""
    stored = np.dtype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    values = kernel(*shape).astype(stored)
    declared = {"constraint": Declared(name, config | ({} if name == "NonNeg" else {"axis": axis}))}
    projection = RULE.projection(tensor_info(values, **declared))
    assert judge((values, declared))
    assert projection is not None
    wide = values.astype(np.float32) if stored.itemsize < 4 else values
    mended = projection.project(wide, dtype=dtype)
    assert judge((mended.astype(stored), declared)) == []
    assert projection.project(mended, dtype=dtype) is mended


def test_steps_decide() -> None:
    """With a counter above zero the break is an error; at zero nothing was enforced yet, which is a note.

    Where weights moved all the same, they come from elsewhere, and whoever put them there did not project.
    """
    assert the_severity(broken(), steps(1)) is Severity.ERROR
    assert the_severity(broken(), steps(0)) is Severity.NOTE
    assert the_severity(broken(), bias(1), steps(0)) is Severity.WARNING


@pytest.mark.parametrize(
    "name", ["optimizer/iter", "optimizer/iterations_1", "training/Ftrl/iter", "global_step"]
)
def test_the_counter_is_known_by_its_names(name: str) -> None:
    """Each name that frameworks gave the step counter counts."""
    assert the_severity(broken(), steps(3, name)) is Severity.ERROR


@pytest.mark.parametrize("name", ["normalization/count", "save_counter", "optimizer/loss_scale/good_steps"])
def test_other_counters_are_no_steps(name: str) -> None:
    """What counts samples, saves or finite steps says nothing of whether training took steps."""
    assert the_severity(broken(), steps(3, name)) is Severity.NOTE


def test_a_frozen_layer_is_no_error() -> None:
    """Training does not touch frozen weights, whatever the counter says."""
    assert the_severity(broken(trainable=False), steps(9)) is Severity.WARNING


def test_weights_tell_of_training_where_no_counter_does() -> None:
    """A trained inference model that breaks its constraint is an error, one as initialized a note."""
    assert the_severity(broken()) is Severity.NOTE
    assert the_severity(broken(), bias(0)) is Severity.NOTE
    assert the_severity(broken(initializer=None, role="state")) is Severity.WARNING
    assert the_severity(broken(), bias(0.1)) is Severity.ERROR
    values, known = broken()
    assert the_severity((values * 3, known), bias(0)) is Severity.ERROR


def test_a_fresh_head_on_a_trained_model_is_no_error() -> None:
    """The layer's own bias comes first; only where it has none, the rest of the model tells."""
    trained = bias(0.1, "body")
    assert the_severity(broken(), trained, bias(0)) is Severity.WARNING
    assert the_severity(broken(), trained) is Severity.ERROR


def test_a_bias_that_its_constraint_holds_at_zero_proves_nothing() -> None:
    """NonNeg can keep a trained bias at zero, so that is no sign of a fresh layer."""
    values, known = bias(0)
    held = (values, known | {"constraint": Declared("NonNeg")})
    assert the_severity(broken(), held, bias(0.1, "body")) is Severity.ERROR


def test_zero_groups_are_told_apart() -> None:
    """Keras leaves a zero vector at zero, so alone it is a warning; with a real offender it is an error."""
    values = np.eye(8, dtype=np.float32)
    values[:, 3] = 0
    unit = {"constraint": Declared("UnitNorm", {"axis": 0})}
    assert the_severity((values, unit), steps(5)) is Severity.WARNING
    values[:, 4] *= 2
    assert the_severity((values, unit), steps(5)) is Severity.ERROR


def test_averaged_weights_are_no_error() -> None:
    """The mean of unit vectors is shorter than 1, and Keras averages what it has not constrained yet."""
    average = (
        np.zeros((8, 8), np.float32),
        {"role": "optimizer_slot", "name": "optimizer/layer/kernel/average"},
    )
    unit = {"constraint": Declared("UnitNorm", {"axis": 0})}
    short, long = (np.eye(8, dtype=np.float32) * np.float32(scale) for scale in (0.9, 1.1))
    assert the_severity((short, unit), average, steps(5)) is Severity.NOTE
    assert the_severity((long, unit), average, steps(5)) is Severity.WARNING
    assert the_severity((short, unit), steps(5)) is Severity.ERROR


def test_float16_sums_of_many_squares_are_no_error() -> None:
    """Keras itself leaves long float16 columns ten percent above the sphere, which is told, but no error."""
    keras = pytest.importorskip("keras")
    column = keras.ops.cast(kernel(8192, 4, scale=0.05), "float16")
    projected = np.asarray(keras.constraints.UnitNorm()(column))
    unit = {"constraint": Declared("UnitNorm", {"axis": 0})}
    assert the_severity((projected, unit), steps(5)) is Severity.WARNING
    assert the_severity((projected * np.float16(1.2), unit), steps(5)) is Severity.ERROR


def test_a_rate_below_one_promises_nothing() -> None:
    """A MinMaxNorm that only moves towards its bounds is never more than a note."""
    slow = Declared("MinMaxNorm", {"max_value": 0.5, "rate": 0.5})
    assert the_severity(broken(constraint=slow), steps(9)) is Severity.NOTE


def test_keras_epsilon_is_no_break_of_a_small_lower_bound() -> None:
    """Keras leaves a norm 1e-7 below min_value, relatively far if that is small; a tenth below is a break."""
    declared = {"constraint": Declared("MinMaxNorm", {"min_value": 1e-3, "max_value": 1.0})}
    columns = np.eye(8, dtype=np.float32) * np.float32(1e-3)
    assert judge((columns - np.eye(8, dtype=np.float32) * np.float32(1e-7), declared)) == []
    assert len(judge((columns * np.float32(0.9), declared))) == 1


def test_broken_numbers_are_left_to_their_own_rules() -> None:
    """A group with NaN or Inf has no norm, so WA101 and WA102 come first."""
    for value in (nan, inf):
        values, known = broken()
        values[3, 4] = value
        assert judge((values, known), steps(9)) == []


def test_quantized_weights_have_the_slack_of_their_steps() -> None:
    """Norms that int8 moved by half a percent pass; three percent do not."""
    known = {"constraint": Declared("UnitNorm", {"axis": 0}), "quantization": Quantization("int8", "scale")}
    info = replace(tensor_info(np.eye(8, dtype=np.float32), **known), dtype="int8")
    for scale, count in ((1.005, 0), (1.03, 1)):
        values = np.eye(8, dtype=np.float32) * np.float32(scale)
        needs = RULE.needs_of_model(Measured([info], {}, ()))[info.name]
        stats = measure(values, needs, replace(info, dtype="float32", quantization=None))
        assert len(list(RULE.check_model(Measured([info], {info.name: stats}, ())))) == count


def test_an_ignored_tensor_is_not_judged() -> None:
    """A policy that leaves the rule out for a tensor has it not measured, and nothing crashes."""
    info = tensor_info(broken()[0], **broken()[1])
    assert list(RULE.check_model(Measured([info], {info.name: measure(broken()[0], (), info)}, ()))) == []
    assert list(RULE.check_model(Measured([info], {}, ()))) == []


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("MaxNorm", {"axis": 2}),
        ("MaxNorm", {"axis": -3}),
        ("UnitNorm", {"axis": [0, 1, 2]}),
        ("UnitNorm", {"axis": [0, -2]}),
        ("UnitNorm", {"axis": 10**400}),
        ("UnitNorm", {"axis": "0"}),
        ("UnitNorm", {"axis": True}),
        ("UnitNorm", {"axis": {"class_name": "x"}}),
        ("UnitNorm", {"axis": [[0]]}),
        ("MaxNorm", {"max_value": nan}),
        ("MaxNorm", {"max_value": inf}),
        ("MaxNorm", {"max_value": -1}),
        ("MaxNorm", {"max_value": "2"}),
        ("MaxNorm", {"max_value": None}),
        ("MaxNorm", {"max_value": 10**5000}),
        ("MinMaxNorm", {"min_value": 2.0, "max_value": 1.0}),
        ("MinMaxNorm", {"min_value": nan}),
        ("MinMaxNorm", {"rate": nan}),
        ("MinMaxNorm", {"rate": 2}),
    ],
)
def test_senseless_arguments_are_told(name: str, config: dict[str, Any]) -> None:
    """A stranger's configuration gives one warning and no projection, never a crash or silence."""
    values, known = broken(constraint=Declared(name, config))
    (finding,) = judge((values, known), steps(9))
    assert finding.severity is Severity.WARNING
    assert finding.message.startswith(f"{name}(")
    assert len(finding.message) < 300
    assert RULE.projection(tensor_info(values, **known)) is None


@pytest.mark.parametrize(
    "initializer",
    [
        {"name": "Constant", "config": {"value": "1"}},
        {"name": "Constant", "config": {"value": 10**5000}},
        {"name": "VarianceScaling", "config": {"scale": -1, "mode": [], "distribution": "uniform"}},
        {"name": "VarianceScaling", "config": {"scale": nan, "distribution": []}},
        {"name": "RandomUniform", "config": {"minval": 1, "maxval": None}},
        {"name": "TruncatedNormal", "config": {"stddev": -1}},
        {"name": "GlorotUniform", "builtin": False},
    ],
)
def test_senseless_initializers_prove_nothing(initializer: dict[str, Any]) -> None:
    """An initializer whose arguments make no sense leaves it open whether a tensor moved."""
    assert the_severity(broken(initializer=Declared(**initializer))) is Severity.WARNING


def test_what_cannot_be_checked_is_told_once_per_layer() -> None:
    """A custom class, or one that is no constraint to us, gives one note for a layer, not one per tensor."""
    custom: dict[str, Any] = {"constraint": Declared("my_package>Symmetric", builtin=False)}
    both = [(kernel(8, 8), custom), (kernel(8), custom | {"role": "bias"})]
    assert the_severity(*both, steps(9)) is Severity.NOTE
    for name in ("RadialConstraint", "L2"):
        assert the_severity((kernel(3, 3, 2, 4), {"constraint": Declared(name)})) is Severity.NOTE


@pytest.mark.parametrize(
    "name",
    [
        *("GlorotUniform", "GlorotNormal", "HeUniform", "HeNormal", "LecunUniform", "LecunNormal"),
        *("RandomUniform", "TruncatedNormal", "VarianceScaling"),
    ],
)
@pytest.mark.parametrize("shape", [(64, 32), (3, 3, 8, 16), (5, 4, 6)])
def test_initial_values_lie_in_the_range_of_their_initializer(name: str, shape: tuple[int, ...]) -> None:
    """What Keras draws stays within the bounds that are derived, and comes within 10 % of both."""
    initializer = getattr(pytest.importorskip("keras").initializers, name)(seed=1)
    drawn = np.asarray(initializer(shape))
    config = {key: value for key, value in initializer.get_config().items() if key != "seed"}
    start = start_of(tensor_info(drawn, initializer=Declared(name, config)))
    assert start is not None
    law = start.laws[0]
    assert 0.9 * law.bound < law.center - drawn.min() <= 1.00001 * law.bound
    assert 0.9 * law.bound < drawn.max() - law.center <= 1.00001 * law.bound


def test_lstm_bias_starts_with_ones_for_its_forget_gates() -> None:
    """The declared zeros of an LSTM's bias hold ones from the start, which proves no training."""
    values = np.repeat(np.array([0, 1, 0, 0], np.float32), 8)
    lstm = {"role": Role.BIAS, "gates": 4, "initializer": ZEROS, "layer_class": "LSTMCell", "name": "layer/b"}
    assert the_severity(broken(), (values, lstm)) is Severity.NOTE
    assert the_severity(broken(), (values * 2, lstm)) is Severity.ERROR
