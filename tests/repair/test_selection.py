"""Which tensors a request means, and what rules propose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from weightaudit import Role, open_checkpoint
from weightaudit.errors import RepairError, RuleError, UsageError
from weightaudit.policy import Policy, RuleSettings
from weightaudit.projections.base import Phase, Projection
from weightaudit.registry import configure, load_registry
from weightaudit.repair.selection import Request, Selector, Wishes
from weightaudit.rule import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from weightaudit.checkpoint import Checkpoint
    from weightaudit.tensor import TensorInfo

MODELS = Path(__file__).parents[2] / "fixtures" / "models"


@dataclass(frozen=True)
class Nothing(Projection):
    """Leaves everything as it is."""

    late: bool = False
    name = "nothing"
    phase = Phase.CLIP

    def project(self, values: NDArray[Any], *, dtype: str | None = None) -> NDArray[Any]:
        return values


@dataclass(frozen=True)
class First(Nothing):
    """Comes before everything else."""

    name = "first"
    phase = Phase.REPLACE


@dataclass(frozen=True)
class Refusing(Nothing):
    """Is for no tensor."""

    name = "refusing"

    def bound(self, info: TensorInfo) -> Projection:
        raise RepairError(f"{info.name} is not for this.")


@pytest.fixture
def healthy() -> Iterator[Checkpoint]:
    """A small model with a convolution, normalization layers and a dense head."""
    with open_checkpoint(MODELS / "healthy.keras") as checkpoint:
        yield checkpoint


def names(tensors: list[TensorInfo]) -> list[str]:
    """Return the names of tensors."""
    return [info.name for info in tensors]


def test_without_a_selector_kernels_and_embeddings_are_meant(healthy: Checkpoint) -> None:
    """A projection that nobody said more about never touches biases or statistics."""
    chosen = Selector().choose(healthy)
    assert chosen
    assert {info.role for info in chosen} <= {Role.KERNEL, Role.EMBEDDING}


def test_globs_roles_and_classes_narrow_each_other(healthy: Checkpoint) -> None:
    """Parts of a selector are joined by and, the entries of a part by or."""
    both = Selector(tensors=("stem/*", "body/*"), roles=(Role.BIAS,)).choose(healthy)
    assert names(both) == ["stem/bias", "body/bias"]
    assert names(Selector(tensors=("stem/*",), layer_classes=("Conv*",)).choose(healthy)) == [
        "stem/kernel",
        "stem/bias",
    ]


def test_the_first_layer_is_that_of_the_configuration() -> None:
    """The container of the legacy model lists layers in another order than the model has them."""
    with open_checkpoint(MODELS / "legacy.h5") as checkpoint:
        assert names(Selector(first=True).choose(checkpoint)) == ["stem/kernel"]
        assert names(Selector(tensors=("*",), first=True).choose(checkpoint)) == ["stem/kernel", "stem/bias"]


def test_the_first_layer_is_never_guessed() -> None:
    """Weights without a configuration have no known order, and the message says what to do instead."""
    with (
        open_checkpoint(MODELS / "plain.weights.h5") as checkpoint,
        pytest.raises(UsageError, match="--first"),
    ):
        Selector(first=True).choose(checkpoint)


def test_a_glob_that_matches_nothing_is_wrong_usage(healthy: Checkpoint) -> None:
    """A typing error must not look like a model in which nothing was to be mended."""
    with pytest.raises(UsageError, match=r"stem/kernal.*did you mean 'stem/kernel'"):
        Selector(tensors=("stem/kernel", "stem/kernal")).choose(healthy)


def test_a_selector_that_means_no_projectable_tensor_is_wrong_usage(healthy: Checkpoint) -> None:
    """Where the parts contradict each other, the message repeats them."""
    with pytest.raises(UsageError, match="has the role embedding and belongs to a Conv2D"):
        Selector(roles=(Role.EMBEDDING,), layer_classes=("Conv2D",)).choose(healthy)


def test_training_state_is_meant_only_by_its_role() -> None:
    """A glob over everything leaves optimizer slots, counters and seeds alone."""
    with open_checkpoint(MODELS / "checkpoint" / "ckpt-1") as checkpoint:
        everything = Selector(tensors=("*",)).choose(checkpoint)
        assert everything
        assert not any(info.is_bookkeeping for info in everything)
        slots = Selector(roles=(Role.OPTIMIZER_SLOT,)).choose(checkpoint)
        assert {info.role for info in slots} == {Role.OPTIMIZER_SLOT}


def test_quantized_weights_are_never_projected() -> None:
    """What is stored of a quantized kernel are codes, and their scales belong to the quantizer."""
    with open_checkpoint(MODELS / "int8.keras") as checkpoint:
        chosen = Selector(tensors=("*",)).choose(checkpoint)
        assert all(info.quantization is None and info.role is not Role.QUANTIZATION for info in chosen)


def test_projections_run_in_the_order_of_their_phase_each_once(healthy: Checkpoint) -> None:
    """Two requests for one tensor are joined, whatever the order in which they were made."""
    wishes = Wishes(healthy)
    for projection in (Nothing(), First(), Nothing()):
        wishes.add_request(Request((projection,), Selector(tensors=("stem/bias",))))
    (assignment,) = wishes.assignments()
    assert (assignment.info.name, assignment.projections, assignment.rules) == (
        "stem/bias",
        (First(), Nothing()),
        (),
    )


def test_a_projection_may_refuse_a_tensor(healthy: Checkpoint) -> None:
    """What a projection says when it is bound to a tensor reaches the user."""
    wishes = Wishes(healthy)
    wishes.add_request(Request((Refusing(),), Selector(tensors=("stem/bias",))))
    with pytest.raises(RepairError, match="stem/bias is not for this"):
        wishes.assignments()


def test_a_finding_is_mended_by_what_its_rule_proposes(healthy: Checkpoint) -> None:
    """The rule's own options become the projection's parameters, and the rule is remembered."""
    policy = Policy(rules={"WA301": RuleSettings({"max": 0.5, "axis": [0, 1, 2], "roles": ["kernel"]})})
    rules = configure(load_registry(), policy)
    wishes = Wishes(healthy)
    finding = Finding("WA301", Severity.ERROR, "stem/kernel", "It is too long.")
    assert wishes.add_finding(finding, rules, None)
    (assignment,) = wishes.assignments()
    assert assignment.rules == ("WA301",)
    assert [projection.name for projection in assignment.projections] == ["max_norm"]


def test_a_donor_mends_what_no_rule_knows_a_projection_for(healthy: Checkpoint) -> None:
    """NaN has no projection; only a donor that the user names can give the values back."""
    rules = configure(load_registry(), Policy())
    finding = Finding("WA101", Severity.ERROR, "stem/kernel", "It holds NaN.")
    assert not Wishes(healthy).add_finding(finding, rules, None)
    wishes = Wishes(healthy)
    assert wishes.add_finding(finding, rules, First())
    assert wishes.assignments()[0].projections == (First(),)


def test_a_finding_about_the_model_has_no_projection(healthy: Checkpoint) -> None:
    """Only tensors are projected."""
    finding = Finding("WA111", Severity.ERROR, None, "Something is missing.")
    assert not Wishes(healthy).add_finding(finding, configure(load_registry(), Policy()), First())


def test_a_rule_that_crashes_when_asked_for_a_projection_is_named(
    healthy: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plugin's mistake is one sentence with its code, and no repair."""
    registry = load_registry()
    rule = registry.find("WA101")
    assert rule is not None

    def crash(_rule: object, _info: TensorInfo) -> Projection:
        raise KeyError("oops")

    monkeypatch.setattr(rule, "projection", crash)
    finding = Finding("WA101", Severity.ERROR, "stem/kernel", "It holds NaN.")
    with pytest.raises(RuleError, match=r"WA101 crashed.*oops"):
        Wishes(healthy).add_finding(finding, configure(registry, Policy()), None)
