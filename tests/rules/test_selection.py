"""Which tensors the rules judge."""

from __future__ import annotations

import numpy as np
import pytest

from weightaudit.rule import Example, Severity
from weightaudit.tensor import BOOKKEEPING_ROLES, Evidence, Role, TensorInfo
from weightaudit.testing import findings_of, measure, tensor_info
from weightaudit_rules.dead_channels import DeadChannels
from weightaudit_rules.exploding_scale import ExplodingScale
from weightaudit_rules.extreme_value import ExtremeValue
from weightaudit_rules.nan_values import NanValues
from weightaudit_rules.norm_bound import NormBound
from weightaudit_rules.value_bound import ValueBound


def info(
    role: Role = Role.KERNEL, name: str = "encoder/dense_1/kernel", layer_class: str = "Dense"
) -> TensorInfo:
    """Describe a 64 x 32 tensor."""
    return tensor_info(np.zeros((64, 32), np.float32), role=role, name=name, layer_class=layer_class)


@pytest.mark.parametrize(
    ("rule", "chosen"),
    [
        (ValueBound(max=1.0), True),
        (ValueBound(max=1.0, tensors=("encoder/*",)), True),
        (ValueBound(max=1.0, tensors=("decoder/*", "*/kernel")), True),
        (ValueBound(max=1.0, tensors=("decoder/*",)), False),
        (ValueBound(max=1.0, roles=(Role.KERNEL, Role.BIAS)), True),
        (ValueBound(max=1.0, roles=(Role.BIAS,)), False),
        (ValueBound(max=1.0, layer_classes=("Conv*", "Dense")), True),
        (ValueBound(max=1.0, layer_classes=("Conv*",)), False),
        (ValueBound(max=1.0, tensors=("encoder/*",), roles=(Role.BIAS,)), False),
    ],
)
def test_all_selectors_must_match(rule: ValueBound, *, chosen: bool) -> None:
    """Names, roles and classes narrow each other; inside one of them any entry is enough."""
    assert rule.applies(info()) is chosen


def test_without_selectors_kernels_and_embeddings_are_judged() -> None:
    """A bare `max = 3` is meant for matrices, not for biases or optimizer slots."""
    rule = NormBound(max=3.0)
    judged = {role for role in Role if rule.applies(info(role))}
    assert judged == {Role.KERNEL, Role.RECURRENT_KERNEL, Role.EMBEDDING}


def test_bookkeeping_is_judged_only_when_it_is_asked_for() -> None:
    """A class glob means the layer's weights; a name or a role may mean a slot."""
    slot = info(Role.OPTIMIZER_SLOT, "optimizer/dense/kernel/velocity")
    assert not ValueBound(max=1.0, layer_classes=("Dense",)).applies(slot)
    assert ValueBound(max=1.0, tensors=("optimizer/*",)).applies(slot)
    assert ValueBound(max=1.0, roles=(Role.OPTIMIZER_SLOT,)).applies(slot)


@pytest.mark.parametrize("role", sorted(BOOKKEEPING_ROLES))
def test_bookkeeping_has_no_scale(role: Role) -> None:
    """Counters, metrics and slots hold any magnitude; only NaN and Inf are told of them."""
    tensor = info(role)
    assert not any(rule.applies(tensor) for rule in (ExtremeValue(), ExplodingScale(), DeadChannels()))
    assert NanValues().applies(tensor)


@pytest.mark.parametrize(
    ("evidence", "severity"), [(Evidence.NAME, Severity.WARNING), (Evidence.GUESS, Severity.ERROR)]
)
def test_a_guess_never_opens_the_gate(evidence: Evidence, severity: Severity) -> None:
    """NaN in a slot is a warning only where it is known that it is one; a guess may be a weight."""
    values = np.full(4, np.nan, np.float32)
    tensor = tensor_info(values, role=Role.OPTIMIZER_SLOT, evidence=evidence)
    (finding,) = NanValues().check(tensor, measure(values, NanValues().needs(tensor), tensor))
    assert finding.severity is severity


@pytest.mark.parametrize(
    ("role", "severity"),
    [
        (Role.KERNEL, Severity.ERROR),
        (Role.BIAS, Severity.ERROR),
        (Role.MOVING_VARIANCE, Severity.WARNING),
        (Role.UNKNOWN, Severity.WARNING),
    ],
)
def test_what_is_extreme_depends_on_the_role(role: Role, severity: Severity) -> None:
    """4e9 is damage in a kernel; in a variance, or where the role is unknown, it may be the data."""
    values = np.array([1, 2, 4e9], np.float32)
    example = Example(title="4e9", values=lambda: values, severity=severity, info={"role": role})
    (finding,) = findings_of(ExtremeValue(), example)
    assert finding.severity is severity


def test_gain_is_relative_to_fan_in() -> None:
    """The same weights explode with 4096 inputs and are fine with 16."""
    rule = ExplodingScale(warning=100, error=1000)
    for fan_in, expected in ((16, 0), (4096, 1)):
        values = np.random.default_rng(1).normal(0, 3, (fan_in, 8)).astype(np.float32)
        tensor = tensor_info(values)
        assert len(list(rule.judge(tensor, measure(values, rule.needs(tensor), tensor)))) == expected


def test_dead_channels_follow_the_output_axes() -> None:
    """A transposed convolution keeps its output channels on the second last axis."""
    values = np.random.default_rng(1).normal(0, 0.1, (3, 3, 8, 4)).astype(np.float32)
    values[:, :, 2] = 0
    rule = DeadChannels()
    for axes, dead in (((3,), None), ((2,), 1), ((-2, -1), 4)):
        tensor = tensor_info(values, output_axes=axes)
        found = list(rule.check(tensor, measure(values, rule.needs(tensor), tensor)))
        assert [finding.values["dead"] for finding in found] == ([] if dead is None else [dead])
