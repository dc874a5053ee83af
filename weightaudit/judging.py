"""Runs rules on what was measured. A rule that crashes never looks like a rule that is satisfied."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from weightaudit.errors import RuleError
from weightaudit.report import Skipped
from weightaudit.rule import Finding, Measured, Severity

if TYPE_CHECKING:
    from weightaudit.registry import Judge, RuleSet
    from weightaudit.statistics import Statistic, Stats
    from weightaudit.tensor import TensorInfo


def judges_of(rules: RuleSet, info: TensorInfo) -> tuple[Judge, ...]:
    """Return the rules that judge a tensor.

    Raises:
        RuleError: A rule crashed when it was asked whether it applies.
    """
    try:
        return tuple(judge for judge in rules.judges_for(info) if judge.rule.applies(info))
    except Exception as error:
        raise RuleError(f"A rule crashed when it was shown {info.name} ({error!r}).") from error


def needs_of(judges: tuple[Judge, ...], info: TensorInfo) -> tuple[Statistic[Any], ...]:
    """Return the statistics that rules need of a tensor, each once.

    Raises:
        RuleError: A rule crashed when it was asked.
    """
    try:
        wanted = [statistic for judge in judges for statistic in judge.rule.needs(info)]
    except Exception as error:
        raise RuleError(f"A rule crashed when it was shown {info.name} ({error!r}).") from error
    return tuple(dict.fromkeys(wanted))


def judge(
    model: Measured, judges: Mapping[str, tuple[Judge, ...]], rules: RuleSet
) -> tuple[tuple[Finding, ...], list[Skipped]]:
    """Run all rules on a measured model.

    Args:
        model: The model.
        judges: The rules that judge each tensor, by its name.
        rules: All rules, for those that judge the model as a whole.

    Returns:
        Findings, worst first, then by code and tensor; and what a crashed rule left unjudged.
    """
    findings: list[Finding] = []
    skipped: list[Skipped] = []
    for info in model.tensors:
        if info.name in model.stats:
            for one in judges[info.name]:
                findings += _on_tensor(one, info, model.stats[info.name], skipped)
    for one in rules.judges:
        findings += _on_model(one, model, rules, skipped)
    return tuple(sorted(findings, key=_order)), skipped


def _on_tensor(judge: Judge, info: TensorInfo, stats: Stats, skipped: list[Skipped]) -> list[Finding]:
    try:
        return [_settle(judge, info, finding) for finding in _checked(judge.rule.check(info, stats))]
    except Exception as error:  # noqa: BLE001 - a plugin may raise anything
        skipped.append(Skipped(info.name, _crash(judge, error)))
        return []


def _on_model(judge: Judge, model: Measured, rules: RuleSet, skipped: list[Skipped]) -> Iterator[Finding]:
    try:
        found = list(_checked(judge.rule.check_model(model)))
    except Exception as error:  # noqa: BLE001 - a plugin may raise anything
        skipped.append(Skipped("", _crash(judge, error)))
        return
    infos = {info.name: info for info in model.tensors} if found else {}
    for finding in found:
        info = infos.get(finding.tensor or "")
        if info is None:
            yield _settle(judge, None, finding)
            continue
        # A policy can leave out a rule, or change its severity, for some tensors only.
        for own in rules.judges_for(info):
            if own.rule.code == judge.rule.code:
                yield _settle(own, info, finding)


def _checked(found: Iterable[object]) -> Iterator[Finding]:
    """Yield what a plugin gave, once it is known to be findings."""
    for finding in found:
        if not isinstance(finding, Finding):
            raise TypeError(f"it gave {finding!r}, which is no Finding")
        yield finding


def _settle(judge: Judge, info: TensorInfo | None, finding: Finding) -> Finding:
    """Give a finding its severity: the policy's, or at most a warning where the role is a guess."""
    if judge.severity is not None:
        return dataclasses.replace(finding, severity=judge.severity)
    if info is not None and judge.rule.relies_on_role and not info.is_certain:
        return dataclasses.replace(finding, severity=min(finding.severity, Severity.WARNING))
    return finding


def _crash(judge: Judge, error: Exception) -> str:
    return f"The rule {judge.rule.code} {judge.rule.name} crashed ({error!r}); please tell its author."


def _order(finding: Finding) -> tuple[int, str, str, str]:
    return (-finding.severity, finding.code, finding.tensor or "", finding.message)
