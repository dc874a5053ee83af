"""What a rule asks of single tensors in view of the whole model: measured for these, and for no others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from weightaudit.errors import RuleError
from weightaudit.judging import duties, with_needs_of_model
from weightaudit.portrait import Detail
from weightaudit.registry import RuleSet
from weightaudit.rule import Example, Measured, Rule, Severity
from weightaudit.statistics import Moments, Peak, Statistic
from weightaudit.tensor import TensorInfo
from weightaudit.testing import findings_of, tensor_info


@dataclass(frozen=True)
class Largest(Rule):
    """Names the tensor whose layer feeds another, if its peak is above one.

    It applies to no tensor.
    """

    code = "XY301"
    name = "largest"
    severity = Severity.WARNING

    def applies(self, info: TensorInfo) -> bool:
        return False

    def needs_of_model(self, model: Measured) -> Mapping[str, tuple[Statistic[Any], ...]]:
        feeding = {node.path for node in model.topology.nodes.values() if node.successors}
        return {info.name: (Peak(),) for info in model.tensors if info.layer in feeding}

    def check_model(self, model: Measured) -> Any:
        for name in self.needs_of_model(model):
            if model.stats[name][Peak()] > 1:
                yield self.finding(next(info for info in model.tensors if info.name == name), "It is large.")


@dataclass(frozen=True)
class Unwilling(Largest):
    """Crashes when it is asked."""

    code = "XY302"
    name = "unwilling"

    def needs_of_model(self, model: Measured) -> Mapping[str, tuple[Statistic[Any], ...]]:
        raise KeyError("no")


def chain(*names: str) -> dict[str, Any]:
    """Return the configuration of a sequential model of dense layers."""
    layers = [{"class_name": "Dense", "config": {"name": name}} for name in names]
    return {"class_name": "Sequential", "config": {"name": "model", "layers": layers}}


def infos(*names: str) -> list[TensorInfo]:
    """Return kernels of layers."""
    return [tensor_info(np.ones((2, 2)), name=f"{name}/kernel", layer=name) for name in names]


def test_only_what_was_named_is_measured_besides() -> None:
    """A statistic is added once to each tensor that a rule names; names that are unknown do not matter."""

    @dataclass(frozen=True)
    class Naming(Largest):
        """Names a tensor that there is, twice, and one that there is not."""

        def needs_of_model(self, model: Measured) -> Mapping[str, tuple[Statistic[Any], ...]]:
            return {"a/kernel": (Peak(), Moments(), Peak()), "nowhere": (Peak(),)}

    rules = RuleSet([Naming], {}, [])
    tensors = infos("a", "b")
    usual = Detail.FIGURES.statistics(tensors[0])
    tasks = duties(rules, tensors, Detail.FIGURES)
    found = with_needs_of_model(tasks, rules, Measured(tensors, {}, ()))
    assert found["a/kernel"].statistics == (*usual, Peak())
    assert found["b/kernel"].statistics == usual
    assert set(found) == {"a/kernel", "b/kernel"}


def test_a_rule_that_crashes_is_named() -> None:
    """Whoever wrote the rule is told what went wrong, as where it is asked about single tensors."""
    rules = RuleSet([Unwilling], {}, [])
    with pytest.raises(RuleError, match="XY302 unwilling"):
        with_needs_of_model({}, rules, Measured((), {}, ()))


def test_an_example_may_have_tensors_beside_it_and_a_configuration() -> None:
    """Rules about whole models are proved by examples too: several tensors, and which feeds which."""

    def judged(first: float, second: float) -> list[str | None]:
        example = Example(
            title="two layers",
            values=lambda: np.full((2, 2), first),
            severity=None,
            info={"name": "a/kernel", "layer": "a"},
            beside=(
                Example(
                    title="b",
                    values=lambda: np.full((2, 2), second),
                    severity=None,
                    info={"name": "b/kernel", "layer": "b"},
                ),
            ),
            config=chain("a", "b"),
        )
        return [finding.tensor for finding in findings_of(Largest(), example)]

    assert judged(2, 0) == ["a/kernel"]
    assert judged(0, 2) == []


def test_without_a_configuration_no_layer_feeds_another() -> None:
    """A model that was put together by hand has an empty topology."""
    assert Measured((), {}, ()).topology.nodes == {}
