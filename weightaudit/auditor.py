"""The audit: open, measure once, judge, report."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from weightaudit.cache import Store, recall, remember
from weightaudit.checkpoint import Checkpoint, open_checkpoint
from weightaudit.deciding import decided
from weightaudit.discover import Target, search, stripped
from weightaudit.engine.choice import NUMPY, Engine, EngineName
from weightaudit.engine.scanning import Subject
from weightaudit.errors import ReadError, RuleError, UnsupportedFormatError, UsageError
from weightaudit.judging import duties, judge, with_needs_of_model
from weightaudit.limits import DEFAULT_LIMITS, Limits
from weightaudit.measuring import reporter, subjects_of
from weightaudit.policy import Policy, read_policy
from weightaudit.portrait import Detail
from weightaudit.profiling import clocked
from weightaudit.registry import configure, load_registry
from weightaudit.report import Coverage, LeftOut, ModelReport, Report, Skipped
from weightaudit.rule import Measured, Severity

if TYPE_CHECKING:
    from weightaudit.baseline import Baseline
    from weightaudit.comparison.reference import OpenReference
    from weightaudit.comparison.result import Comparison
    from weightaudit.engine.numpy_engine import Measurement
    from weightaudit.profiling import Profile
    from weightaudit.registry import RuleSet

Progress = Callable[[str, int, int], None]
"""Called with the model's label, the bytes that were read, and the bytes that there are."""


def audit(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    policy: Policy | str | os.PathLike[str] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    workers: int | None = None,
    detail: Detail = Detail.VERDICT,
    cache: str | os.PathLike[str] | None = None,
    engine: EngineName = "numpy",
    reference: str | os.PathLike[str] | None = None,
    config: str | os.PathLike[str] | None = None,
    baseline: str | os.PathLike[str] | None = None,
) -> Report:
    """Audit one or more saved models.

    Args:
        paths: Files, directories or globs; directories are searched for models.
        policy: Which rules judge, with which options: a policy, or the path of a policy file; by default
            the built-in rules as they come, whatever policy lies around.
        limits: Bounds on what a file may ask for.
        workers: Threads that read and measure, at least 1; by default one per usable CPU, at most 8.
        detail: What is measured of every tensor and kept in the report beside what the rules need.
        cache: Directory that keeps statistics, so that the weights of an unchanged file are not read
            again; by default none is used. What it promises is in ``docs/cache.md``.
        engine: Who computes statistics: ``numpy``, ``tensorflow`` (``weightaudit[tensorflow]``), or ``auto``,
            which takes TensorFlow where spectral norms make it worth importing.
        reference: Checkpoint that every model is judged against: a path, or a version such as
            ``model.keras@3``; by default none, and the rules that need one are silent.
        config: Configuration of the model, for weights that were saved without one; see `open_checkpoint`.
        baseline: File with findings that are known, which do not count unless they became worse; by
            default every finding counts. See ``docs/baseline.md``.

    Returns:
        The report; a model that cannot be read, or a path without one among others, is in it with its
        reason, not an exception.

    Raises:
        UsageError: None of the paths exists, the policy or the baseline is wrong, there are no such workers,
            detail or engine, or TensorFlow is missing.
        RuleError: A rule could not be loaded.
        UnsupportedFormatError: None of the paths holds a saved model.
        ReadError: The reference cannot be read.
        StoreError: The reference, or every model, is a version that is not there.
    """
    policy, detail = policy_of(policy), detail_of(detail)
    rules = configure(load_registry(policy.plugins), policy)
    found = search(path_list(paths))
    store = None if cache is None else Store(Path(cache))
    means = Means(workers, store=store, engine=Engine(engine))
    known = _known(baseline)
    with referring(reference, limits) as beside:
        return audit_targets(
            found.targets,
            rules,
            means,
            fail_on=policy.fail_on,
            limits=limits,
            detail=detail,
            left_out=found.left_out,
            reference=beside,
            config=config,
            baseline=known,
        )


