"""How a policy selects and configures rules, and what is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import pytest

from weightaudit.errors import PolicyError
from weightaudit.policy import Policy, parse_policy
from weightaudit.registry import Judge, Registry, RuleSet, configure, load_registry
from weightaudit.rule import Rule, Severity
from weightaudit.tensor import Role, TensorInfo

SOURCE = "weightaudit.toml"


@dataclass(frozen=True)
class Bound(Rule):
    """Judges by a bound."""

    code: ClassVar[str] = "TT101"
    name: ClassVar[str] = "bound"
    severity: ClassVar[Severity] = Severity.ERROR

    limit: float = 1.0
    count: int = 2
    label: str = "x"
    strict: bool = False
    axes: tuple[int, ...] = ()
    interval: tuple[float, float] = (0.0, 1.0)
    axis: int | tuple[int, ...] | None = 0
    level: Severity = Severity.NOTE
    roles: tuple[Role, ...] = ()
    kind: Literal["a", "b"] = "a"

    def __post_init__(self) -> None:
        if self.count < 0:
            raise ValueError("count must not be negative")


@dataclass(frozen=True)
class Silent(Rule):
    """Needs a number."""

    code: ClassVar[str] = "TT201"
    name: ClassVar[str] = "silent"
    severity: ClassVar[Severity] = Severity.WARNING

    limit: float | None = None
    axis: int = -1

    def is_active(self) -> bool:
        """Say whether there is a limit."""
        return self.limit is not None


REGISTRY = Registry((Bound, Silent))


def rule_set(table: dict[str, Any]) -> RuleSet:
    """Return what a policy makes of the two rules above."""
    return configure(REGISTRY, parse_policy(table, SOURCE))


def tensor(name: str, role: Role = Role.KERNEL, layer_class: str = "Dense") -> TensorInfo:
    """Return a tensor that a policy may single out."""
    return TensorInfo(name=name, key=name, shape=(2, 2), dtype="float32", role=role, layer_class=layer_class)


def codes(judges: tuple[Judge, ...]) -> list[str]:
    """Return the codes of the rules that judge."""
    return [judge.rule.code for judge in judges]


def option(name: str, value: object) -> Any:
    """Return an option of the first rule after it went through a policy."""
    return getattr(rule_set({"rules": {"TT101": {name: value}}}).judges[0].rule, name)


def test_a_rule_without_its_options_is_silent() -> None:
    """A rule that needs a number judges only once the policy gives it one."""
    assert codes(rule_set({}).judges) == ["TT101"]
    assert codes(rule_set({"rules": {"silent": {"limit": 3}}}).judges) == ["TT101", "TT201"]


@pytest.mark.parametrize("selector", ["ALL", "TT", "TT1", "TT101", "bound"])
def test_selectors(selector: str) -> None:
    """Rules are selected by code, by the beginning of a code, by name or all at once."""
    assert "TT101" in codes(rule_set({"select": [selector]}).judges)


def test_an_override_may_complete_the_options() -> None:
    """Options that only judge together with those of an override are no mistake."""
    override = {"roles": ["bias"], "rules": {"silent": {"limit": 1}}}
    rules = rule_set({"rules": {"silent": {"axis": 0}}, "overrides": [override]})
    assert codes(rules.judges_for(tensor("a/bias", Role.BIAS))) == ["TT101", "TT201"]


@pytest.mark.parametrize(
    ("project", "sentence"),
    [
        ("max_nrom(2)", "there is no projection 'max_nrom' (did you mean 'max_norm'?)"),
        ("max_norm(2, axes=0)", "it has no parameter 'axes' (did you mean 'axis'?)"),
    ],
)
def test_a_misspelt_projection_is_refused_with_the_policy(project: str, sentence: str) -> None:
    """What a policy asks to be projected is checked whenever it is configured, not only by a repair."""
    with pytest.raises(PolicyError) as caught:
        rule_set({"repair": [{"project": "non_neg"}, {"project": project}]})
    assert "repair[1].project: " in str(caught.value)
    assert sentence in str(caught.value)


def test_ignore_takes_out_of_the_selection() -> None:
    """What is ignored does not judge, whatever selected it."""
    judges = rule_set({"ignore": ["bound"], "rules": {"TT201": {"limit": 1}}}).judges
    assert codes(judges) == ["TT201"]


@pytest.mark.parametrize(
    ("name", "written", "expected"),
    [
        ("limit", 3, 3.0),
        ("limit", 2.5, 2.5),
        ("count", 7, 7),
        ("label", "y", "y"),
        ("strict", True, True),
        ("axes", [0, 1], (0, 1)),
        ("interval", [1, 2.5], (1.0, 2.5)),
        ("axis", 3, 3),
        ("axis", [0, 1], (0, 1)),
        ("axis", "none", None),
        ("level", "warning", Severity.WARNING),
        ("roles", ["kernel", "norm-scale"], (Role.KERNEL, Role.NORM_SCALE)),
        ("kind", "b", "b"),
    ],
)
def test_option_values(name: str, written: object, expected: object) -> None:
    """A value of TOML becomes exactly the type of the rule's field."""
    value = option(name, written)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("name", "written", "expected"),
    [
        ("limit", "3", "rules.TT101.limit must be a number, not '3', a string."),
        ("limit", True, "must be a number, not True, a boolean."),
        ("limit", float("nan"), "must be a number, not nan, a number."),
        ("count", 1.5, "must be an integer, not 1.5, a number."),
        ("strict", 1, "must be true or false, not 1, an integer."),
        ("axes", 1, "must be a list (each: an integer), not 1, an integer."),
        ("axes", ["a"], "must be a list (each: an integer)"),
        ("interval", [1.0], "must be a list of 2 (in order: a number; a number)"),
        ("axis", "x", "must be an integer, a list (each: an integer) or \"none\", not 'x', a string."),
        ("level", "bad", "must be one of note, warning, error"),
        ("kind", "c", "must be one of 'a', 'b'"),
        ("count", -1, "rules.TT101: count must not be negative."),
        ("limitt", 1, "TT101 bound has no option 'limitt' (did you mean 'limit'?)."),
        ("severty", "note", "has no option 'severty' (did you mean 'severity'?)."),
        ("kind", "A", "not 'A', a string (did you mean 'a'?)."),
        ("level", "warnin", "not 'warnin', a string (did you mean 'warning'?)."),
        ("roles", ["bias", "norm-scal"], "a list (did you mean 'norm_scale'?)."),
    ],
)
def test_wrong_option_values(name: str, written: object, expected: str) -> None:
    """A wrong type, and a bound of NaN that no value would ever exceed, are refused with file and key."""
    with pytest.raises(PolicyError) as caught:
        option(name, written)
    assert str(caught.value).startswith(f"{SOURCE}: rules.TT101")
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (
            {"select": ["TT102"]},
            "select: 'TT102' is no code, prefix or name of a rule (did you mean 'TT101'?).",
        ),
        (
            {"ignore": ["bund"]},
            "ignore: 'bund' is no code, prefix or name of a rule (did you mean 'bound'?).",
        ),
        ({"select": [""]}, "select: '' is no code"),
        ({"select": ["tt1"]}, "select: 'tt1' is no code, prefix or name of a rule (did you mean 'TT1'?)."),
        ({"select": ["all"]}, "(did you mean 'ALL'?)."),
        ({"rules": {"TT2": {}}}, "rules.TT2: there is no such rule (did you mean 'TT201'?)."),
        ({"rules": {"silent": {"axis": 0}}}, "rules.silent: TT201 silent judges nothing with these options"),
        (
            {"overrides": [{"roles": ["bias"], "rules": {"TT201": {"axis": 0}}}]},
            "overrides[0].rules.TT201: TT201 silent judges nothing",
        ),
        ({"rules": {"silet": {}}}, "rules.silet: there is no such rule (did you mean 'silent'?)."),
        ({"rules": {"TT101": {}, "bound": {}}}, "TT101 is configured twice, by its code and by its name."),
        ({"overrides": [{"roles": ["bias"], "ignore": ["XX"]}]}, "overrides[0].ignore: 'XX' is no code"),
        (
            {"overrides": [{"roles": ["bias"], "rules": {"TT101": {"limit": "a"}}}]},
            "overrides[0].rules.TT101.limit must be a number",
        ),
        ({"overrides": [{"roles": ["bias"], "rules": {"TT101": {"count": -1}}}]}, "must not be negative"),
        ({"select": []}, "nothing would be judged, because no rule is selected."),
        ({"select": ["silent"]}, "nothing would be judged, because the selected rules lack the options"),
    ],
)
def test_a_policy_that_no_rule_understands_is_refused(table: dict[str, Any], expected: str) -> None:
    """Unknown rules, and a policy that would judge nothing at all, never pass as a green gate."""
    with pytest.raises(PolicyError) as caught:
        rule_set(table)
    assert str(caught.value).startswith(f"{SOURCE}: ")
    assert expected in str(caught.value)


