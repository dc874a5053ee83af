"""The audit: open, measure once, judge, report."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from weightaudit.catalog import Absent
from weightaudit.checkpoint import Checkpoint, open_checkpoint
from weightaudit.discover import Target, search, stripped
from weightaudit.engine.numpy_engine import Subject, measure
from weightaudit.errors import ReadError, RuleError, UnsupportedFormatError
from weightaudit.judging import judge, judges_of, needs_of
from weightaudit.limits import DEFAULT_LIMITS, Limits
from weightaudit.policy import Policy
from weightaudit.registry import configure, load_registry
from weightaudit.report import Coverage, LeftOut, ModelReport, Report, Skipped
from weightaudit.rule import Measured, Severity
from weightaudit.statistics import Extremes, Moments, NonFinite, Statistic, Zeros

if TYPE_CHECKING:
    from weightaudit.registry import Judge, RuleSet

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
    found = search([os.fspath(name) for name in names])
    return audit_targets(
        found.targets,
        rules,
        fail_on=policy.fail_on,
        limits=limits,
        workers=workers,
        verbose=verbose,
        left_out=found.left_out,
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
    left_out: Sequence[LeftOut] = (),
) -> Report:
    """Audit models that were found already; see `audit`."""
    others = list(left_out)
    run = _Run(rules, limits, workers, progress, verbose)
    models: list[ModelReport] = []
    for target in targets:
        try:
            models.append(_audit_target(run, target))
        except UnsupportedFormatError as error:
            # What a search turned up and is no model is left alone; what was asked for by name is not.
            if target.explicit:
                models.append(ModelReport(target.label, failure=str(error)))
            else:
                others.append(LeftOut(target.label, stripped(target.path, error)))
        except (ReadError, RuleError) as error:
            models.append(ModelReport(target.label, failure=str(error)))
    return Report(tuple(models), fail_on, tuple(others))


@dataclass(frozen=True, slots=True)
class _Run:
    """What is the same for every model of an audit."""

    rules: RuleSet
    limits: Limits
    workers: int | None
    progress: Progress | None
    verbose: bool


def _audit_target(run: _Run, target: Target) -> ModelReport:
    with open_checkpoint(target.path, limits=run.limits) as checkpoint:
        return audit_checkpoint(
            checkpoint,
            target.label,
            run.rules,
            workers=run.workers,
            progress=run.progress,
            verbose=run.verbose,
        )


def audit_checkpoint(
    checkpoint: Checkpoint,
    label: str,
    rules: RuleSet,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    verbose: bool = False,
) -> ModelReport:
    """Audit a model that is open already; see `audit`.

    Args:
        checkpoint: The model.
        label: Its name in the report.
        rules: Rules that judge it.
        workers: Threads that read and measure; by default one per usable CPU, at most 8.
        progress: Told how much was read.
        verbose: Whether every tensor's basic statistics are measured and kept.

    Raises:
        ReadError: A file was written to meanwhile.
        RuleError: A rule crashed when it was asked what it needs.
    """
    judges = {info.name: judges_of(rules, info) for info in checkpoint if info.is_numeric}
    subjects, skipped = _subjects(checkpoint, judges, verbose=verbose)
    advance = _reporter(progress, label, sum(info.nbytes for info in checkpoint))
    measured = measure(checkpoint.files, subjects, checkpoint.regions, workers=workers, progress=advance)
    checkpoint.check_unchanged()
    model = Measured(checkpoint.tensors, measured.stats, (*checkpoint.defects, *measured.defects))
    findings, unjudged = judge(model, judges, rules)
    skipped += [Skipped(name, reason) for name, reason in measured.failures.items()]
    return ModelReport(
        label,
        checkpoint.container,
        findings,
        tuple(sorted(skipped + unjudged, key=lambda one: (one.tensor, one.reason))),
        notes=checkpoint.notes,
        coverage=_coverage(model),
        tensors=checkpoint.tensors,
        stats=measured.stats,
        defects=model.defects,
    )


def _subjects(
    checkpoint: Checkpoint, judges: Mapping[str, tuple[Judge, ...]], *, verbose: bool
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
            wanted = needs_of(judges[info.name], info)
            subjects.append(Subject(info, entry, decoder, (*PORTRAIT, *wanted) if verbose else wanted))
    return subjects, skipped


def _reporter(progress: Progress | None, label: str, total: int) -> Callable[[int], None] | None:
    if progress is None:
        return None
    done = 0

    def advance(nbytes: int) -> None:
        nonlocal done
        done = min(total, done + nbytes)
        progress(label, done, total)

    return advance


def _coverage(model: Measured) -> Coverage:
    numeric = [info for info in model.tensors if info.is_numeric]
    audited = [info for info in numeric if info.name in model.stats]
    opaque = len(model.tensors) - len(numeric)
    return Coverage(len(audited), len(numeric), opaque, sum(info.nbytes for info in audited))
