"""Runs rules on what was measured. A rule that crashes never looks like a rule that is satisfied."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from weightaudit.errors import RuleError
from weightaudit.report import Skipped
from weightaudit.rule import Finding, Measured, Rule, Severity

if TYPE_CHECKING:
    from weightaudit.registry import Judge, RuleSet
    from weightaudit.statistics import Statistic, Stats
    from weightaudit.tensor import TensorInfo


class Duty(NamedTuple):
    """What is to be done with a tensor: who judges it, and what is measured for them, each once."""

    judges: tuple[Judge, ...]
    statistics: tuple[Statistic[Any], ...]


def duties(
    rules: RuleSet, tensors: Iterable[TensorInfo], always: tuple[Statistic[Any], ...] = ()
) -> dict[str, Duty]:
    """Return by its name what is to be done with each tensor; tensors of one kind share their duty.

    Args:
        rules: The rules in force.
        tensors: Tensors with numbers.
        always: Statistics that are measured whatever rules need.

    Raises:
        RuleError: A rule crashed when it was asked whether it applies, or what it needs.
    """
    known: dict[_Kind, Duty] = {}
    curious: dict[int, list[Judge]] = {}
    result: dict[str, Duty] = {}
    for info in tensors:
        try:
            judges = rules.judges_for(info)
            # The set of rules keeps the few tuples that it gives, so their identities stay their own.
            if id(judges) not in curious:
                curious[id(judges)] = [one for one in judges if not one.by_kind]
            result[info.name] = _duty(judges, curious[id(judges)], info, always, known)
        except Exception as error:
            raise RuleError(f"A rule crashed when it was shown {info.name} ({error!r}).") from error
    return result


_Kind = tuple[object, ...]
"""All that a rule which goes by kind may look at, and what the others said."""


def _duty(
    judges: tuple[Judge, ...],
    curious: list[Judge],
    info: TensorInfo,
    always: tuple[Statistic[Any], ...],
    known: dict[_Kind, Duty],
) -> Duty:
    """Look up or make the duty of one tensor; those who are curious want to be asked about each."""
    quantization = info.quantization
    asked = [one for one in curious if one.rule.applies(info)]
    kind = (
        id(judges), info.role, info.evidence, info.layer_class, info.shape, info.dtype,
        info.fan_in, info.fan_out, info.output_axes, info.gates,
        quantization and (quantization.mode, quantization.zero is None, quantization.group is None),
        *[(one.rule.code, tuple(one.rule.needs(info))) for one in asked],
    )  # fmt: skip
    duty = known.get(kind)
    if duty is None:
        chosen = tuple(one for one in judges if (one.rule.applies(info) if one.by_kind else one in asked))
        wanted = (statistic for one in chosen for statistic in one.rule.needs(info))
        duty = known[kind] = Duty(chosen, tuple(dict.fromkeys((*always, *wanted))))
    return duty


def judge(
    model: Measured, tasks: Mapping[str, Duty], rules: RuleSet
) -> tuple[tuple[Finding, ...], list[Skipped]]:
    """Run all rules on a measured model.

    Args:
        model: The model.
        tasks: What `duties` says of each tensor.
        rules: All rules, for those that judge the model as a whole.

    Returns:
        Findings, worst first, then by code and tensor; and what a crashed rule left unjudged.
    """
    findings: list[Finding] = []
    skipped: list[Skipped] = []
    for info in model.tensors:
        stats = model.stats.get(info.name)
        if stats is not None:
            _on_tensor(tasks[info.name].judges, info, stats, findings, skipped)
    for one in rules.judges:
        findings += _on_model(one, model, rules, skipped)
    for one in _variants(model, rules):
        findings += _on_model(one, model, rules, skipped, everywhere=False)
    return tuple(sorted(findings, key=_order)), skipped


def _on_tensor(
    judges: tuple[Judge, ...],
    info: TensorInfo,
    stats: Stats,
    findings: list[Finding],
    skipped: list[Skipped],
) -> None:
    """Let all rules judge a tensor, nearly always to find nothing."""
    for one in judges:
        try:
            found = [*one.rule.check(info, stats)]
            if found:
                findings += [_settle(one, info, finding) for finding in _checked(found)]
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything, and each for itself
            skipped.append(Skipped(info.name, _crash(one, error)))


def _variants(model: Measured, rules: RuleSet) -> list[Judge]:
    """Return rules that judge whole models with other options, as a policy gives them for some tensors."""
    known = {id(judges): judges for judges in map(rules.judges_for, model.tensors)}
    default = {one.rule.code: one.rule for one in rules.judges}
    found: list[Judge] = []
    for one in (one for judges in known.values() for one in judges):
        judges_models = type(one.rule).check_model is not Rule.check_model
        if (
            judges_models
            and default.get(one.rule.code) != one.rule
            and all(one.rule != other.rule for other in found)
        ):
            found.append(one)
    return found


def _on_model(
    judge: Judge, model: Measured, rules: RuleSet, skipped: list[Skipped], *, everywhere: bool = True
) -> Iterator[Finding]:
    """Let a rule judge a whole model; of its tensors it speaks of those that it has these options for."""
    try:
        found = list(_checked(judge.rule.check_model(model)))
    except Exception as error:  # noqa: BLE001 - a plugin may raise anything
        skipped.append(Skipped("", _crash(judge, error)))
        return
    infos = {info.name: info for info in model.tensors} if found else {}
    for finding in found:
        info = infos.get(finding.tensor or "")
        if info is None:
            if everywhere:
                yield _settle(judge, None, finding)
            continue
        # A policy can leave out a rule, or change its severity or options, for some tensors only.
        for own in rules.judges_for(info):
            if own.rule.code == judge.rule.code and own.rule == judge.rule:
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
