"""Healthy tensors that were accused, or accused in the wrong words, and one fault that escaped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from weightaudit.rule import Example, Measured, Severity
from weightaudit.tensor import Declared, Evidence
from weightaudit.testing import findings_of, measure, tensor_info
from weightaudit_rules._words import number, part
from weightaudit_rules.constant_tensor import ConstantTensor
from weightaudit_rules.dead_normalization_channels import DeadNormalizationChannels
from weightaudit_rules.duplicate_tensors import DuplicateTensors
from weightaudit_rules.extreme_value import ExtremeValue
from weightaudit_rules.low_precision_overflow import LowPrecisionOverflow
from weightaudit_rules.nan_values import NanValues
from weightaudit_rules.optimizer_state import OptimizerState
from weightaudit_rules.scale_among_peers import ScaleAmongPeers
from weightaudit_rules.vanishing_scale import VanishingScale

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from weightaudit.rule import Finding, Rule


def normal(scale: float, *shape: int) -> NDArray[np.float32]:
    """Return seeded noise of a standard deviation."""
    return np.random.default_rng(1).normal(0, scale, shape).astype(np.float32)


def found(rule: Rule, tensors: dict[str, tuple[NDArray[Any], dict[str, Any]]]) -> list[Finding]:
    """Return what a rule says of a model of these tensors, each with what is known of it."""
    infos = [
        tensor_info(values, **({"layer": name.rpartition("/")[0]} | known | {"name": name}))
        for name, (values, known) in tensors.items()
    ]
    stats = {
        info.name: measure(values, rule.needs(info), info)
        for info, (values, _) in zip(infos, tensors.values(), strict=True)
        if rule.applies(info)
    }
    each = [one for info in infos if info.name in stats for one in rule.check(info, stats[info.name])]
    return [*each, *rule.check_model(Measured(infos, stats, ()))]


@pytest.mark.parametrize(
    ("regularizer", "severity"),
    [
        (None, Severity.ERROR),
        (Declared("L1", {"l1": 0.05}), Severity.WARNING),
        (Declared("L1L2", {"l1": 0.0, "l2": 0.5}), Severity.WARNING),
        (Declared("L2", {"l2": 1e-4}), Severity.ERROR),
        (Declared("L1", {"l1": "much"}), Severity.ERROR),
        (Declared("L1", {"l1": 0.05}, builtin=False), Severity.ERROR),
    ],
)
def test_a_strong_regularizer_explains_why_a_kernel_vanished(
    regularizer: Declared | None, severity: Severity
) -> None:
    """A kernel that vanished is no error where a strong regularizer is declared, and is told so."""
    tensors = {f"dense_{index}/kernel": (normal(0.1, 64, 64), dict[str, Any]()) for index in range(5)}
    tensors["dense/kernel"] = (normal(1e-5, 64, 64), {"regularizer": regularizer})
    for rule in (ScaleAmongPeers(), VanishingScale()):
        (finding,) = found(rule, tensors)
        assert (finding.tensor, finding.severity) == ("dense/kernel", severity)
        assert ("declared regularizer" in finding.message) is (severity is Severity.WARNING)


@pytest.mark.parametrize(("outputs", "gain", "accused"), [(1, 0.08, False), (1, 0.05, True), (2, 0.08, True)])
def test_targets_decide_how_large_a_last_layer_is(outputs: int, gain: float, *, accused: bool) -> None:
    """A kernel with a single output may be far below its peers, but neither next to nothing nor wider."""
    tensors = {f"dense_{index}/kernel": (normal(0.5, 64, 64), dict[str, Any]()) for index in range(5)}
    head = normal(1, 64, outputs)
    rms = np.sqrt(np.square(head).mean())
    tensors["head/kernel"] = (head * np.float32(gain / rms / 8), {})
    assert [one.tensor for one in found(ScaleAmongPeers(), tensors)] == ["head/kernel"] * accused


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e-40])
def test_weights_whose_squares_vanish_have_vanished(scale: float) -> None:
    """A float64 kernel is an error also where no square of it is above zero; zeros are left alone."""
    kernel = normal(1, 16, 8).astype(np.float64) * scale
    (finding,) = found(VanishingScale(), {"a/kernel": (kernel, {})})
    assert finding.severity is Severity.ERROR
    assert found(VanishingScale(), {"a/kernel": (kernel * 0, {})}) == []


@pytest.mark.parametrize("name", ["lora_kernel_b", "lora_embeddings_b"])
def test_an_adapter_that_was_not_trained_is_a_note(name: str) -> None:
    """The second factor of a low-rank adapter is zero by design, whatever its initializer."""
    (finding,) = found(ConstantTensor(), {f"a/{name}": (np.zeros((4, 32), np.float32), {})})
    assert finding.severity is Severity.NOTE
    assert "adds nothing yet" in finding.message


BATCH_NORM = {"role": "moving_variance", "layer_class": "BatchNormalization"}


def test_the_unit_of_raw_data_is_no_fault() -> None:
    """Variances of data in the thousands are healthy; one such variance among small ones is not."""
    variances = np.random.default_rng(2).uniform(1, 9, 64).astype(np.float32)
    assert found(ExtremeValue(), {"a/moving_variance": (variances * 1e7, BATCH_NORM)}) == []
    variances[3] = 4e9
    (finding,) = found(ExtremeValue(), {"a/moving_variance": (variances, BATCH_NORM)})
    assert finding.message.startswith("1 of 64 values has a magnitude")
    (finding,) = found(ExtremeValue(), {"a/moving_variance": (variances * 1e22, BATCH_NORM)})
    assert finding.severity is Severity.WARNING


def layer(layer_class: str, name: str, *sources: str) -> dict[str, Any]:
    """Return a layer of a configuration as Keras 2 writes it, with the layers that feed it."""
    inbound: list[Any] = [[[source, 0, 0] for source in sources]] if sources else []
    config = {"name": name, "activation": "linear"}
    return {"class_name": layer_class, "name": name, "config": config, "inbound_nodes": inbound}


def model(kind: str, *layers: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of a model of these layers."""
    return {"class_name": kind, "config": {"name": "model", "layers": list(layers)}}


