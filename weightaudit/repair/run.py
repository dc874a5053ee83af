"""A repair from end to end: plan, write a copy, prove it, and only then give it its name."""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weightaudit.checkpoint import open_checkpoint
from weightaudit.errors import UsageError
from weightaudit.formats import Kind
from weightaudit.limits import DEFAULT_LIMITS, Limits
from weightaudit.portrait import Detail
from weightaudit.render.json import finding_json
from weightaudit.repair.planning import Orders, Plan, make_plan
from weightaudit.repair.projectors import NumpyProjector, Projector
from weightaudit.repair.proving import prove, write_mended
from weightaudit.report import ExitCode, ModelReport
from weightaudit.storage.failures import writing
from weightaudit.storage.replacing import publish_model, replace_model
from weightaudit.storage.room import require_space
from weightaudit.storage.staging import Staging
from weightaudit.versions.committing import commit
from weightaudit.versions.layout import default_store, enclosing_model, enclosing_store, is_there
from weightaudit.versions.record import stored_tensors
from weightaudit.versions.record_json import embedded
from weightaudit.versions.restoring import copy_version
from weightaudit.versions.store import create_store
from weightaudit.wholes import label_of, suffix_of_copy
from weightaudit.writing.files import model_files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from weightaudit.auditor import Progress
    from weightaudit.checkpoint import Checkpoint
    from weightaudit.registry import RuleSet
    from weightaudit.rule import Finding, Severity
    from weightaudit.versions.committing import Committed
    from weightaudit.versions.store import Store
    from weightaudit.versions.version import Version


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a mended model goes: a copy, the place of the original, or else the version store alone.

    Attributes:
        output: A path that nothing has yet; then no version is made.
        in_place: Whether it replaces the original, which becomes a version first.
        store: The version store; by default ``.weightaudit`` beside the model.
        message: Why, for the record of the version.
        author: Who, for the record of the version.
    """

    output: Path | None = None
    in_place: bool = False
    store: Path | None = None
    message: str = ""
    author: str = ""


@dataclass(frozen=True, slots=True)
class Context:
    """What a repair needs to know beside the model and its orders.

    Attributes:
        rules: Rules that judge, and propose projections.
        names: Names of the rules by code, for records.
        fail_on: Findings of this severity or worse fail; None: findings never do.
        policy: SHA-256 of the policy, for records.
        projector: Who computes projections.
        limits: Bounds on what a file may ask for.
        progress: Told how much was read.
        detail: What is measured of every tensor, before and after.
    """

    rules: RuleSet
    names: Mapping[str, str]
    fail_on: Severity | None
    policy: str | None = None
    projector: Projector = field(default_factory=NumpyProjector)
    limits: Limits = DEFAULT_LIMITS
    progress: Progress | None = None
    detail: Detail = Detail.VERDICT


@dataclass(frozen=True, slots=True)
class Repaired:
    """What became of a repair.

    Attributes:
        plan: What was, or would be, changed.
        fail_on: The level that fails.
        after: The audit of what was written; None if nothing was.
        written: Where the mended model is now.
        version: Address of the mended version, such as ``model.keras@2``, if one was made.
        original: Address of the version that holds the original.
        store: The version store that has both.
    """

    plan: Plan
    fail_on: Severity | None
    after: ModelReport | None = None
    written: str = ""
    version: str | None = None
    original: str | None = None
    store: str | None = None

    @property
    def in_place(self) -> bool:
        """Whether the mended model is where the original was."""
        return self.after is not None and self.written == self.plan.before.path

    @property
    def exit_code(self) -> ExitCode:
        """3 for a plan that would be refused; 1 if findings that fail are left; otherwise 0."""
        if self.after is None and self.plan.excessive:
            return ExitCode.INCOMPLETE
        left: Sequence[Finding] = self.plan.unmended if self.after is None else self.after.findings
        failing = self.fail_on is not None and any(one.severity >= self.fail_on for one in left)
        return ExitCode.FINDINGS if failing else ExitCode.PASSED


def plan_repair(path: Path, label: str, orders: Orders, context: Context) -> Repaired:
    """Say what a repair would do, and write nothing.

    Args:
        path: The model.
        label: Its name in reports.
        orders: What is to be done.
        context: What it needs to know.

    Raises:
        UsageError: A request is for no tensor.
        RepairError: The model is not one that can be repaired, or a tensor cannot be projected.
        ReadError: It cannot be read.
    """
    with open_checkpoint(path, limits=context.limits) as checkpoint:
        return Repaired(_plan(checkpoint, label, orders, context), context.fail_on)


def repair(path: Path, label: str, orders: Orders, context: Context, destination: Destination) -> Repaired:
    """Mend a model. The original is untouched, or replaced in one instant, and is never lost.

    What is written is a copy in which the bytes of projected tensors and their checksums differ,
    and nothing else. It is opened again, every tensor is compared with the plan, and it is
    audited, before it gets its name. Everything is on the disk when this returns.

    Args:
        path: The model.
        label: Its name in reports.
        orders: What is to be done.
        context: What it needs to know.
        destination: Where the mended model goes.

    Raises:
        UsageError: A request is for no tensor, or the destination makes no sense.
        RepairError: It would change more than is allowed, is not possible, or did not succeed.
        ReadError: The model cannot be read, or changed meanwhile.
        WriteError: It cannot be written, or was not written as planned.
        StoreError: The version store cannot be used.
    """
    if destination.in_place:
        _require_replaceable(path, label)
    # What a killed process has left of a replacement is cleared away before the model is opened.
    with (
        Staging(_prefix(path)) if destination.in_place else nullcontext() as place,
        open_checkpoint(path, limits=context.limits) as checkpoint,
    ):
        output = None if destination.output is None else _free_path(destination.output, checkpoint)
        if output is not None:  # a plan may take minutes
            _require_room(checkpoint, output.parent)
        plan = _plan(checkpoint, label, orders, context)
        # A copy is made in any case: whoever asked for one goes on with it.
        if not plan.assignments and output is None:
            return Repaired(plan, context.fail_on)
        plan.check()
        done = Repaired(plan, context.fail_on)
        if output is not None:
            return _to_output(checkpoint, done, context, output)
        done, version = _to_store(checkpoint, done, context, destination)
        if place is None:
            return replace(done, written=label_of(version.path))
        files = model_files(checkpoint)
        staged = copy_version(version, place.path / "model", files.main)
        # Only if nobody wrote to the model since it was opened.
        replace_model(staged, files, checkpoint.files)
        return replace(done, written=label)


def _prefix(path: Path) -> Path:
    """Return what a model is called on disk: a checkpoint may be named by its index."""
    named = path.suffix == ".index"  # which a file that is called just .index has not
    return path.with_suffix("") if named else path


def _plan(checkpoint: Checkpoint, label: str, orders: Orders, context: Context) -> Plan:
    return make_plan(
        checkpoint,
        label,
        context.rules,
        orders,
        projector=context.projector,
        progress=context.progress,
        detail=context.detail,
    )


def _require_replaceable(path: Path, label: str) -> None:
    if enclosing_store(path) is not None:
        raise UsageError(f"{label} is in a version store, and versions are never changed; use --output.")
    if path.name in {"", ".."}:
        real = os.path.realpath(path)
        raise UsageError(f"{label} would be replaced around you; go elsewhere, and repair {real} from there.")


def _free_path(output: Path, checkpoint: Checkpoint) -> Path:
    """Return the path of a copy: a checkpoint that is called by its index is meant by its prefix.

    Raises:
        UsageError: Something is there already, or no such model can be there.
    """
    said = f"--output {output}"
    is_bundle = checkpoint.kind is Kind.BUNDLE
    output = _prefix(output) if is_bundle else output
    if is_there(output) or (is_bundle and is_there(output.with_name(f"{output.name}.index"))):
        raise UsageError(f"{said} exists already; name a new path, or repair with --in-place.")
    if not output.parent.is_dir():
        raise UsageError(f"{said} cannot be written: there is no directory {output.parent}.")
    if enclosing_store(output) is not None:
        raise UsageError(f"{said} lies in a version store; use --store to add a version.")
    model = enclosing_model(output)
    if model is not None:
        raise UsageError(f"{said} would be a part of the SavedModel {label_of(model)}; name another path.")
    if suffix := suffix_of_copy(checkpoint.main, output):
        raise UsageError(f"{said}: a copy keeps the format, so let its name end in {suffix}, too.")
    return output


def _to_output(checkpoint: Checkpoint, done: Repaired, context: Context, output: Path) -> Repaired:
    with Staging(output) as staging:
        into = staging.path / "model"
        with writing(f"{output.name} cannot be written"):
            into.mkdir()
        staged = write_mended(checkpoint, done.plan, into, context.projector, name=output.name)
        after, _ = prove(checkpoint, done.plan, staged, context.rules, context.limits, detail=context.detail)
        publish_model(staged, output)
    return replace(done, after=after, written=label_of(output))


def _to_store(
    checkpoint: Checkpoint, done: Repaired, context: Context, to: Destination
) -> tuple[Repaired, Version]:
    files = model_files(checkpoint)
    store = create_store(to.store or default_store(files))
    _require_room(checkpoint, store.root)
    before = _findings(done.plan.before, context)
    original, is_new = _keep_original(store, checkpoint, before, context, to)
    # What an older version's record says was not read back just now.
    known = {one.name: one.sha256 for one in original.record.tensors} if is_new else {}
    with store.new_version(original.name, parent=original.number) as draft:
        record = draft.record(
            checkpoint,
            message=to.message,
            author=to.author,
            policy=context.policy,
            changes=done.plan.changes,
            before=before,
        )
        staged = write_mended(
            checkpoint,
            done.plan,
            draft.path,
            context.projector,
            record=embedded(record),
            reuse=original.files(),
        )
        after, digests = prove(
            checkpoint, done.plan, staged, context.rules, context.limits, known=known, detail=context.detail
        )
        tensors = stored_tensors(digests, checkpoint)
        record = replace(record, after=_findings(after, context), tensors=tensors)
        version = draft.publish(record, staged, is_proved=True)
    done = replace(done, after=after, version=version.address, original=original.address)
    return replace(done, store=label_of(store.root)), version


def _keep_original(
    store: Store,
    checkpoint: Checkpoint,
    findings: Sequence[Mapping[str, Any]],
    context: Context,
    to: Destination,
) -> Committed:
    return commit(
        store,
        checkpoint,
        message="the original of a repair",
        author=to.author,
        policy=context.policy,
        findings=findings,
        # What is replaced in place is kept as of now, so that it is not pruned as something old.
        any_version=not to.in_place,
    )


def _require_room(checkpoint: Checkpoint, directory: Path) -> None:
    require_space(directory, sum(checkpoint.files[number].size for number in range(len(checkpoint.files))))


def _findings(report: ModelReport, context: Context) -> tuple[dict[str, Any], ...]:
    return tuple(finding_json(finding, context.names) for finding in report.findings)