def test_the_policy_can_change_the_severity() -> None:
    """A severity in the policy reaches the judge; without one the rule decides."""
    assert rule_set({"rules": {"TT101": {"severity": "note"}}}).judges[0].severity is Severity.NOTE
    assert rule_set({}).judges[0].severity is None


def test_overrides_by_name_role_and_layer_class() -> None:
    """An override holds for the tensors that match each of its selectors, and for no other."""
    rules = rule_set(
        {
            "overrides": [
                {
                    "tensors": ["conv*/kernel", "head/*"],
                    "roles": ["kernel"],
                    "layer-classes": ["Conv?D", "*Embedding"],
                    "rules": {"bound": {"limit": 9}},
                }
            ]
        }
    )

    def limit(info: TensorInfo) -> object:
        return vars(rules.judges_for(info)[0].rule)["limit"]

    assert limit(tensor("conv1/kernel", layer_class="Conv2D")) == 9.0
    assert limit(tensor("head/deep/kernel", layer_class="Conv2D")) == 9.0
    assert limit(tensor("other/conv1/kernel", layer_class="Conv2D")) == 1.0
    assert limit(tensor("conv1/kernel", Role.BIAS, "Conv2D")) == 1.0
    assert limit(tensor("conv1/kernel", layer_class="Dense")) == 1.0
    assert limit(tensor("conv1/kernel", layer_class="SeparableConv2D")) == 1.0
    assert limit(tensor("head/kernel", layer_class="TokenEmbedding")) == 9.0