INPUTS = (layer("InputLayer", "a"), layer("InputLayer", "b"), layer("Concatenate", "join", "a", "b"))
SCALED: list[tuple[dict[str, Any], bool]] = [
    (model("Functional", *INPUTS, layer("BatchNormalization", "bn", "join")), True),
    (model("Sequential", layer("Masking", "mask"), layer("BatchNormalization", "bn")), True),
    (model("Sequential", layer("BatchNormalization", "bn"), layer("Dense", "d")), True),
    (model("Sequential", layer("Dense", "d"), layer("BatchNormalization", "bn")), False),
    (
        model(
            "Functional", *INPUTS, layer("Dense", "d", "a"), layer("BatchNormalization", "bn", "join", "d")
        ),
        False,
    ),
    (model("Functional", layer("InputLayer", "a"), layer("BatchNormalization", "bn", "unknown")), False),
    (model("Sequential", layer("BatchNormalization", "another")), False),
    ({}, False),
]


@pytest.mark.parametrize(("config", "is_first"), SCALED)
def test_a_normalization_of_raw_inputs_keeps_the_unit_of_the_data(
    config: dict[str, Any], *, is_first: bool
) -> None:
    """A few large variances are no fault of a layer that sees the raw inputs, and are one of any other."""
    variances = np.random.default_rng(2).uniform(1, 9, 64).astype(np.float32)
    variances[3] = 1.9e9
    known = BATCH_NORM | {"layer": "bn"}
    for scale, expected in ((1, not is_first), (1e12, True)):
        values = variances * np.float32(scale)
        example = Example(title="raw", values=values.copy, severity=None, info=known, config=config)
        assert bool(findings_of(ExtremeValue(), example)) is expected


def test_statistics_that_were_counted_with_another_bound_are_left_to_it() -> None:
    """Where a policy gives a tensor another bound, the rule with the usual one neither speaks nor crashes."""
    values = np.array([1, 2, 4e9], np.float32)
    info = tensor_info(values, **BATCH_NORM)
    other = ExtremeValue(error=1e9)
    seen = Measured([info], {info.name: measure(values, other.needs(info), info)}, ())
    assert list(ExtremeValue().check_model(seen)) == []
    (finding,) = other.check_model(seen)
    assert finding.severity is Severity.WARNING


def test_only_a_variance_of_zero_never_varied() -> None:
    """Of a channel whose variance is tiny but not zero, it is not said that it never varied."""
    variances = np.random.default_rng(2).uniform(1, 9, 64).astype(np.float32)
    for level, words in (
        (0.0, "never varied, so nothing passes"),
        (1e-13, "hardly varied, so next to nothing"),
    ):
        variances[3] = level
        (finding,) = found(DeadNormalizationChannels(), {"a/moving_variance": (variances, BATCH_NORM)})
        assert words in finding.message


