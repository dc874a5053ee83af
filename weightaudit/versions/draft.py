"""A version that is being made: a hidden directory, until one rename makes it the next version."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from weightaudit.catalog import Flaw
from weightaudit.checkpoint import open_checkpoint
from weightaudit.digests import source_digest, tensor_digests
from weightaudit.errors import StoreError
from weightaudit.source import LocalFile
from weightaudit.storage.copying import create, write_at
from weightaudit.storage.failures import writing
from weightaudit.storage.publishing import publish
from weightaudit.versions.contents import contents
from weightaudit.versions.layout import RECORD, is_portable
from weightaudit.versions.record import Record, StoredFile, StoredTensor, stored_tensors
from weightaudit.versions.record_json import read_record, record_bytes
from weightaudit.versions.version import Version, model_path
from weightaudit.versions.who import current_time, tool_versions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from weightaudit.change import Change
    from weightaudit.checkpoint import Checkpoint
    from weightaudit.versions.store import Store
    from weightaudit.writing.files import ModelFiles


class Draft:
    """A new version, not yet published; `Store.new_version` makes it and holds the lock meanwhile.

    Write a model into `path`, for instance with `weightaudit.writing.write_model`, then call `publish`::

        with store.new_version("model.keras", parent=original.number) as draft:
            record = draft.record(checkpoint, message=..., author=..., changes=..., tensors=...)
            document, reuse = embedded(record), original.files()
            staged = write_model(checkpoint, edits, draft.path, record=document, reuse=reuse)
            version = draft.publish(record, staged)

    Attributes:
        store: The store.
        name: Name of the model.
        number: Number that the version will have.
        parent: Number of the version that it is made from; None for the first.
        path: Empty directory to write the model into.
    """

    def __init__(self, store: Store, name: str, number: int, parent: int | None, path: Path) -> None:
        self.store = store
        self.name = name
        self.number = number
        self.parent = parent
        self.path = path
        # Whoever may list the version may read its files, and nobody may write to them.
        self._mode = stat.S_IMODE(path.stat().st_mode) & 0o444

    def record(
        self,
        checkpoint: Checkpoint,
        *,
        message: str,
        author: str,
        policy: str | None = None,
        tensors: Sequence[StoredTensor] = (),
        changes: Sequence[Change] = (),
        before: Sequence[Mapping[str, Any]] = (),
        after: Sequence[Mapping[str, Any]] = (),
    ) -> Record:
        """Return the record of this version, but for its files.

        Args:
            checkpoint: The open model that is copied, mended or not.
            message: Why the version is made.
            author: Who makes it.
            policy: SHA-256 of the policy that asked for changes.
            tensors: What the version must hold, see `stored_tensors`; without them `publish` writes
                down what it does hold.
            changes: How it differs from the parent.
            before: Findings in the parent, see `weightaudit.render.json.finding_json`.
            after: Findings in this version.
        """
        return Record(
            model=self.name,
            version=self.number,
            parent=self.parent,
            container=checkpoint.kind,
            main=checkpoint.main,
            created=current_time(),
            author=author,
            message=message,
            tools=tool_versions(),
            policy=policy,
            tensors=tuple(tensors),
            changes=tuple(changes),
            before=tuple(before),
            after=tuple(after),
        )

    def publish(self, record: Record, staged: ModelFiles, *, is_proved: bool = False) -> Version:
        """Read back what was written, write the record beside it, and make it the next version.

        Files and tensors that the record names already must be exactly those that are there;
        without any, what is there is written down. Everything is on the disk when this returns.

        Args:
            record: What `record` returned.
            staged: The files of the model in `path`.
            is_proved: Whether the tensors that the record names are known to be those in `path`,
                because they were read back already.

        Raises:
            StoreError: What is there is not what the record says, or is no whole model.
            WriteError: It cannot be published.
            ReadError: What was written cannot be read.
        """
        with writing(f"The record of {self.name}@{self.number} cannot be written"):
            (self.path / RECORD).unlink(missing_ok=True)  # of the version that the model was taken from
        self._refuse_strangers(staged)
        files = tuple(self._seal(name) for name in staged.names if name != RECORD)
        if record.files and set(record.files) != set(files):
            raise StoreError(
                f"What was written of {self.name} is not what was read, so no version was made; "
                "try again once nothing writes to it."
            )
        record = replace(record, files=files)
        if not is_proved:
            record = replace(record, tensors=self._tensors(record, staged))
        self._write(record)
        place = self.store.root / self.name / str(self.number)
        publish(self.path, place, f"{self.name}@{self.number}")
        return Version(self.store.root, self.name, self.number, record)

    def _refuse_strangers(self, staged: ModelFiles) -> None:
        strangers = contents(self.path).files.keys() ^ (set(staged.names) - {RECORD})
        for name in (*strangers, *staged.names):
            if name in strangers or not is_portable(name):
                raise StoreError(f"{name!r} cannot be part of a version of {self.name}.")

    def _seal(self, name: str) -> StoredFile:
        """Make a file read-only and take its digest."""
        file = LocalFile(self.path / name, label=name)
        try:
            if stat.S_IMODE(os.fstat(file.fd).st_mode) != self._mode:
                os.fchmod(file.fd, self._mode)
            return StoredFile(name, file.size, source_digest(file))
        except OSError as error:
            raise StoreError(f"{name} cannot be made read-only: {error.strerror}.") from error
        finally:
            file.close()

    def _tensors(self, record: Record, staged: ModelFiles) -> tuple[StoredTensor, ...]:
        with open_checkpoint(model_path(self.path, staged.kind, staged.main)) as model:
            if (model.kind, model.main) != (record.container, record.main):
                raise StoreError(f"What was written of {self.name} is no {record.container} {record.main}.")
            for defect in model.defects:
                if defect.flaw is Flaw.MISSING_DATA:
                    raise StoreError(f"{self.name} is not whole, so it is not stored. {defect.message}")
            found = stored_tensors(tensor_digests(model), model)
        if record.tensors and set(record.tensors) != set(found):
            name = min(one.name for one in set(record.tensors) ^ set(found))
            raise StoreError(f"{name} was not written as planned, so no version was made.")
        return found

    def _write(self, record: Record) -> None:
        path = self.path / RECORD
        with writing(f"The record of {self.name}@{self.number} cannot be written"):
            fd = create(path, self._mode)
            try:
                write_at(fd, record_bytes(record), 0)
            finally:
                os.close(fd)
        # What could not be read again must not be published.
        file = LocalFile(path)
        try:
            same = record_bytes(read_record(file, RECORD)) == record_bytes(record)
        finally:
            file.close()
        if not same or (record.model, record.version) != (self.name, self.number):
            raise StoreError(f"The record is not that of {self.name}@{self.number}.")
