"""Writes the mended copy of a model, and proves that it is the one that was planned."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from weightaudit.auditor import audit_checkpoint
from weightaudit.checkpoint import open_checkpoint
from weightaudit.digests import entry_digests, tensor_digests
from weightaudit.errors import RepairError, WriteError
from weightaudit.portrait import Detail
from weightaudit.repair.projecting import batches, project
from weightaudit.repair.projectors import Projector
from weightaudit.writing import Edit, write_model

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from weightaudit.checkpoint import Checkpoint
    from weightaudit.limits import Limits
    from weightaudit.registry import RuleSet
    from weightaudit.repair.planning import Plan
    from weightaudit.repair.selection import Assignment
    from weightaudit.report import ModelReport
    from weightaudit.writing.files import ModelFiles


def write_mended(
    checkpoint: Checkpoint,
    plan: Plan,
    into: Path,
    projector: Projector,
    *,
    name: str | None = None,
    record: bytes | None = None,
    reuse: Mapping[str, Path] | None = None,
) -> ModelFiles:
    """Write a copy of an open model with the changes of a plan; see `weightaudit.writing.write_model`.

    Raises:
        WriteError: It cannot be written.
        RepairError: A tensor cannot be projected.
    """
    edits = _Edits(checkpoint, plan, projector).by_name()
    return write_model(checkpoint, edits, into, name=name, record=record, reuse=reuse)


def prove(
    checkpoint: Checkpoint,
    plan: Plan,
    written: ModelFiles,
    rules: RuleSet,
    limits: Limits,
    *,
    known: Mapping[str, str | None] | None = None,
    detail: Detail = Detail.VERDICT,
) -> tuple[ModelReport, dict[str, str | None]]:
    """Open a mended copy like any stranger's file, compare every tensor with the plan, and audit it.

    Args:
        checkpoint: The model as it was.
        plan: What was to be done to it.
        written: The mended copy.
        rules: Rules that judge it.
        limits: Bounds on what it may ask for.
        known: Digests of tensors of the model that were taken from it just now, by name.
        detail: What is measured of every tensor of the copy.

    Returns:
        The audit of the copy, and the digest of each of its tensors by name.

    Raises:
        WriteError: A tensor is not what was planned.
        RepairError: A rule still finds what it proposed to mend.
        ReadError: The copy cannot be read, or the original changed while it was copied.
    """
    wanted = {info.name: known[info.name] for info in checkpoint if known and info.name in known}
    wanted |= {change.tensor: change.digest for change in plan.changes}
    wanted |= tensor_digests(checkpoint, [info for info in checkpoint if info.name not in wanted])
    checkpoint.check_unchanged()
    with open_checkpoint(written.path, limits=limits) as copy:
        found = tensor_digests(copy)
        # The audit leaves second copies to their checksums, and the policy what is told of those.
        seconds = [(info.name, entry) for info in copy for entry in copy.entries(info)[1:]]
        digests = entry_digests(copy.files, [entry for _, entry in seconds])
        after = audit_checkpoint(copy, plan.before.path, rules, detail=detail)
        described = {info.name: (info.dtype, info.shape) for info in copy}
    if described != {info.name: (info.dtype, info.shape) for info in checkpoint}:
        raise WriteError(f"The mended copy of {plan.before.path} lists other tensors; nothing was replaced.")
    read = [*found.items(), *((name, one) for (name, _), one in zip(seconds, digests, strict=True))]
    for name, digest in read:
        if digest != wanted[name]:
            raise WriteError(
                f"{name} was not written as planned, so nothing was replaced; the disk may be failing."
            )
    _require_mended(plan, after)
    return after, found


def _require_mended(plan: Plan, after: ModelReport) -> None:
    asked = {(assignment.info.name, code) for assignment in plan.assignments for code in assignment.rules}
    if not after.is_complete:
        raise RepairError(f"The mended copy of {plan.before.path} could not be audited whole.")
    was = {(one.tensor, one.code): one.severity for one in plan.before.findings}
    for finding in after.findings:
        place = (finding.tensor or "", finding.code)
        if place in asked and finding.severity >= was[place]:
            raise RepairError(
                f"{finding.tensor} is not mended: {finding.code} still finds that {finding.message} "
                "Nothing was replaced."
            )


class _Edits:
    """Projects again what the plan measured, in the same batches, when the writer asks for it.

    A batch is projected once. What the writer asks for later is kept until then; it asks in the
    order of the batches, so that is never more than one batch.
    """

    def __init__(self, checkpoint: Checkpoint, plan: Plan, projector: Projector) -> None:
        self._checkpoint = checkpoint
        self._projector = projector
        self._batches = list(batches(plan.assignments, projector))
        self._ready: dict[str, list[tuple[int, NDArray[np.uint8]]]] = {}

    def by_name(self) -> dict[str, Edit]:
        """Return what gives the new bytes of each tensor, in the order in which to ask."""
        return {
            assignment.info.name: partial(self._stretches, batch, assignment.info.name)
            for batch in self._batches
            for assignment in batch
        }

    def _stretches(self, batch: tuple[Assignment, ...], name: str) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        pieces = project(self._checkpoint, batch, self._projector) if name not in self._ready else ()
        for piece in pieces:
            if len(batch) == 1:
                yield piece.first, piece.raw
            else:
                self._ready.setdefault(piece.assignment.info.name, []).append((piece.first, piece.raw))
        yield from self._ready.pop(name, ())
