"""The comparison: pair the tensors, look whether their bits differ, and measure those that do."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite
from typing import TYPE_CHECKING

from weightaudit.addressing import find_model
from weightaudit.catalog import Absent, Flaw
from weightaudit.checkpoint import Checkpoint, open_checkpoint
from weightaudit.comparison.jobs import Job, Progress, look, measure
from weightaudit.comparison.matching import match_tensors
from weightaudit.comparison.result import Comparison, Match, Status, TensorComparison
from weightaudit.comparison.steps import Operand, operands
from weightaudit.digests import entry_digest
from weightaudit.dtypes import components
from weightaudit.errors import ReadError, UsageError
from weightaudit.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from weightaudit.comparison.pairing import Pair, Pairing
    from weightaudit.tensor import TensorInfo

_UNSAID = frozenset({Flaw.MISSING_DATA, Flaw.ALIAS, Flaw.REACH})
"""What is no remark on a comparison: a failure, or nothing that tells about differences."""


def compare(
    first: str | os.PathLike[str],
    second: str | os.PathLike[str],
    *,
    weights_only: bool = False,
    tolerance: float = 0.0,
    workers: int | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Comparison:
    """Compare two saved models tensor by tensor, in whatever containers they are.

    Args:
        first: A model: a path, or a version such as ``model.keras@3``.
        second: The model it is compared with.
        weights_only: Leave out optimizer states, metrics, counters and seeds.
        tolerance: Norm of the difference over the norm of the first tensor up to which a changed
            tensor counts as equal; 0 counts every changed bit.
        workers: Threads; by default one per usable CPU, at most 8.
        limits: Bounds on what a file may ask for.

    Returns:
        The comparison. A tensor that cannot be read is in it with its reason, not an exception.

    Raises:
        ReadError: A model cannot be opened, or changed while it was read.
        UnsupportedFormatError: A path is not a saved TensorFlow or Keras model.
        UsageError: A path does not exist or stands for several models, or the tolerance is negative or not
            finite.
        StoreError: There is no such version.
    """
    one, other = find_model(os.fspath(first)), find_model(os.fspath(second))
    with open_checkpoint(one.path, limits=limits) as old, open_checkpoint(other.path, limits=limits) as new:
        return compare_checkpoints(
            old,
            new,
            labels=(one.label, other.label),
            weights_only=weights_only,
            tolerance=tolerance,
            workers=workers,
        )


def compare_checkpoints(
    first: Checkpoint,
    second: Checkpoint,
    *,
    labels: tuple[str, str] = ("first", "second"),
    weights_only: bool = False,
    tolerance: float = 0.0,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Compare two models that are open; see `compare`.

    Args:
        first: One model.
        second: The other.
        labels: What both are called in reports.
        weights_only: See `compare`.
        tolerance: See `compare`.
        workers: See `compare`.
        progress: Told how much was read.

    Raises:
        ReadError: A model changed while it was read.
        UsageError: The tolerance is negative or not finite.
    """
    if not (isfinite(tolerance) and tolerance >= 0):
        raise UsageError(f"A tolerance of {tolerance} makes no sense; give 0 or a small number such as 1e-6.")
    models = (first, second)
    one, other = ([info for info in model if not (weights_only and info.is_bookkeeping)] for model in models)
    pairing = match_tensors(models, (one, other), workers)
    run = _Run(models, labels, tolerance, workers, progress)
    found = {done.name: done for done in run.compare(pairing.pairs)}
    found |= {info.name: run.alone(pairing, 0, info) for info in pairing.first.values()}
    added = [run.alone(pairing, 1, info) for info in pairing.second.values()]
    for model in models:
        model.check_unchanged()
    return Comparison(
        first=labels[0],
        second=labels[1],
        containers=(first.container, second.container),
        tensors=(*(found[info.name] for info in one), *added),
        tolerance=tolerance,
        weights_only=weights_only,
        failures=tuple(_said(models, labels, lambda flaw: flaw is Flaw.MISSING_DATA)),
        notes=tuple(_said(models, labels, lambda flaw: flaw not in _UNSAID, notes=True)),
    )


def _said(
    models: Sequence[Checkpoint],
    labels: Sequence[str],
    wanted: Callable[[Flaw], bool],
    *,
    notes: bool = False,
) -> Iterator[str]:
    """Yield what opening the models turned up, with the model's label."""
    for model, label in zip(models, labels, strict=True):
        yield from (f"{label}: {defect.message}" for defect in model.defects if wanted(defect.flaw))
        yield from (f"{label}: {note}" for note in model.notes if notes)


