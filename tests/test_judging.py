"""Who judges a tensor and what is measured for them: asked once per kind, with the same answer."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from weightaudit.errors import RuleError
from weightaudit.judging import duties
from weightaudit.policy import Policy, parse_policy
from weightaudit.registry import Registry, RuleSet, configure, load_registry
from weightaudit.rule import Rule, Severity
from weightaudit.statistics import Extremes, Moments, NonFinite
from weightaudit.tensor import Declared, Evidence, Quantization, Role, TensorInfo

if TYPE_CHECKING:
    from weightaudit.statistics import Statistic

ASKED: Counter[str] = Counter()


@dataclass(frozen=True)
class Named(Rule):
    """Judges tensors by their names."""

    code: ClassVar[str] = "TT101"
    name: ClassVar[str] = "named"
    severity: ClassVar[Severity] = Severity.ERROR

    def applies(self, info: TensorInfo) -> bool:
        ASKED[self.name] += 1
        return info.name.startswith("x")

    def needs(self, info: TensorInfo) -> tuple[Statistic[Any], ...]:
        return (Extremes(),) if info.name.endswith("y") else (Moments(),)


@dataclass(frozen=True)
class Kind(Rule):
    """Judges kernels."""

    code: ClassVar[str] = "TT102"
    name: ClassVar[str] = "kind"
    severity: ClassVar[Severity] = Severity.ERROR

    def goes_by_kind(self) -> bool:
        return True

    def applies(self, info: TensorInfo) -> bool:
        ASKED[self.name] += 1
        return info.role is Role.KERNEL

    def needs(self, info: TensorInfo) -> tuple[Statistic[Any], ...]:
        return (Moments(), NonFinite())


@dataclass(frozen=True)
class Crashing(Rule):
    """Crashes."""

    code: ClassVar[str] = "TT103"
    name: ClassVar[str] = "crashing"
    severity: ClassVar[Severity] = Severity.ERROR
    where: dict[str, str] = field(default_factory=dict[str, str], init=False)

    def applies(self, info: TensorInfo) -> bool:
        return bool(self.where[info.name])


def rule_set(*rules: type[Rule], **table: Any) -> RuleSet:
    """Return the rules under a policy."""
    return configure(Registry(rules), parse_policy(table, "test"))


def tensor(name: str, **facts: Any) -> TensorInfo:
    """Return a kernel, or what the facts say."""
    facts = {"shape": (4, 4), "dtype": "float32", "role": Role.KERNEL, **facts}
    return TensorInfo(name=name, key=name, **facts)


def test_a_rule_that_goes_by_kind_is_asked_once() -> None:
    """Of a hundred tensors of two kinds, only the rule that looks at names is asked about each."""
    ASKED.clear()
    tensors = [tensor(f"a{number}", role=(Role.KERNEL, Role.BIAS)[number % 2]) for number in range(100)]
    found = duties(rule_set(Named, Kind), tensors)
    assert dict(ASKED) == {"named": 100, "kind": 2}
    assert [judge.rule.code for judge in found["a0"].judges] == ["TT102"]
    assert found["a1"].judges == ()
    assert found["a0"] is found["a98"]


def test_names_still_count() -> None:
    """Tensors of one kind get the judges and the statistics that their own names ask for, each once."""
    found = duties(rule_set(Named, Kind), [tensor(name) for name in ("xx", "xy", "a")], always=(Extremes(),))
    assert [judge.rule.code for judge in found["xx"].judges] == ["TT101", "TT102"]
    assert found["xx"].statistics == (Extremes(), Moments(), NonFinite())
    assert found["xy"].statistics == (Extremes(), Moments(), NonFinite())
    assert found["a"].statistics == (Extremes(), Moments(), NonFinite())
    assert [judge.rule.code for judge in found["a"].judges] == ["TT102"]


def test_lists_of_statistics_count() -> None:
    """A rule may give its needs as a list, whether it goes by kind or not."""

    @dataclass(frozen=True)
    class Listing(Named):
        def needs(self, info: TensorInfo) -> Any:
            return list(super().needs(info))

    found = duties(rule_set(Listing), [tensor("xx"), tensor("xy")])
    assert found["xx"].statistics == (Moments(),)
    assert found["xy"].statistics == (Extremes(),)


def test_the_kind_of_quantization_counts() -> None:
    """Tensors with and without zero points or groups are of different kinds, whatever the keys of these."""

    @dataclass(frozen=True)
    class Grouped(Kind):
        def applies(self, info: TensorInfo) -> bool:
            return info.quantization is not None and info.quantization.group is not None

    quantized = [Quantization("int4", "s"), Quantization("int4", "t", group="g"), Quantization("int4", "u")]
    tensors = [tensor(one.scale, quantization=one, dtype="int8") for one in quantized]
    found = duties(rule_set(Grouped), tensors)
    assert [len(found[name].judges) for name in "stu"] == [0, 1, 0]
    assert found["s"] is found["u"]


def test_overrides_still_count() -> None:
    """Where a policy leaves a rule out for some names, tensors of one kind have different judges."""
    rules = rule_set(Kind, overrides=[{"tensors": ["b*"], "ignore": ["kind"]}])
    found = duties(rules, [tensor("a"), tensor("b")])
    assert (len(found["a"].judges), len(found["b"].judges)) == (1, 0)


def test_a_crash_names_the_tensor() -> None:
    """A rule that crashes when it is asked ends the audit with the name of what it was shown."""
    with pytest.raises(RuleError, match="shown a "):
        duties(rule_set(Crashing), [tensor("a")])


def variants() -> list[TensorInfo]:
    """Return tensors that differ from each other in every fact that a built-in rule may look at."""
    changes: list[dict[str, Any]] = [
        {},
        *[{"role": role} for role in Role],
        *[
            {"dtype": dtype}
            for dtype in ("float16", "float64", "bfloat16", "int8", "float8_e5m2", "complex64")
        ],
        *[{"shape": shape} for shape in ((), (3,), (16,), (4, 4, 4), (0, 4))],
        *[{"layer_class": name} for name in ("Normalization", "BatchNormalization", "Embedding")],
        *[{"fan_in": 4, "fan_out": 4, "output_axes": axes} for axes in ((0,), (1,), (-1,))],
        {"gates": 4},
        {"quantization": Quantization("int8", "scale"), "dtype": "int8"},
    ]
    slots = [f"optimizer/dense/kernel/{slot}" for slot in ("velocity", "momentum")]
    return [
        replace(tensor(f"t{number}"), **change, evidence=evidence)
        for number, change in enumerate(changes)
        for evidence in Evidence
    ] + [tensor(name, role=Role.OPTIMIZER_SLOT, evidence=Evidence.NAME) for name in slots]


@pytest.mark.parametrize(
    "twist", [{}, {"trainable": False}, {"constraint": Declared("MaxNorm"), "layer": "l"}]
)
def test_built_in_rules_keep_their_word(twist: dict[str, Any]) -> None:
    """Shared duties of all kinds of tensors are what the built-in rules say when asked about each alone."""
    options = {
        "rules": {"norm-bound": {"max": 1}, "sparsity": {"max": 0.5}, "unit-norm": {"tensors": ["t1*"]}}
    }
    for policy in (Policy(), parse_policy(options, "test")):
        rules = configure(load_registry(), policy)
        for order in (1, -1):
            tensors = [replace(one, name=f"{one.name}/{n}", **twist) for n, one in enumerate(variants())]
            for info, duty in zip(tensors[::order], duties(rules, tensors[::order]).values(), strict=True):
                judges = tuple(one for one in rules.judges_for(info) if one.rule.applies(info))
                wanted = dict.fromkeys(need for one in judges for need in one.rule.needs(info))
                assert (duty.judges, duty.statistics) == (judges, tuple(wanted)), info
