"""The audit: open, measure once, judge, report."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weightaudit.catalog import Absent
from weightaudit.checkpoint import Checkpoint, open_checkpoint
from weightaudit.discover import Target, discover
from weightaudit.engine.numpy_engine import Measurement, Subject, measure
from weightaudit.errors import ReadError, RuleError, UnsupportedFormatError
from weightaudit.limits import DEFAULT_LIMITS, Limits
from weightaudit.policy import Policy
from weightaudit.registry import configure, load_registry
from weightaudit.report import Coverage, ModelReport, Report, Skipped
from weightaudit.rule import Finding, Measured, Severity
from weightaudit.statistics import Extremes, Moments, NonFinite, Statistic, Stats, Zeros

if TYPE_CHECKING:
    from weightaudit.registry import Judge, RuleSet
    from weightaudit.tensor import TensorInfo

Progress = Callable[[str, int, int], None]
"""Called with the model's label, the bytes that were read, and the bytes that there are."""

PORTRAIT: tuple[Statistic[Any], ...] = (NonFinite(), Extremes(), Moments(), Zeros())
"""What is measured of every tensor when all statistics are wanted, whatever the rules need."""


def audit(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    policy: Policy | None = None,
    limits: Limits = DEFAULT_LIMITS,
    workers: int | None = None,
    verbose: bool = False,
) -> Report:
    """Audit one or more saved models.

    Args:
        paths: Files, directories or globs; directories are searched for models.
        policy: Which rules judge, with which options; by default the built-in rules as they come.
        limits: Bounds on what a file may ask for.
        workers: Threads that read and measure; by default one per usable CPU, at most 8.
        verbose: Whether every tensor's basic statistics are measured and kept in the report.

    Returns:
        The report; a model that cannot be read is in it with its reason, not an exception.

    Raises:
        UsageError: A path does not exist, or the policy is wrong.
        RuleError: A rule could not be loaded.
        UnsupportedFormatError: A directory holds no saved model.
    """
    policy = policy or Policy()
    names = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    rules = configure(load_registry(policy.plugins), policy)
    targets = discover([os.fspath(name) for name in names])
    return audit_targets(
        targets, rules, fail_on=policy.fail_on, limits=limits, workers=workers, verbose=verbose
    )


def audit_targets(
    targets: Sequence[Target],
    rules: RuleSet,
    *,
    fail_on: Severity | None = Severity.ERROR,
    limits: Limits = DEFAULT_LIMITS,
    workers: int | None = None,
    progress: Progress | None = None,
    verbose: bool = False,
) -> Report:
    """Audit models that were found already; see `audit`."""
    models: list[ModelReport] = []
    for target in targets:
        try:
            models.append(_audit_target(target, rules, limits, workers, progress, verbose=verbose))
        except UnsupportedFormatError as error:
            # What a search turned up and is no model is left alone; what was asked for by name is not.
            if target.explicit:
                models.append(ModelReport(target.label, failure=str(error)))
        except (ReadError, RuleError) as error:
            models.append(ModelReport(target.label, failure=str(error)))
    return Report(tuple(models), fail_on)


def _audit_target(
    target: Target,
    rules: RuleSet,
    limits: Limits,
    workers: int | None,
    progress: Progress | None,
    *,
    verbose: bool,
) -> ModelReport:
    with open_checkpoint(Path(target.path), limits=limits) as checkpoint:
        judges = {info.name: _judges(rules, info) for info in checkpoint if info.is_numeric}
        subjects, skipped = _subjects(checkpoint, judges, verbose=verbose)
        total = sum(info.nbytes for info in checkpoint)
        done = 0

        def advance(nbytes: int) -> None:
            nonlocal done
            done = min(total, done + nbytes)
            if progress is not None:
                progress(target.label, done, total)

        measured = measure(checkpoint.files, subjects, checkpoint.regions, workers=workers, progress=advance)
        checkpoint.check_unchanged()
        skipped += [Skipped(name, reason) for name, reason in measured.failures.items()]
        return _judge(target, checkpoint, rules, judges, measured, skipped)


