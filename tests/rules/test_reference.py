"""Rules that judge a model beside a reference: several tensors at once, and by a policy."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from weightaudit.comparison import Comparison, Status, TensorComparison
from weightaudit.comparison.arrays import compare_arrays
from weightaudit.judging import duties, judge
from weightaudit.policy import Policy, parse_policy
from weightaudit.registry import configure, load_registry
from weightaudit.rule import Measured, Severity
from weightaudit.statistics import Stats
from weightaudit.tensor import Quantization, Role
from weightaudit.testing import tensor_info
from weightaudit_rules.changed_signs import ChangedSigns
from weightaudit_rules.drift import Drift
from weightaudit_rules.lost_sparsity import LostSparsity
from weightaudit_rules.structure_changed import StructureChanged
from weightaudit_rules.thawed_tensor import ThawedTensor
from weightaudit_rules.unmoved_tensor import UnmovedTensor
from weightaudit_rules.update_ratio import UpdateRatio

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from weightaudit.rule import Finding, Rule

BASE = np.random.default_rng(1).normal(0, 0.1, (16, 8)).astype(np.float32)
STEP = np.random.default_rng(2).normal(0, 0.01, (16, 8)).astype(np.float32)
NEW = np.random.default_rng(3).normal(0, 0.1, (16, 8)).astype(np.float32)


def pair(name: str, before: NDArray[Any], after: NDArray[Any], **info: Any) -> TensorComparison:
    """Return a tensor of both models; the layer is what stands before the last slash of its name."""
    known = {"name": name, "key": name, "layer": name.rpartition("/")[0], **info}
    return compare_arrays(tensor_info(after, **known), before, after).tensors[0]


def resting(name: str, **info: Any) -> TensorComparison:
    """Return a tensor that is the same in both models."""
    return pair(name, BASE, BASE, **info)


def moving(name: str, **info: Any) -> TensorComparison:
    """Return a tensor that was trained on."""
    return pair(name, BASE, BASE + STEP, **info)


def beside(*pairs: TensorComparison) -> Comparison:
    """Return the comparison of two models with these tensors."""
    return Comparison("good.keras", "new.keras", ("", ""), pairs, weights_only=True)


def found(rule: Rule, *pairs: TensorComparison) -> list[Finding]:
    """Return what a rule finds in a model with these tensors, beside its reference."""
    infos = [one.second for one in pairs if one.second is not None]
    return list(rule.check_model(Measured(infos, {}, (), beside(*pairs))))


def names(findings: list[Finding]) -> list[str | None]:
    """Return the tensors of findings."""
    return [finding.tensor for finding in findings]


def test_a_layer_that_rests_among_others_that_move_is_told() -> None:
    """One stale layer among three is a warning that says how many moved."""
    pairs = [moving("a/kernel"), resting("b/kernel"), moving("c/kernel")]
    (finding,) = found(UnmovedTensor(), *pairs)
    assert (finding.tensor, finding.severity) == ("b/kernel", Severity.WARNING)
    assert "2 of 3 weights" in finding.message


def test_a_model_that_mostly_rests_is_fine_tuned() -> None:
    """Where more than half of the weights rest, they were frozen, and nothing is told."""
    pairs = [resting("a/kernel"), resting("b/kernel"), moving("c/kernel")]
    assert found(UnmovedTensor(), *pairs) == []
    assert names(found(UnmovedTensor(share=0.7), *pairs)) == ["a/kernel", "b/kernel"]


def test_a_layer_that_is_declared_as_frozen_may_rest() -> None:
    """It is enough that one of both configurations says so."""
    one = resting("b/kernel")
    assert one.first is not None
    assert one.second is not None
    before = replace(one, first=replace(one.first, trainable=False))
    after = replace(one, second=replace(one.second, trainable=False))
    for frozen in (before, after):
        assert found(UnmovedTensor(), moving("a/kernel"), frozen, moving("c/kernel")) == []


def test_moving_judges_exactly_what_it_names() -> None:
    """With globs, the named tensors are judged whatever the others did, and all others are not."""
    pairs = [resting("a/kernel"), resting("b/kernel"), resting("c/kernel")]
    findings = found(UnmovedTensor(moving=("b/*",)), *pairs)
    assert [(one.tensor, one.severity) for one in findings] == [("b/kernel", Severity.ERROR)]


def test_statistics_of_a_frozen_normalization_may_not_move() -> None:
    """Moving statistics count as frozen if scale and offset of their layer are, and only then."""
    statistics = moving("bn/moving_mean", role=Role.MOVING_MEAN, trainable=False)
    scale = resting("bn/gamma", role=Role.NORM_SCALE, trainable=False)
    offset = resting("bn/beta", role=Role.NORM_OFFSET, trainable=False)
    assert names(found(ThawedTensor(), statistics, scale, offset)) == ["bn/moving_mean"]
    trained = resting("bn/beta", role=Role.NORM_OFFSET, trainable=True)
    assert found(ThawedTensor(), statistics, scale, trained) == []
    elsewhere = [replace_layer(one, "other") for one in (scale, offset)]
    assert found(ThawedTensor(), statistics, *elsewhere) == []


def replace_layer(one: TensorComparison, layer: str) -> TensorComparison:
    """Return the same tensor as one of another layer."""
    assert one.first is not None
    assert one.second is not None
    return replace(one, first=replace(one.first, layer=layer), second=replace(one.second, layer=layer))


def test_a_model_that_was_frozen_only_to_be_saved_has_not_thawed() -> None:
    """A kernel that the reference declares as trainable may have moved."""
    one = moving("a/kernel", trainable=False)
    assert one.first is not None
    assert names(found(ThawedTensor(), one)) == ["a/kernel"]
    assert found(ThawedTensor(), replace(one, first=replace(one.first, trainable=True))) == []


def test_bookkeeping_is_not_judged() -> None:
    """Optimizer slots move by their nature, whatever globs say."""
    slot = pair("optimizer/a/kernel/m", BASE, NEW, role=Role.OPTIMIZER_SLOT, trainable=False)
    for rule in (Drift(), ThawedTensor(frozen=("*",)), UnmovedTensor(moving=("*",)), LostSparsity()):
        assert slot.name not in names(found(rule, slot))


def test_tensors_without_counterpart_are_told_by_name() -> None:
    """What is gone is an error, what is new a warning, and what the policy expects is neither."""
    kept = moving("a/kernel")
    gone = replace(resting("old/kernel"), status=Status.REMOVED, second=None, match=None)
    new = replace(resting("new/kernel"), status=Status.ADDED, first=None, match=None)
    findings = found(StructureChanged(), kept, gone, new)
    assert [(one.tensor, one.severity) for one in findings] == [
        ("old/kernel", Severity.ERROR),
        ("new/kernel", Severity.WARNING),
    ]
    assert found(StructureChanged(expected=("old/*", "new/*")), kept, gone, new) == []


def test_another_model_is_one_finding() -> None:
    """Where no tensor has a counterpart, one sentence says so instead of one for each tensor."""
    gone = replace(resting("old/kernel"), status=Status.REMOVED, second=None, match=None)
    new = replace(resting("new/kernel"), status=Status.ADDED, first=None, match=None)
    (finding,) = found(StructureChanged(), gone, new)
    assert finding.tensor is None
    assert "good.keras" in finding.message


def test_a_model_that_was_converted_is_one_finding() -> None:
    """Where most kernels went to one other type, one finding names how many, and what moved furthest."""
    narrow = [pair(f"{letter}/kernel", BASE, BASE.astype(np.float16)) for letter in "ab"]
    bias = pair("a/bias", BASE[0], BASE[0].astype(np.float16) * 2, role=Role.BIAS)
    (finding,) = found(StructureChanged(), *narrow, bias)
    assert (finding.tensor, finding.severity) == (None, Severity.WARNING)
    assert finding.message.startswith("3 of its weights are float16, and float32 in the reference")
    assert "by most a/bias, a relative change of 1." in finding.message
    (finding,) = found(StructureChanged(expected=("*/bias",)), *narrow, bias)
    assert finding.message.startswith("2 of its weights")


def test_a_model_that_was_widened_is_one_note() -> None:
    """The very same values in a wider type are one note for the whole model."""
    exact = BASE.astype(np.float16)
    wide = [pair(f"{letter}/kernel", exact, exact.astype(np.float32)) for letter in "ab"]
    (finding,) = found(StructureChanged(), *wide)
    assert (finding.tensor, finding.severity) == (None, Severity.NOTE)


def test_one_layer_of_another_type_is_named() -> None:
    """A single kernel of four that has another type is told by itself, and how far it moved."""
    odd = pair("d/kernel", BASE, BASE.astype(np.float16))
    (finding,) = found(StructureChanged(), *(moving(f"{letter}/kernel") for letter in "abc"), odd)
    assert finding.tensor == "d/kernel"
    assert "its values differ: a relative change of 0.0002" in finding.message


@pytest.mark.parametrize(
    ("name", "told"), [("a/lora_kernel_a", Severity.NOTE), ("b/lora_kernel_a", Severity.WARNING)]
)
def test_a_new_adapter_is_a_note(name: str, told: Severity) -> None:
    """A low-rank adapter beside a kernel of both models is a note; one beside nothing is a warning."""
    new = replace(resting(name), status=Status.ADDED, first=None, match=None)
    (finding,) = found(StructureChanged(), resting("a/kernel"), new)
    assert (finding.tensor, finding.severity) == (name, told)


def test_a_negated_kernel_is_told_by_its_cosine() -> None:
    """A relative change of 2, where rounding alone is above the bound, is no reason beside a cosine of -1."""
    (finding,) = found(Drift(), pair("a/kernel", BASE, -BASE))
    assert "relative change" not in finding.message
    assert "its cosine is -1, below 0.5 (100% of its signs changed)" in finding.message


def test_drift_takes_the_place_of_changed_signs() -> None:
    """A kernel that was initialized again is one finding; where drift is ignored, its signs are told."""
    assert judged(()) == ["WA601"]
    assert judged(("WA601",)) == ["WA605"]


def judged(ignored: tuple[str, ...]) -> list[str]:
    """Return the codes that the reference rules, but for those that are ignored, find in a new kernel."""
    one = pair("a/kernel", BASE, NEW)
    infos = [one.second] if one.second is not None else []
    plugins = ("weightaudit_rules",)
    rules = configure(load_registry(plugins), Policy(select=("WA6",), ignore=ignored, plugins=plugins))
    model = Measured(infos, {infos[0].name: Stats({})}, (), beside(one))
    return [finding.code for finding in judge(model, duties(rules, infos), rules)[0]]


def test_values_that_are_not_finite_do_not_hide_drift() -> None:
    """One NaN in the model leaves the rest of the tensor to be judged."""
    broken = NEW.copy()
    broken[0, 0] = np.nan
    assert names(found(Drift(), pair("a/kernel", BASE, broken))) == ["a/kernel"]
    near = BASE + STEP
    near[0, 0] = np.nan
    assert found(Drift(), pair("a/kernel", BASE, near)) == []


@pytest.mark.parametrize("scale", [1e-6, 0.0])
def test_scales_that_start_at_almost_nothing_may_grow(scale: float) -> None:
    """LayerScale's 1e-6 and a residual branch's zeros become ordinary scales in training."""
    before, after = np.full(64, scale, np.float32), np.full(64, 0.3, np.float32)
    assert found(Drift(), pair("a/gamma", before, after, role=Role.NORM_SCALE)) == []


POLICY = {
    "plugins": ["weightaudit_rules"],
    "select": ["WA6"],
    "overrides": [
        {"tensors": ["a/*"], "rules": {"drift": {"cosine": -1.0, "relative": 10.0}}},
        {"tensors": ["b/*"], "ignore": ["WA601", "WA605"]},
        {"tensors": ["d/*"], "rules": {"update-ratio": {"max": 0.01}, "drift": {"severity": "error"}}},
    ],
}


def test_a_policy_sets_options_for_some_tensors() -> None:
    """Overrides change options, severity and selection of rules that judge whole models, per tensor."""
    pairs = [pair(f"{letter}/kernel", BASE, NEW) for letter in "abcd"]
    infos = [one.second for one in pairs if one.second is not None]
    rules = configure(load_registry(("weightaudit_rules",)), parse_policy(POLICY, "test"))
    stats = {info.name: Stats({}) for info in infos}
    model = Measured(infos, stats, (), beside(*pairs))
    findings, _, skipped = judge(model, duties(rules, infos), rules)
    assert skipped == []
    told = {(one.code, one.tensor, one.severity) for one in findings if one.code in {"WA601", "WA606"}}
    assert told == {
        ("WA601", "c/kernel", Severity.WARNING),
        ("WA601", "d/kernel", Severity.ERROR),
        ("WA606", "d/kernel", Severity.ERROR),
    }


def test_a_kernel_with_its_adapter_added_is_not_thawed() -> None:
    """Keras declares a kernel with low-rank adapters as not trained, and stores it with them added."""
    kernel = moving("a/kernel", trainable=False)
    assert names(found(ThawedTensor(), kernel)) == ["a/kernel"]
    bias = moving("a/bias", role=Role.BIAS, trainable=True)
    assert found(ThawedTensor(), kernel, bias) == []
    # With the adapters beside it, it is really frozen.
    adapters = [moving(f"a/lora_kernel_{side}", trainable=True) for side in "ab"]
    assert names(found(ThawedTensor(), kernel, bias, *adapters)) == ["a/kernel"]


def test_a_kernel_whose_adapters_are_trained_may_rest() -> None:
    """Beside low-rank adapters that move, their kernel rests, and takes no steps that could be too small."""
    pairs = [resting("a/kernel"), moving("a/lora_kernel_a"), moving("a/lora_kernel_b"), moving("b/kernel")]
    assert found(UnmovedTensor(), *pairs) == []
    assert found(UpdateRatio(min=1e-5), *pairs) == []
    assert names(found(UnmovedTensor(), *pairs, resting("c/kernel"))) == ["c/kernel"]
    assert names(found(UnmovedTensor(moving=("a/kernel",)), *pairs)) == ["a/kernel"]


def test_adapters_that_were_added_are_not_lost() -> None:
    """An adapter that is gone from beside a kernel that moved is a note; where it rests, an error."""
    gone = replace(resting("a/lora_kernel_a"), status=Status.REMOVED, second=None, match=None)
    assert [one.severity for one in found(StructureChanged(), moving("a/kernel"), gone)] == [Severity.NOTE]
    assert [one.severity for one in found(StructureChanged(), resting("a/kernel"), gone)] == [Severity.ERROR]


def test_frozen_weights_take_no_steps() -> None:
    """The smallest update is not demanded of what both models declare as frozen, unless it is named."""
    frozen = resting("a/kernel", trainable=False)
    assert found(UpdateRatio(min=1e-5), frozen, moving("b/kernel")) == []
    assert names(found(UpdateRatio(min=1e-5, tensors=("a/*",)), frozen)) == ["a/kernel"]


def test_a_glob_that_matches_nothing_is_told() -> None:
    """A misspelt glob would judge nothing in silence, so it is a warning that quotes it."""
    for rule in (UnmovedTensor(moving=("haed/*", "a/*")), ThawedTensor(frozen=("haed/*",))):
        told = [one for one in found(rule, moving("a/kernel")) if one.tensor is None]
        assert [(one.severity, "'haed/*'" in one.message) for one in told] == [(Severity.WARNING, True)]


def test_names_that_do_not_tell_are_no_loss() -> None:
    """In another container, as many tensors of a kind on either side are unclear; fewer are a loss."""
    gone = replace(resting("old/kernel"), status=Status.REMOVED, second=None, match=None)
    new = replace(resting("new/kernel"), status=Status.ADDED, first=None, match=None)
    pairs = (moving("a/kernel"), gone, new)
    for containers, tensors, worst, told in (
        (("x", "y"), pairs, Severity.WARNING, ["new/kernel"]),
        (("x", "x"), pairs, Severity.ERROR, ["old/kernel", "new/kernel"]),
        (("x", "y"), pairs[:2], Severity.ERROR, ["old/kernel"]),
    ):
        comparison = replace(beside(*tensors), containers=containers)
        infos = [one.second for one in tensors if one.second is not None]
        findings = list(StructureChanged().check_model(Measured(infos, {}, (), comparison)))
        assert max(one.severity for one in findings) is worst
        assert names(findings) == told


def test_a_model_that_shares_little_is_one_finding() -> None:
    """Where one tensor of five has a counterpart, and eight have none, one sentence stands for eight."""
    gone = [replace(resting(f"old_{n}/kernel"), status=Status.REMOVED, second=None) for n in range(4)]
    new = [replace(resting(f"new_{n}/kernel"), status=Status.ADDED, first=None) for n in range(4)]
    (one,) = found(StructureChanged(), moving("a/kernel"), *gone, *new)
    assert (one.tensor, one.severity) == (None, Severity.ERROR)
    assert one.message == "1 of 5 tensors matches one of good.keras: is that the same model?"
    rest = [moving(f"{n}/kernel") for n in range(8)]
    assert names(found(StructureChanged(), *rest, *gone, *new)) == [one.name for one in (*gone, *new)]


def test_the_layers_that_can_be_quantized_are_one_finding() -> None:
    """Two kernels of six that became int8 are one finding, for convolutions stay as they were."""
    whole = BASE.round(2)
    pairs = [pair(f"{n}/kernel", BASE, whole) for n in range(2)]
    int8 = [
        replace(
            one,
            status=Status.RETYPED,
            second=replace(one.second, dtype="int8", quantization=Quantization("int8", "scale")),
        )
        for one in pairs
        if one.second is not None
    ]
    (one,) = found(StructureChanged(), *int8, *(resting(f"conv_{n}/kernel") for n in range(4)))
    assert one.message.startswith("2 of its weights are int8, and float32 in the reference")


@pytest.mark.parametrize("share", [0.0, 1.0, 3.0])
def test_a_small_start_that_training_added_to_is_no_drift(share: float) -> None:
    """An embedding ten times as large is told where it lost or multiplied its start, not if it grew."""
    rng = np.random.default_rng(4)
    before = rng.uniform(-0.05, 0.05, (256, 16)).astype(np.float32)
    after = (share * before + rng.normal(0, 0.3, before.shape)).astype(np.float32)
    grown = pair("e/embeddings", before, after, role=Role.EMBEDDING, layer_class="Embedding")
    expected = [] if share == 1 else ["e/embeddings"]
    assert names(found(Drift(), grown)) == expected
    assert names(found(ChangedSigns(), grown)) == expected


def test_a_kernel_of_ordinary_size_that_noise_was_added_to_has_drifted() -> None:
    """What had the gain of an initializer before is not small, so noise on top of it is no growth."""
    rng = np.random.default_rng(4)
    before = rng.normal(0, 64**-0.5, (64, 16)).astype(np.float32)
    after = (before + rng.normal(0, 2 * 64**-0.5, before.shape)).astype(np.float32)
    assert names(found(Drift(), pair("d/kernel", before, after, fan_in=64))) == ["d/kernel"]


def test_one_channel_among_many() -> None:
    """One rewritten channel of 64 is told by its index, where the tensor as a whole shows nothing."""
    rng = np.random.default_rng(1)
    before = rng.normal(0, 0.1, (32, 64)).astype(np.float32)
    after = before + rng.normal(0, 0.005, before.shape).astype(np.float32)
    assert found(Drift(), pair("a/kernel", before, after)) == []
    after[:, 5] = rng.normal(0, 0.1, 32)
    (one,) = found(Drift(), pair("a/kernel", before, after))
    assert one.message.startswith("Output channel 5 of 64 has drifted")
    after[:, 9] = -before[:, 9]
    (two,) = found(Drift(), pair("a/kernel", before, after))
    assert two.message.startswith("Output channels (2 of 64, such as 9) have drifted")
    assert found(Drift(alone=1e3), pair("a/kernel", before, after)) == []
