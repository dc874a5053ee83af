"""Who judges a tensor and what is measured for them: asked once per kind, with the same answer."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from weightaudit.errors import RuleError
from weightaudit.judging import duties, judge, with_needs_of_model
from weightaudit.policy import Policy, parse_policy
from weightaudit.portrait import Detail
from weightaudit.registry import Registry, RuleSet, configure, load_registry
from weightaudit.rule import Measured, Rule, Severity
from weightaudit.statistics import Extremes, Moments, NonFinite, Stats
from weightaudit.tensor import Declared, Evidence, Quantization, Role, TensorInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from weightaudit.rule import Finding
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

    def check(self, info: TensorInfo, stats: Stats) -> Iterator[Finding]:
        yield self.finding(info, "It has a name.")


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

    def check(self, info: TensorInfo, stats: Stats) -> Iterator[Finding]:
        yield self.finding(info, "It is a kernel.")


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
    tensors = [tensor(name) for name in ("xx", "xy", "a")]
    usual = Detail.FIGURES.statistics(tensors[0])
    found = duties(rule_set(Named, Kind), tensors, Detail.FIGURES)
    assert [judge.rule.code for judge in found["xx"].judges] == ["TT101", "TT102"]
    assert found["xx"].statistics == usual
    assert found["xy"].statistics == usual
    assert found["a"].statistics == usual
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


def test_a_crash_names_the_rule_and_the_tensor() -> None:
    """A rule that crashes when it is asked ends the audit with its own name and that of what it was shown."""
    with pytest.raises(RuleError, match=r"^The rule TT103 crashing crashed \(KeyError.* It was shown a\.$"):
        duties(rule_set(Named, Kind, Crashing), [tensor("a")])


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
                judges = [one for one in rules.judges_for(info) if one.rule.applies(info)]
                wanted = dict.fromkeys(need for one in judges for need in one.rule.needs(info))
                checking = tuple(one for one in judges if one.on_tensors)
                assert (duty.judges, duty.statistics) == (checking, tuple(wanted)), info


@dataclass(frozen=True)
class Whole(Rule):
    """Judges the whole model: names every tensor that it has measured, if it has a limit."""

    code: ClassVar[str] = "TT104"
    name: ClassVar[str] = "whole"
    severity: ClassVar[Severity] = Severity.WARNING

    limit: float | None = None

    def is_active(self) -> bool:
        return self.limit is not None

    def applies(self, info: TensorInfo) -> bool:
        return False

    def needs_of_model(self, model: Measured) -> Mapping[str, tuple[Statistic[Any], ...]]:
        return dict.fromkeys((info.name for info in model.tensors), (Extremes(),))

    def check_model(self, model: Measured) -> Iterator[Finding]:
        names = ", ".join(sorted(model.stats))
        for info in model.tensors:
            yield self.finding(info, f"Seen are {names} under {self.limit:g}.")


def judged(rules: RuleSet, *names: str) -> list[tuple[str, str | None, str]]:
    """Return what rules find in a model of kernels, all of which were measured."""
    tensors = [tensor(name) for name in names]
    stats = {name: Stats({Moments(): None}) for name in names}
    findings, _, skipped = judge(Measured(tensors, stats, ()), duties(rules, tensors), rules)
    assert skipped == []
    return [(one.code, one.tensor, one.message) for one in findings]


def test_a_rule_that_only_an_override_switches_on_sees_and_accuses_its_tensors_alone() -> None:
    """Of other tensors it was not asked what it needs, so it must not judge by what happens to be there."""
    rules = rule_set(Named, Whole, overrides=[{"tensors": ["b*"], "rules": {"whole": {"limit": 1}}}])
    assert judged(rules, "a", "b1", "b2") == [
        ("TT104", "b1", "Seen are b1, b2 under 1."),
        ("TT104", "b2", "Seen are b1, b2 under 1."),
    ]


def test_a_rule_in_force_sees_all_tensors_under_each_of_its_options() -> None:
    """Other options for some tensors judge those in view of the whole model, and each finding comes once."""
    override = {"tensors": ["b"], "rules": {"whole": {"limit": 2}}}
    rules = rule_set(Whole, rules={"whole": {"limit": 1}}, overrides=[override])
    assert judged(rules, "a", "b") == [
        ("TT104", "a", "Seen are a, b under 1."),
        ("TT104", "b", "Seen are a, b under 2."),
    ]


def test_a_rule_that_an_override_switches_on_is_asked_what_it_needs_of_the_model() -> None:
    """What it wants measured is measured, and tensors of one kind go on sharing their duty."""
    rules = rule_set(Named, Whole, overrides=[{"tensors": ["b*"], "rules": {"whole": {"limit": 1}}}])
    tensors = [tensor(name) for name in ("b1", "b2")]
    found = with_needs_of_model(duties(rules, tensors), rules, Measured(tensors, {}, ()))
    assert found["b1"].statistics == (Extremes(),)
    assert found["b1"] is found["b2"]


@dataclass(frozen=True)
class Telling(Rule):
    """Has a finding on each tensor, of the severity of its class."""

    relies_on_role: ClassVar[bool] = False

    def check(self, info: TensorInfo, stats: Stats) -> Iterator[Finding]:
        yield self.finding(info, "It is so.")


def superseding(*severities: Severity, **said: Any) -> RuleSet:
    """Return rules of these severities, of which each says more than all before it, under a policy."""
    codes = [f"TT20{number}" for number in range(len(severities))]
    facts: list[dict[str, Any]] = [
        {"code": code, "name": f"rule-{number}", "severity": severity, "supersedes": codes[:number]}
        for number, (code, severity) in enumerate(zip(codes, severities, strict=True))
    ]
    return rule_set(*(dataclass(frozen=True)(type("Told", (Telling,), one)) for one in facts), **said)


@pytest.mark.parametrize(
    ("severities", "codes"),
    [
        ((Severity.ERROR, Severity.ERROR, Severity.ERROR), ["TT202"]),
        ((Severity.NOTE, Severity.ERROR, Severity.WARNING), ["TT201"]),
        ((Severity.ERROR, Severity.WARNING, Severity.WARNING), ["TT200"]),
    ],
)
def test_one_fault_is_told_once(severities: tuple[Severity, ...], codes: list[str]) -> None:
    """Of rules that say the same of a tensor the worst is heard, and of equals the one that says most."""
    assert [code for code, _, _ in judged(superseding(*severities), "a")] == codes


@pytest.mark.parametrize(("code", "counts"), [("TT201", ["TT200"]), ("TT200", ["TT201"])])
def test_a_suppression_is_for_one_rule(code: str, counts: list[str]) -> None:
    """What is suppressed hides no finding of another rule, and is used though another one says as much."""
    rules = superseding(Severity.ERROR, Severity.ERROR, suppressions=[{"rule": code, "reason": "known"}])
    info = tensor("a")
    said = judge(Measured([info], {"a": Stats({Moments(): None})}, ()), duties(rules, [info]), rules)
    assert [one.code for one in said.findings] == counts
    assert [one.finding.code for one in said.suppressed] == [code]
