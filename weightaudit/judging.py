"""Runs rules on what was measured. A rule that crashes never looks like a rule that is satisfied."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, permutations
from typing import TYPE_CHECKING, Any, NamedTuple

from weightaudit.errors import RuleError
from weightaudit.portrait import Detail
from weightaudit.report import Skipped
from weightaudit.rule import Finding, Measured, Severity
from weightaudit.suppressing import suppress

if TYPE_CHECKING:
    from weightaudit.registry import Judge, RuleSet
    from weightaudit.report import Suppressed
    from weightaudit.statistics import Statistic, Stats
    from weightaudit.tensor import TensorInfo


class Duty(NamedTuple):
    """What is to be done with a tensor: who judges it alone, and what is measured for all, each once."""

    judges: tuple[Judge, ...]
    statistics: tuple[Statistic[Any], ...]


class Judged(NamedTuple):
    """What rules say of a model.

    Attributes:
        findings: What counts, worst first, then by code and tensor.
        suppressed: What the policy suppresses, in the same order.
        skipped: What a crashed rule left unjudged.
    """

    findings: tuple[Finding, ...]
    suppressed: tuple[Suppressed, ...]
    skipped: list[Skipped]


def duties(rules: RuleSet, tensors: Iterable[TensorInfo], detail: Detail = Detail.VERDICT) -> dict[str, Duty]:
    """Return by its name what is to be done with each tensor; tensors of one kind share their duty.

    Args:
        rules: The rules in force.
        tensors: Tensors with numbers.
        detail: What is measured whatever the rules need.

    Raises:
        RuleError: A rule crashed when it was asked whether it applies, or what it needs.
    """
    known: dict[_Kind, Duty] = {}
    curious: dict[int, list[Judge]] = {}
    result: dict[str, Duty] = {}
    for info in tensors:
        judges = rules.judges_for(info)
        try:
            # The set of rules keeps the few tuples that it gives, so their identities stay their own.
            if id(judges) not in curious:
                curious[id(judges)] = [one for one in judges if not one.by_kind]
            result[info.name] = _duty(judges, curious[id(judges)], info, detail, known)
        except Exception as error:
            raise RuleError(f"{_crash(_culprit(judges, info), error)} It was shown {info.name}.") from error
    return result


def _culprit(judges: Iterable[Judge], info: TensorInfo) -> Judge | None:
    """Return the rule that crashes when it is asked about a tensor; None if it does so no more."""
    for one in judges:
        try:
            if one.rule.applies(info):
                set(one.rule.needs(info))
        except Exception:  # noqa: BLE001 - whatever it is, the rule is found
            return one
    return None


def with_needs_of_model(tasks: Mapping[str, Duty], rules: RuleSet, model: Measured) -> dict[str, Duty]:
    """Return the duties with what rules want measured of single tensors in view of the whole model.

    Args:
        tasks: What `duties` says.
        rules: The rules in force.
        model: The model, without statistics.

    Raises:
        RuleError: A rule crashed when it was asked what it needs.
    """
    wanted: defaultdict[str, list[Iterable[Statistic[Any]]]] = defaultdict(list)
    for one in (*rules.judges, *_variants(model, rules)):
        try:
            needs = one.rule.needs_of_model(model)
        except Exception as error:
            raise RuleError(_crash(one, error)) from error
        for name, statistics in needs.items():
            if name in tasks:
                wanted[name].append(statistics)
    # Tensors of one kind go on sharing their duty. What is in `wanted` keeps its identity.
    known: dict[tuple[int, ...], Duty] = {}
    result = dict(tasks)
    for name, more in wanted.items():
        duty = tasks[name]
        key = (id(duty), *map(id, more))
        if key not in known:
            known[key] = Duty(duty.judges, tuple(dict.fromkeys(chain(duty.statistics, *more))))
        result[name] = known[key]
    return result


_Kind = tuple[object, ...]
"""All that a rule which goes by kind may look at, and what the others said."""


def _duty(
    judges: tuple[Judge, ...],
    curious: list[Judge],
    info: TensorInfo,
    detail: Detail,
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
        chosen = [one for one in judges if (one.rule.applies(info) if one.by_kind else one in asked)]
        wanted = (statistic for one in chosen for statistic in one.rule.needs(info))
        checking = tuple(one for one in chosen if one.on_tensors)
        duty = known[kind] = Duty(checking, tuple(dict.fromkeys((*detail.statistics(info), *wanted))))
    return duty


def judge(model: Measured, tasks: Mapping[str, Duty], rules: RuleSet, path: str = "") -> Judged:
    """Run all rules on a measured model.

    Args:
        model: The model.
        tasks: What `duties` says of each tensor.
        rules: All rules, for those that judge the model as a whole, and what the policy suppresses.
        path: The model's path in the report, which suppressions may name.
    """
    findings: list[Finding] = []
    skipped: list[Skipped] = []
    for info in model.tensors:
        stats = model.stats.get(info.name)
        if stats is not None:
            _on_tensor(tasks[info.name].judges, info, stats, findings, skipped)
    for one in rules.judges:
        if one.on_models:
            findings += _on_model(one, model, rules, skipped)
    for one in _variants(model, rules):
        findings += _on_model(one, _seen_by(one, model, rules), rules, skipped, everywhere=False)
    # A suppression is for one rule: what its rule would supersede counts, and what it covers is not unused.
    counting, suppressed = suppress(sorted(findings, key=_order), path, rules.excuses)
    return Judged(tuple(sorted(_once(counting, rules), key=_order)), suppressed, skipped)


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
    if len(rules.variants()) == 1:
        return []
    known = {id(judges): judges for judges in map(rules.judges_for, model.tensors)}
    default = {one.rule.code: one.rule for one in rules.judges}
    found: list[Judge] = []
    for one in (one for judges in known.values() for one in judges):
        if (
            one.on_models
            and default.get(one.rule.code) != one.rule
            and all(one.rule != other.rule for other in found)
        ):
            found.append(one)
    return found


def _seen_by(judge: Judge, model: Measured, rules: RuleSet) -> Measured:
    """Return the model as a variant sees it: of a rule that is not in force, few tensors were measured."""
    if any(one.rule.code == judge.rule.code for one in rules.judges):
        return model
    own = {
        info.name for info in model.tensors if any(one.rule == judge.rule for one in rules.judges_for(info))
    }
    return dataclasses.replace(model, stats={name: one for name, one in model.stats.items() if name in own})


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


def _once(findings: Iterable[Finding], rules: RuleSet) -> list[Finding]:
    """Leave out findings that say of a tensor what a more telling rule says as well.

    Of a pair the worse one stays, of two that are equally bad the one whose rule supersedes the other's.
    Only what stays may push out another one, so the worst of a tensor is never lost.
    """
    weaker = {one.rule.code: one.rule.supersedes for judges in rules.variants() for one in judges}
    by_tensor: dict[str | None, list[Finding]] = defaultdict(list)
    for finding in findings:
        by_tensor[finding.tensor].append(finding)
    for name, left in by_tensor.items():
        for one, other in permutations(left if name is not None else (), 2):
            if other.code in weaker.get(one.code, ()) and one in left and other in left:
                left.remove(other if other.severity <= one.severity else one)
    return [finding for left in by_tensor.values() for finding in left]


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


def _crash(judge: Judge | None, error: Exception) -> str:
    who = f"The rule {judge.rule.code} {judge.rule.name}" if judge else "A rule"
    return f"{who} crashed ({error!r}); please tell its author."


def _order(finding: Finding) -> tuple[int, str, str, str]:
    return (-finding.severity, finding.code, finding.tensor or "", finding.message)