def test_variances_that_are_not_finite_are_not_called_dead() -> None:
    """Channels with NaN or infinity do not count as channels that never varied; those of zero still do."""
    variances = np.random.default_rng(2).uniform(1, 9, 64).astype(np.float32)
    variances[:2] = np.nan, np.inf
    rule = DeadNormalizationChannels()
    assert found(rule, {"a/moving_variance": (variances, BATCH_NORM)}) == []
    assert found(rule, {"a/moving_variance": (np.full(8, np.inf, np.float32), BATCH_NORM)}) == []
    variances[7] = 0
    (finding,) = found(rule, {"a/moving_variance": (variances, BATCH_NORM)})
    assert (finding.values["dead"], finding.values["channels"]) == (1, 64)


def test_the_second_copy_of_a_normalized_kernel_is_known_without_a_configuration() -> None:
    """What SpectralNormalization stores again is no duplicate in weights alone, and other copies are."""
    kernel, other = normal(0.1, 64, 32), normal(0.2, 64, 32)
    guessed: dict[str, Any] = {"evidence": Evidence.GUESS}
    spectral = guessed | {"layer_class": "SpectralNormalization"}
    tensors = {
        "sn/kernel": (kernel, spectral),
        "sn/dense/kernel": (kernel, guessed),
        "a/kernel": (other, guessed),
    }
    assert found(DuplicateTensors(), tensors) == []
    (finding,) = found(DuplicateTensors(), tensors | {"b/kernel": (other, guessed)})
    assert finding.tensor == "b/kernel"


def test_nothing_is_said_of_values_that_were_not_compared() -> None:
    """Beside two values just above the bound, the others are not called negligible."""
    (finding,) = found(ExtremeValue(), {"a/bias": (np.arange(990, 1010, dtype=np.float32), {"role": "bias"})})
    assert finding.message == "10 of 20 values have a magnitude of 1,000 or more (largest 1,009)."


def test_a_bias_that_was_declared_to_start_far_out() -> None:
    """A bias near its declared constant is no extreme value, and a note in float16; far from it, it is."""
    known = {"role": "bias", "initializer": Declared("Constant", {"value": 2.5e5})}
    near, far = np.array([2.6e5], np.float32), np.array([2.6e7], np.float32)
    assert found(ExtremeValue(), {"a/bias": (near, known)}) == []
    (finding,) = found(LowPrecisionOverflow(), {"a/bias": (near, known)})
    assert finding.severity is Severity.NOTE
    (finding,) = found(ExtremeValue(), {"a/bias": (far, known)})
    assert finding.severity is Severity.ERROR


def adam(faded: float, grown: float) -> dict[str, Any]:
    """Return Adam's state of five variables; the moments of the third are multiplied."""
    rng = np.random.default_rng(1)
    slots: dict[str, Any] = {}
    for index in range(5):
        first, second = (faded, grown) if index == 2 else (1.0, 1.0)
        kinds = {"momentum": rng.normal(0, 1e-3 * first, 64), "velocity": rng.exponential(1e-5 * second, 64)}
        for kind, values in kinds.items():
            slots[f"optimizer/dense_{index}/kernel/{kind}"] = (
                values.astype(np.float32),
                {"role": "optimizer_slot"},
            )
    return slots


@pytest.mark.parametrize(
    ("faded", "grown", "severity"),
    [(1e-8, 0.5, Severity.NOTE), (1.0, 1e8, Severity.WARNING), (1e6, 1.0, Severity.WARNING)],
)
def test_moments_that_faded_are_no_explosion(faded: float, grown: float, severity: Severity) -> None:
    """A first moment far below the others is a note on missing gradients; a second far above is not."""
    (finding,) = found(OptimizerState(enabled=True), adam(faded, grown))
    assert finding.severity is severity
    assert ("no gradient" in finding.message) is (severity is Severity.NOTE)


def test_words_agree_with_numbers() -> None:
    """Noun and verb follow their own numbers: how many there are, and how many are spoken of."""
    assert [number(count, "layer") for count in (0, 1, 2)] == ["0 layers", "1 layer", "2 layers"]
    told = [part(count, size, "value", "is", "are") for count, size in ((0, 2), (1, 1), (1, 2), (2, 2))]
    assert told == ["0 of 2 values are", "1 of 1 value is", "1 of 2 values is", "2 of 2 values are"]


@pytest.mark.parametrize(
    ("key", "severity"), [("optimizer/vars/4", Severity.WARNING), ("layers/dense/vars/4", Severity.ERROR)]
)
def test_a_slot_is_no_weight_though_nobody_knows_which_it_is(key: str, severity: Severity) -> None:
    """Weights alone may leave a choice between slots; NaN in one of them spreads to no output either way."""
    known = {"key": key, "role": "optimizer_slot", "evidence": Evidence.GUESS}
    (finding,) = found(NanValues(), {"optimizer/dense/kernel/momentum": (np.full((4, 4), np.nan), known)})
    assert finding.severity is severity
