"""Tries the examples that a policy carries, as an audit of a model with these tensors would judge them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from weightaudit.errors import PolicyError, RuleError
from weightaudit.judging import duties, judge, with_needs_of_model
from weightaudit.policy.tensors import made
from weightaudit.registry import configure
from weightaudit.render.escape import MESSAGE_LIMIT, printable
from weightaudit.rule import Measured, Severity
from weightaudit.testing import measure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from weightaudit.policy import Policy, PolicyTest
    from weightaudit.registry import Registry, RuleSet
    from weightaudit.rule import Finding


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of one example.

    Attributes:
        test: The example.
        findings: All findings, worst first.
        problem: Why it is not as it must be; empty if it is.
    """

    test: PolicyTest
    findings: tuple[Finding, ...]
    problem: str

    @property
    def is_right(self) -> bool:
        """Whether the policy does with the tensor what it must."""
        return not self.problem


def trials(policy: Policy, registry: Registry) -> list[Trial]:
    """Try every example of a policy.

    Args:
        policy: The policy.
        registry: The rules that there are.

    Raises:
        PolicyError: The policy is wrong, or an example describes no tensor.
        RuleError: A rule crashed.
    """
    rules = configure(registry, policy)
    return [_tried(one, policy, registry, rules) for one in policy.tests]


def trials_text(tried: Sequence[Trial], source: str) -> str:
    """Return the outcome, a line for each example and one for all, as text that ends with a line end."""
    lines: list[str] = []
    for one in tried:
        word = "ok    " if one.is_right else "FAILED"
        title = f" {printable(one.test.title)}" if one.test.title else ""
        lines.append(f"{word} {printable(one.test.where)}{title}: must {one.test.must}")
        if one.problem:
            lines.append(f"       {printable(one.problem, MESSAGE_LIMIT)}")
    right = sum(one.is_right for one in tried)
    lines.append(f"{printable(source)}: {right} of {len(tried)} examples are as they must be.")
    return "\n".join(lines) + "\n"


def _tried(test: PolicyTest, policy: Policy, registry: Registry, rules: RuleSet) -> Trial:
    asked = _asked(test, registry)
    findings = _findings(test, rules)
    level = test.level or policy.fail_on or Severity.NOTE
    failing = [one for one in findings if one.severity >= level and (not asked or one.code in asked)]
    if test.must == "pass":
        problem = f"It fails: {_told(failing[0])}" if failing else ""
        return Trial(test, findings, problem)
    silent = [code for code in asked if all(one.code != code for one in failing)]
    if failing and not silent:
        return Trial(test, findings, "")
    return Trial(test, findings, _why_passed(silent, findings, level, rules))


def _asked(test: PolicyTest, registry: Registry) -> list[str]:
    codes: list[str] = []
    for key in test.rules:
        rule = registry.find(key)
        if rule is None:
            hint = registry.suggestion(key)
            raise PolicyError(f"{test.where}.rules: {key!r} is no code and no name of a rule{hint}.")
        codes.append(rule.code)
    return codes


def _findings(test: PolicyTest, rules: RuleSet) -> tuple[Finding, ...]:
    """Judge the tensors of an example as a model of their own, suppressions included."""
    parts = [(test.tensor, f"{test.where}.tensor")]
    parts += [(one, f"{test.where}.beside[{index}]") for index, one in enumerate(test.beside)]
    tensors = [made(written, where) for written, where in parts]
    names = [info.name for info, _ in tensors]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise PolicyError(f"{test.where}: two tensors are called {twice!r}; give each a name of its own.")
    model = Measured([info for info, _ in tensors], {}, ())
    tasks = with_needs_of_model(duties(rules, model.tensors), rules, model)
    stats = {info.name: measure(values, tasks[info.name].statistics, info) for info, values in tensors}
    judged = judge(replace(model, stats=stats), tasks, rules)
    if judged.skipped:
        raise RuleError(f"{test.where}: {judged.skipped[0].reason}")
    return judged.findings


def _why_passed(silent: Sequence[str], findings: Sequence[Finding], level: Severity, rules: RuleSet) -> str:
    """Say why an example passes that must fail."""
    for code in silent:
        if code not in rules.codes():
            return f"It passes: {code} does not judge under this policy; it is left out, or lacks options."
        lesser = next((one for one in findings if one.code == code), None)
        if lesser is not None:
            return f"It passes: {_told(lesser)} That is below {level.label}."
    if silent:
        return f"It passes: {', '.join(silent)} {'finds' if len(silent) == 1 else 'find'} nothing."
    if findings:
        return f"It passes: the worst is {_told(findings[0])} That is below {level.label}."
    return "It passes: no rule finds anything."


def _told(finding: Finding) -> str:
    place = "" if finding.tensor is None else f" of {finding.tensor}"
    return f"{finding.severity.label} {finding.code}{place}: {finding.message}"
