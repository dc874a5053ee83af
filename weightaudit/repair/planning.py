"""The plan of a repair: what would change, and whether that may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from weightaudit.auditor import Means, audit_checkpoint
from weightaudit.catalog import Flaw
from weightaudit.change import percent
from weightaudit.errors import RepairError
from weightaudit.portrait import Detail
from weightaudit.repair.projecting import Ledger, batches, project
from weightaudit.repair.projectors import NumpyProjector, Projector
from weightaudit.repair.selection import Assignment, Request, Wishes
from weightaudit.rule import Severity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from weightaudit.auditor import Progress
    from weightaudit.change import Change
    from weightaudit.checkpoint import Checkpoint
    from weightaudit.projections.base import Projection
    from weightaudit.registry import RuleSet
    from weightaudit.report import ModelReport
    from weightaudit.rule import Finding

MAX_CHANGE = 0.5
"""Largest relative change of a tensor's norm that a repair may make unless it is told otherwise.

Scaling a norm from 2 to 1 is just within it. A kernel that loses more than half of its norm is
hardly the trained one any more, and one value that dwarfs all others is better looked at by a person.
"""


@dataclass(frozen=True, slots=True)
class Orders:
    """What a repair is to do.

    Attributes:
        requests: Projections that the user names, with the tensors that they are for.
        mend: Whether findings are mended by the projections that their rules propose.
        level: Findings of this severity or worse are mended.
        donor: What mends a tensor for which its rule knows no projection; None for nothing.
        max_change: Largest relative change of the norm of a tensor.
    """

    requests: tuple[Request, ...] = ()
    mend: bool = True
    level: Severity = Severity.ERROR
    donor: Projection | None = None
    max_change: float = MAX_CHANGE


@dataclass(frozen=True, slots=True)
class Plan:
    """What a repair would do to a model.

    Attributes:
        before: The audit of the model as it is.
        assignments: What is projected, in the order of the container; compliant tensors are left out.
        changes: What that changes, one for each assignment.
        unmended: Findings of the level to be mended for which there is no projection.
        max_change: The change that is allowed.
    """

    before: ModelReport
    assignments: tuple[Assignment, ...]
    changes: tuple[Change, ...]
    unmended: tuple[Finding, ...]
    max_change: float

    @property
    def excessive(self) -> tuple[Change, ...]:
        """Changes beyond what is allowed."""
        return tuple(change for change in self.changes if change.relative > self.max_change)

    @property
    def limit(self) -> str:
        """The change that is allowed, for people: ``--max-change 0.5 (50 %)``."""
        return f"--max-change {self.max_change:g} ({percent(self.max_change)})"

    def check(self) -> None:
        """Raise RepairError if the plan changes a tensor by more than is allowed."""
        worst = max(self.excessive, key=lambda change: change.relative, default=None)
        if worst is not None:
            raise RepairError(
                f"{worst.tensor} would change by {worst.extent}, more than {self.limit} allows "
                f"(tensors like that: {len(self.excessive)}); look at it with --dry-run, and allow it if it "
                "is meant."
            )


def make_plan(
    checkpoint: Checkpoint,
    label: str,
    rules: RuleSet,
    orders: Orders,
    *,
    projector: Projector | None = None,
    progress: Progress | None = None,
    detail: Detail = Detail.VERDICT,
) -> Plan:
    """Audit an open model and plan its repair; nothing is written.

    Args:
        checkpoint: The model.
        label: Its name in reports.
        rules: Rules that judge it and propose projections.
        orders: What is to be done.
        projector: Who computes projections; by default numpy.
        progress: Told how much of the model was read for the audit.
        detail: What is measured of every tensor.

    Raises:
        UsageError: A request is for no tensor.
        RepairError: The model could not be audited whole, is damaged in a way that a repair would
            hide, or a tensor cannot be projected.
    """
    before = audit_checkpoint(checkpoint, label, rules, Means(progress=progress), detail=detail)
    _require_sound(before)
    wishes = Wishes(checkpoint)
    for request in orders.requests:
        wishes.add_request(request)
    failing = [one for one in before.findings if one.severity >= orders.level] if orders.mend else []
    unmended = tuple(one for one in failing if not wishes.add_finding(one, rules, orders.donor))
    assignments = wishes.assignments()
    _require_undamaged(before, assignments)
    changes = measure_changes(checkpoint, assignments, projector or NumpyProjector())
    kept = [assignment for assignment in assignments if changes[assignment.info.name].elements]
    return Plan(
        before,
        tuple(kept),
        tuple(changes[assignment.info.name] for assignment in kept),
        unmended,
        orders.max_change,
    )


def measure_changes(
    checkpoint: Checkpoint, assignments: tuple[Assignment, ...], projector: Projector
) -> dict[str, Change]:
    """Return what projecting each assignment changes, by tensor name.

    Raises:
        RepairError: A tensor cannot be projected.
        ReadError: A tensor cannot be read.
    """
    changes: dict[str, Change] = {}
    for batch in batches(assignments, projector):
        changes |= _measured(checkpoint, batch, projector)
    return changes


def _measured(checkpoint: Checkpoint, batch: Sequence[Assignment], projector: Projector) -> dict[str, Change]:
    # A function of its own, so that no stretch is kept in memory while the next batch is read.
    ledgers = {assignment.info.name: Ledger(assignment) for assignment in batch}
    for piece in project(checkpoint, batch, projector):
        ledgers[piece.assignment.info.name].add(piece)
    return {name: ledger.change() for name, ledger in ledgers.items()}


def _require_sound(report: ModelReport) -> None:
    """Refuse a model of which a part is unknown or damaged: a new checksum would make that look right."""
    if not report.is_complete:
        skipped = [f"{one.tensor}: {one.reason}" for one in report.skipped[:1]]
        reason = report.failure or (skipped[0] if skipped else "It holds no tensor with numbers.")
        raise RepairError(f"{report.path} could not be audited whole, so it is not repaired. {reason}")
    for defect in report.defects:
        if defect.flaw is Flaw.MISSING_DATA:
            raise RepairError(f"{report.path} is not whole, so it is not repaired. {defect.message}")


def _require_undamaged(report: ModelReport, assignments: Sequence[Assignment]) -> None:
    """Refuse to write a right checksum over wrong bytes, unless a donor replaces all of them."""
    replaced = {one.info.name for one in assignments if any(step.replaces for step in one.projections)}
    touched = {one.info.name for one in assignments} - replaced
    for defect in report.defects:
        if defect.flaw is Flaw.CHECKSUM and (not defect.tensor or defect.tensor in touched):
            raise RepairError(
                f"{report.path} is damaged, and a new checksum would hide that. {defect.message} "
                "Put back a good copy, or take the tensor from a donor."
            )