def path_list(paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[str]:
    """Return paths as users give them, one or several, as a list of text: one path is no row of letters."""
    return [os.fspath(one) for one in ([paths] if isinstance(paths, str | os.PathLike) else paths)]


def policy_of(policy: Policy | str | os.PathLike[str] | None) -> Policy:
    """Return a policy as users give it: as it is, read from a file, or the default one for None.

    Raises:
        PolicyError: The file cannot be read, or says something that is not understood.
    """
    if policy is None:
        return Policy()
    return policy if isinstance(policy, Policy) else read_policy(Path(policy))


def detail_of(detail: object) -> Detail:
    """Return a level of detail, also from its number.

    Raises:
        UsageError: There is none like that.
    """
    try:
        return Detail(detail)  # type: ignore[arg-type]  # what it raises for is what is asked
    except ValueError:
        names = ", ".join(one.name for one in Detail)
        raise UsageError(f"There is no detail {detail!r}; give a member of Detail: {names}.") from None


def _known(path: str | os.PathLike[str] | None) -> Baseline | None:
    """Read the findings that are known, if a file is named."""
    if path is None:
        return None
    from weightaudit.baseline import read_baseline

    return read_baseline(path)


def referring(
    reference: str | os.PathLike[str] | None, limits: Limits = DEFAULT_LIMITS
) -> AbstractContextManager[OpenReference | None]:
    """Open the checkpoint that models are judged against, if one is named; see `open_reference`."""
    if reference is None:
        return nullcontext()
    from weightaudit.comparison.reference import open_reference

    return open_reference(reference, limits=limits)


@dataclass(frozen=True, slots=True)
class Means:
    """How an audit is carried out; none of it changes what is found.

    Attributes:
        workers: Threads that read and measure; by default one per usable CPU, at most 8.
        progress: Told how much was read.
        store: Where statistics of unchanged models are kept; None for nowhere.
        engine: Who computes statistics.
        profile: Told what took how long; `profiling.timed` makes rules tell it too.
    """

    workers: int | None = None
    progress: Progress | None = None
    store: Store | None = None
    engine: Engine = NUMPY
    profile: Profile | None = None


def audit_targets(
    targets: Sequence[Target],
    rules: RuleSet,
    means: Means = Means(),
    *,
    fail_on: Severity | None = Severity.ERROR,
    limits: Limits = DEFAULT_LIMITS,
    detail: Detail = Detail.VERDICT,
    left_out: Sequence[LeftOut] = (),
    reference: OpenReference | None = None,
    config: str | os.PathLike[str] | None = None,
    baseline: Baseline | None = None,
) -> Report:
    """Audit models that were found already; see `audit`."""
    others = list(left_out)
    models: list[ModelReport] = []
    for target in targets:
        if target.refusal is not None:
            models.append(ModelReport(target.label, failure=str(target.refusal)))
            continue
        since = time.time_ns()
        try:
            with clocked(means.profile, "open, list and identify"):
                checkpoint = open_checkpoint(target.path, limits=limits, config=config)
            with checkpoint:
                models.append(
                    audit_checkpoint(
                        checkpoint,
                        target.label,
                        rules,
                        means,
                        detail=detail,
                        since=since,
                        reference=reference,
                    )
                )
        except UnsupportedFormatError as error:
            # What a search turned up and is no model is left alone; what was asked for by name is not.
            if target.explicit:
                models.append(ModelReport(target.label, failure=str(error)))
            else:
                others.append(LeftOut(target.label, stripped(target.path, error)))
        except (ReadError, RuleError) as error:
            models.append(ModelReport(target.label, failure=str(error)))
    source = None if reference is None else reference.source
    return decided(Report(tuple(models), fail_on, tuple(others), source), rules, baseline)


def audit_checkpoint(
    checkpoint: Checkpoint,
    label: str,
    rules: RuleSet,
    means: Means = Means(),
    *,
    detail: Detail = Detail.VERDICT,
    since: int = 0,
    reference: OpenReference | None = None,
) -> ModelReport:
    """Audit a model that is open already; see `audit`.

    Args:
        checkpoint: The model.
        label: Its name in the report.
        rules: Rules that judge it.
        means: How it is done.
        detail: What is measured of every tensor and kept beside what the rules need.
        since: Time before the model was opened, in nanoseconds since 1970; with 0, nothing new is kept
            in the store.
        reference: The checkpoint that it is judged against.

    Raises:
        ReadError: A file was written to meanwhile.
        RuleError: A rule crashed when it was asked what it needs.
    """
    with clocked(means.profile, "ask rules what they need"):
        numeric = (info for info in checkpoint if info.is_numeric)
        unmeasured = Measured(checkpoint.tensors, {}, checkpoint.defects, trace=lambda: checkpoint.topology)
        tasks = with_needs_of_model(duties(rules, numeric, detail), rules, unmeasured)
        subjects, unreadable = subjects_of(checkpoint, checkpoint, lambda info: tasks[info.name].statistics)
    measured = _measured(checkpoint, label, subjects, means, since)
    beside = _beside(checkpoint, label, reference, means)
    defects = (*checkpoint.defects, *measured.defects)
    model = replace(unmeasured, stats=measured.stats, defects=defects, reference=beside)
    with clocked(means.profile, "judge"):
        judged = judge(model, tasks, rules, label)
    skipped, notes = _with_reference(unreadable | measured.failures, checkpoint.notes, reference, beside)
    return ModelReport(
        label,
        checkpoint.container,
        judged.findings,
        tuple(sorted(skipped + judged.skipped, key=lambda one: (one.tensor, one.reason))),
        notes=notes,
        coverage=_coverage(model),
        tensors=checkpoint.tensors,
        stats=measured.stats,
        defects=model.defects,
        comparison=beside,
        suppressed=judged.suppressed,
    )


def _beside(
    checkpoint: Checkpoint, label: str, reference: OpenReference | None, means: Means
) -> Comparison | None:
    """Compare a model with its reference, if there is one."""
    if reference is None:
        return None
    with clocked(means.profile, "compare with the reference"):
        return reference.compare(checkpoint, label, workers=means.workers, progress=means.progress)


def _with_reference(
    failures: Mapping[str, str],
    notes: tuple[str, ...],
    reference: OpenReference | None,
    beside: Comparison | None,
) -> tuple[list[Skipped], tuple[str, ...]]:
    """Return what could not be measured or compared, each tensor once, and the notes of both models."""
    skipped = [Skipped(name, reason) for name, reason in failures.items()]
    if reference is None or beside is None:
        return skipped, notes
    uncompared = (one for one in reference.unread(beside) if one.tensor not in failures)
    return [*skipped, *uncompared], (*notes, reference.note(beside))


def _measured(
    checkpoint: Checkpoint, label: str, subjects: Sequence[Subject], means: Means, since: int
) -> Measurement:
    """Measure what is not known from an earlier audit of the same files."""
    files, profile = checkpoint.files, means.profile
    with clocked(profile, "choose and import the engine"):
        engine, measure = means.engine.chosen(subjects)
    with clocked(profile, "look into the cache"):
        recalled = recall(means.store, files, subjects, checkpoint.regions, since=since, engine=engine)
    advance = reporter(means.progress, label, sum(one.info.nbytes for one in recalled.subjects))
    with clocked(profile, "measure"):
        new = measure(
            files,
            recalled.subjects,
            recalled.regions,
            workers=means.workers,
            progress=advance,
            profile=profile,
        )
    checkpoint.check_unchanged()
    with clocked(profile, "keep in the cache"):
        remember(means.store, files, recalled, new, engine=engine)
    return recalled.joined(new)


def _coverage(model: Measured) -> Coverage:
    numeric = [info for info in model.tensors if info.is_numeric]
    audited = [info for info in numeric if info.name in model.stats]
    opaque = len(model.tensors) - len(numeric)
    return Coverage(len(audited), len(numeric), opaque, sum(info.nbytes for info in audited))