@dataclass(frozen=True, slots=True)
class _Run:
    """What is the same for all tensors."""

    models: tuple[Checkpoint, Checkpoint]
    labels: tuple[str, str]
    tolerance: float
    workers: int | None
    progress: Progress | None

    def compare(self, pairs: Sequence[Pair]) -> Iterator[TensorComparison]:
        """Compare paired tensors; they come in no particular order."""
        jobs: list[Job] = []
        for pair in pairs:
            done = self._at_once(pair)
            if isinstance(done, Job):
                jobs.append(done)
            else:
                yield done
        look(jobs, self.workers, self.progress)
        measure(jobs, self.workers, self.progress)
        yield from map(self._judged, jobs)

    def alone(self, pairing: Pairing, side: int, info: TensorInfo) -> TensorComparison:
        """Return what is said of a tensor that has no partner."""
        alone = partial(TensorComparison, first=None if side else info, second=info if side else None)
        storage = self.models[side].entry(info).storage
        reason = pairing.unread.get((side, info.name), "")
        if isinstance(storage, Absent):
            reason = storage.reason
        if reason:
            return alone(Status.UNREAD, reason=f"{self.labels[side]}: {reason}")
        return alone(Status.ADDED if side else Status.REMOVED)

    def _at_once(self, pair: Pair) -> TensorComparison | Job:
        """Return what can be said of a pair without reading it, or else the job of reading it."""
        infos = (pair.first, pair.second)
        done = partial(TensorComparison, first=pair.first, second=pair.second, match=pair.match)
        for model, label, info in zip(self.models, self.labels, infos, strict=True):
            storage = model.entry(info).storage
            if isinstance(storage, Absent):
                return done(Status.UNREAD, reason=f"{label}: {storage.reason}")
        if pair.match is Match.CONTENT:
            return done(Status.EQUAL if pair.first.name == pair.second.name else Status.RENAMED)
        if not (pair.first.is_numeric and pair.second.is_numeric):
            status, reason = self._opaque(pair)
            return done(status, reason=reason)
        try:
            one, other = operands(self.models, self.labels, infos)
        except ReadError as error:
            return done(Status.UNREAD, reason=f"{error}.")
        if one.decoder.info.shape != other.decoder.info.shape:
            return done(Status.RESHAPED)
        if components(pair.first.dtype) != components(pair.second.dtype):
            return done(Status.RETYPED)
        return Job(pair, one, other, differs=_is_retyped(one, other))

    def _opaque(self, pair: Pair) -> tuple[Status, str]:
        """Compare strings and the like, as their containers pack them."""
        if pair.first.shape != pair.second.shape:
            return Status.RESHAPED, ""
        if pair.first.dtype != pair.second.dtype:
            return Status.RETYPED, ""
        try:
            one, other = (
                entry_digest(model.files, model.entry(info))
                for model, info in zip(self.models, (pair.first, pair.second), strict=True)
            )
        except ReadError as error:
            return Status.UNREAD, str(error)
        if one is None or other is None:
            return Status.UNREAD, f"It is of type {pair.first.dtype}, which is not compared."
        return (Status.EQUAL if one == other else Status.CHANGED), ""

    def _judged(self, job: Job) -> TensorComparison:
        """Return what reading a pair has shown."""
        first, second = job.pair.first, job.pair.second
        done = partial(TensorComparison, first=first, second=second, match=job.pair.match)
        if job.failure:
            return done(Status.UNREAD, reason=job.failure)
        retyped = _is_retyped(job.one, job.other)
        if not (retyped or job.differs or job.tally.elements):
            return done(Status.EQUAL)
        difference = job.tally.finish(job.one.decoder.info.shape, components(first.dtype))
        within = 0 < self.tolerance >= difference.relative and not difference.touches_nonfinite
        status = Status.RETYPED if retyped else Status.CHANGED
        return done(status, difference=difference, within=within)


def _is_retyped(one: Operand, other: Operand) -> bool:
    """Say whether the numbers are stored in another way; four bits have another shape than eight."""
    return (one.entry.dtype, one.entry.shape) != (other.entry.dtype, other.entry.shape)