def _judges(rules: RuleSet, info: TensorInfo) -> tuple[Judge, ...]:
    return tuple(judge for judge in rules.judges_for(info) if _applies(judge, info))


def _applies(judge: Judge, info: TensorInfo) -> bool:
    try:
        return judge.rule.applies(info)
    except Exception as error:
        raise RuleError(f"On {info.name}: {_crash(judge, error)}") from error


def _subjects(
    checkpoint: Checkpoint, judges: dict[str, tuple[Judge, ...]], *, verbose: bool
) -> tuple[list[Subject], list[Skipped]]:
    """Say what to measure of each tensor, and which cannot be measured at all."""
    subjects: list[Subject] = []
    skipped: list[Skipped] = []
    for info in checkpoint:
        entry = checkpoint.entry(info)
        if isinstance(entry.storage, Absent):
            skipped.append(Skipped(info.name, entry.storage.reason))
        elif info.is_numeric:
            try:
                decoder = checkpoint.decoder(info)
            except ReadError as error:
                skipped.append(Skipped(info.name, f"{error}."))
                continue
            needs = [PORTRAIT] if verbose else []
            needs += [judge.rule.needs(info) for judge in judges[info.name]]
            wanted = tuple(dict.fromkeys(statistic for need in needs for statistic in need))
            subjects.append(Subject(info, entry, decoder, wanted))
    return subjects, skipped


def _judge(
    target: Target,
    checkpoint: Checkpoint,
    rules: RuleSet,
    judges: dict[str, tuple[Judge, ...]],
    measured: Measurement,
    skipped: list[Skipped],
) -> ModelReport:
    findings: list[Finding] = []
    for info in checkpoint:
        if info.name in measured.stats:
            for judge in judges[info.name]:
                findings += _findings(judge, info, measured.stats[info.name], skipped)
    defects = (*checkpoint.defects, *measured.defects)
    model = Measured(checkpoint.tensors, measured.stats, defects)
    for judge in rules.judges:
        findings += _model_findings(judge, model, rules, skipped)
    numeric = [info for info in checkpoint if info.is_numeric]
    audited = [info for info in numeric if info.name in measured.stats]
    coverage = Coverage(
        len(audited), len(numeric), len(checkpoint) - len(numeric), sum(info.nbytes for info in audited)
    )
    return ModelReport(
        target.label,
        checkpoint.container,
        tuple(sorted(findings, key=_order)),
        tuple(sorted(skipped, key=lambda one: one.tensor)),
        None,
        checkpoint.notes,
        coverage,
        checkpoint.tensors,
        measured.stats,
    )


def _findings(judge: Judge, info: TensorInfo, stats: Stats, skipped: list[Skipped]) -> list[Finding]:
    """Run one rule on one tensor. A rule that crashes must not look like a rule that is satisfied."""
    try:
        return [_settle(judge, info, finding) for finding in judge.rule.check(info, stats)]
    except Exception as error:  # noqa: BLE001 - a plugin may raise anything
        skipped.append(Skipped(info.name, _crash(judge, error)))
        return []


def _model_findings(
    judge: Judge, model: Measured, rules: RuleSet, skipped: list[Skipped]
) -> Iterator[Finding]:
    try:
        found = list(judge.rule.check_model(model))
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


def _crash(judge: Judge, error: Exception) -> str:
    return f"The rule {judge.rule.code} {judge.rule.name} crashed ({error!r}); please tell its author."


def _settle(judge: Judge, info: TensorInfo | None, finding: Finding) -> Finding:
    """Give a finding its severity: the policy's, or at most a warning where the role is a guess."""
    severity = finding.severity
    if judge.severity is not None:
        severity = judge.severity
    elif info is not None and judge.rule.relies_on_role and not info.is_certain:
        severity = min(severity, Severity.WARNING)
    return Finding(finding.code, severity, finding.tensor, finding.message, finding.values)


def _order(finding: Finding) -> tuple[int, str, str, str]:
    return (-finding.severity, finding.code, finding.tensor or "", finding.message)
