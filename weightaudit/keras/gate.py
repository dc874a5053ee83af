"""Decides whether a checkpoint may replace the last good one, and keeps what passed as a version.

Knows nothing of Keras: it is handed something that writes a model to a path.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from weightaudit.auditor import audit_targets
from weightaudit.checkpoint import open_checkpoint
from weightaudit.discover import Target
from weightaudit.errors import WeightauditError, WriteError
from weightaudit.policy import Policy, policy_digest
from weightaudit.registry import configure, load_registry
from weightaudit.render.json import finding_json
from weightaudit.storage.failures import writing
from weightaudit.storage.publishing import replace_file
from weightaudit.storage.room import require_space
from weightaudit.storage.staging import Staging
from weightaudit.versions.committing import commit
from weightaudit.versions.layout import DEFAULT_STORE, enclosing_store
from weightaudit.versions.pruning import prune
from weightaudit.versions.store import create_store
from weightaudit.versions.who import current_user

if TYPE_CHECKING:
    from collections.abc import Callable

    from weightaudit.report import Report
    from weightaudit.rule import Severity
    from weightaudit.versions.version import Version

_ROOM = 1 << 20
"""Bytes that a file may be larger than its numbers: structure, names, configuration."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A model that is about to be saved.

    Attributes:
        write: Writes it to a path.
        nbytes: About how large the file will be.
        message: What it is, for the record of its version.
    """

    write: Callable[[Path], None]
    nbytes: int
    message: str


@dataclass(frozen=True, slots=True)
class Archive:
    """Where good checkpoints are kept as versions.

    Attributes:
        name: Name of the model in the store.
        store: The store; None for ``.weightaudit`` beside the checkpoint.
        keep: How many of the newest versions stay, beside those with a tag; None for all.
    """

    name: str
    store: Path | None = None
    keep: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a model that was to be saved.

    Attributes:
        report: The audit; the model is in its place if and only if it is `ok`.
        version: The version that holds the model; None without an archive, or if it failed.
        problem: Why there is none, or why the model that failed is not kept, although it should be.
    """

    report: Report
    version: Version | None = None
    problem: WeightauditError | None = None


class Gate:
    """Audits what is written before it gets its name.

    Args:
        policy: What to judge, and how strictly.
        fail_on: Findings of this severity or worse keep a checkpoint out; None: findings never do.
        archive: Where to keep versions; None for none.
        keep_rejected: Whether a checkpoint that fails is kept as ``PATH.rejected``.

    Attributes:
        names: Names of the rules by code.

    Raises:
        PolicyError: The policy is wrong.
        RuleError: A rule cannot be loaded.
    """

    def __init__(
        self, policy: Policy, fail_on: Severity | None, archive: Archive | None, *, keep_rejected: bool
    ) -> None:
        self._rules = configure(load_registry(policy.plugins), policy)
        judges = chain.from_iterable(self._rules.variants())
        self.names = {judge.rule.code: judge.rule.name for judge in judges}
        self._policy = policy_digest(policy)
        self._fail_on = fail_on
        self._archive = archive
        self._keep_rejected = keep_rejected

    def prepare(self) -> None:
        """Make the store that was named, so that a wrong place is found before a training begins.

        Raises:
            StoreError: It cannot be made.
            WriteError: The directory that it is to be in cannot be made.
            UsageError: Something else is there.
        """
        if self._archive is not None and self._archive.store is not None:
            with writing(f"The store {self._archive.store} cannot be made"):
                self._archive.store.parent.mkdir(parents=True, exist_ok=True)
            create_store(self._archive.store)

    def admit(self, draft: Draft, place: Path) -> Outcome:
        """Write a model beside its place, audit it, and let it replace what is there if it passes.

        A model that does not pass changes nothing. One that passes is in place also if the store
        cannot take it.

        Raises:
            WriteError: It cannot be written; what was there is untouched.
        """
        with Staging(place) as staging:
            staged = staging.path / place.name
            report = self._judge(draft, staged, place)
            if report.ok:
                outcome = self._keep(draft, staged, place, report)
                replace_file(staged, place)
                return outcome
            return Outcome(report, problem=self._set_aside(staged, place))

    def inspect(self, draft: Draft, place: Path) -> Report:
        """Audit a model that is not to be saved; see `admit`."""
        home = next(parent for parent in place.absolute().parents if parent.is_dir())
        with Staging(home / place.name) as staging:
            return self._judge(draft, staging.path / place.name, place)

    def _judge(self, draft: Draft, staged: Path, place: Path) -> Report:
        # libhdf5 crashes the whole process where the disk is full, so it must not come to that.
        require_space(staged.parent, draft.nbytes + draft.nbytes // 16 + _ROOM)
        try:
            draft.write(staged)
        except (OSError, RuntimeError) as error:  # h5py raises both where it cannot write
            raise WriteError(f"{place.name} cannot be written: {error}.") from error
        target = Target(staged, os.path.relpath(place), explicit=True)
        report = audit_targets([target], self._rules, fail_on=self._fail_on)
        # What is wrong with the policy, such as a suppression that this epoch does not need, is told by
        # `weightaudit check`, and no reason to refuse a model.
        return replace(report, policy_findings=())

    def _keep(self, draft: Draft, staged: Path, place: Path, report: Report) -> Outcome:
        if self._archive is None:
            return Outcome(report)
        try:
            return Outcome(report, self._commit(self._archive, draft, staged, place, report))
        except WeightauditError as error:
            return Outcome(report, problem=error)

    def _set_aside(self, staged: Path, place: Path) -> WeightauditError | None:
        if not self._keep_rejected:
            return None
        try:
            # Beside the file itself where the place is a link: a rename does not lead to another disk.
            replace_file(staged, Path(f"{os.path.realpath(place)}.rejected"))
        except WriteError as error:
            return error
        return None

    def _commit(self, archive: Archive, draft: Draft, staged: Path, place: Path, report: Report) -> Version:
        parent = Path(os.path.realpath(place)).parent
        store = create_store(archive.store or enclosing_store(parent) or parent / DEFAULT_STORE)
        with open_checkpoint(staged) as checkpoint:
            made = commit(
                store,
                checkpoint,
                message=draft.message,
                author=current_user(),
                name=archive.name,
                policy=self._policy,
                findings=[finding_json(finding, self.names) for finding in report.findings],
            )
        if archive.keep is not None:
            prune(store, archive.name, keep=archive.keep)
        return made.version