def test_globs_do_not_care_about_the_platform() -> None:
    """Globs tell upper from lower case everywhere."""
    rules = rule_set({"overrides": [{"tensors": ["conv*"], "ignore": ["ALL"]}]})
    assert rules.judges_for(tensor("conv1")) == ()
    assert codes(rules.judges_for(tensor("Conv1"))) == ["TT101"]


def test_later_overrides_win_and_add_up() -> None:
    """All overrides that match apply in order: options add up, and the last word counts."""
    rules = rule_set(
        {
            "rules": {"TT101": {"limit": 2, "label": "base"}},
            "overrides": [
                {"roles": ["kernel"], "rules": {"TT101": {"limit": 3, "severity": "note"}}},
                {"tensors": ["a*"], "rules": {"TT101": {"limit": 4}, "TT201": {"limit": 1}}},
            ],
        }
    )
    bound, silent = rules.judges_for(tensor("a"))
    assert (bound.rule, bound.severity) == (Bound(limit=4.0, label="base"), Severity.NOTE)
    assert silent.rule == Silent(limit=1.0)
    assert codes(rules.judges) == ["TT101"]


def test_overrides_for_single_tensors_keep_their_place() -> None:
    """Names without wildcards, globs and roles apply in the order of the policy, also where all match."""
    limits = [({"tensors": ["a", "b"]}, 2), ({"roles": ["kernel"]}, 3), ({"tensors": ["b"]}, 4)]
    limits += [
        ({"tensors": ["c", "[c]d"], "roles": ["kernel"]}, 5),
        ({"tensors": ["b"], "roles": ["bias"]}, 6),
    ]
    overrides = [{**selectors, "rules": {"bound": {"limit": limit}}} for selectors, limit in limits]
    rules = rule_set({"overrides": overrides})
    found = {
        name: vars(rules.judges_for(tensor(name))[0].rule)["limit"] for name in ("a", "b", "c", "cd", "d")
    }
    assert found == {"a": 3.0, "b": 4.0, "c": 5.0, "cd": 5.0, "d": 3.0}
    assert rules.judges_for(tensor("a", Role.BIAS))[0].rule == Bound(limit=2.0)


def test_judges_are_made_once_for_each_set_of_overrides() -> None:
    """Tensors that match the same overrides share their judges, so that many tensors cost little."""
    rules = rule_set({"overrides": [{"tensors": ["a*"], "ignore": ["TT2"]}]})
    assert rules.judges_for(tensor("a1")) is rules.judges_for(tensor("a2"))
    assert rules.judges_for(tensor("b1")) is rules.judges


def test_built_in_rules_come_through_their_entry_point() -> None:
    """The rules that ship with weightaudit are found, sorted, and judge by default."""
    registry = load_registry()
    found = [rule.code for rule in registry.rules]
    assert found == sorted(found)
    assert {"WA101", "WA201", "WA301", "WA402"} <= set(found)
    active = codes(configure(registry, Policy()).judges)
    assert "WA101" in active
    assert "WA301" not in active
