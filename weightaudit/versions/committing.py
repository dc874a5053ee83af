"""Puts an open model into a store as it is: a new version without any change."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from weightaudit.digests import source_digest
from weightaudit.errors import StoreError, UsageError
from weightaudit.storage.copying import clone_file, share_file
from weightaudit.storage.failures import writing
from weightaudit.versions.layout import MARKER, RECORD, model_name
from weightaudit.versions.lock import WAIT
from weightaudit.versions.record import StoredFile
from weightaudit.versions.record_json import read_record
from weightaudit.versions.version import Version, is_file_intact
from weightaudit.writing.files import ModelFiles, model_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from weightaudit.checkpoint import Checkpoint
    from weightaudit.source import Files
    from weightaudit.versions.draft import Draft
    from weightaudit.versions.store import Store


class Committed(NamedTuple):
    """What became of a commit.

    Attributes:
        version: The version that holds the model.
        is_new: Whether it was made now; otherwise a version had these very files already.
    """

    version: Version
    is_new: bool


def commit(
    store: Store,
    checkpoint: Checkpoint,
    *,
    message: str,
    author: str,
    name: str | None = None,
    policy: str | None = None,
    findings: Sequence[Mapping[str, Any]] = (),
    always: bool = False,
    any_version: bool = False,
    wait: float = WAIT,
) -> Committed:
    """Store an open model as a new version, byte for byte, unless the newest version is just that.

    Files that the newest version has too are shared with it by hard links, never with the user's
    own. Everything is read back and compared before the version appears, and is on the disk when
    this returns.

    Args:
        store: The store.
        checkpoint: The model.
        message: Why.
        author: Who.
        name: Name of the model in the store; by default that of its file, directory or prefix.
        policy: SHA-256 of the policy that judged it.
        findings: Findings in it, see `weightaudit.render.json.finding_json`.
        always: Make a new version even if the newest has these very files.
        any_version: Make none if any version has these very files, not only the newest.
        wait: Seconds to wait for another process that writes versions of this model.

    Raises:
        ReadError: The model cannot be read, or changed meanwhile.
        StoreError: A part of the model is missing; the store cannot be written to, or is in use for longer.
        WriteError: The version cannot be written.
        UsageError: The store lies inside the model, or no model can have that name.
    """
    files = own_files(checkpoint)
    stored = digests(checkpoint.files, files.names)
    # Not later: sharing a file with a version that the model itself is would count as a change of it.
    checkpoint.check_unchanged()
    with store.new_version(name or model_name(files), wait=wait) as draft:
        numbers = () if always else store.numbers(draft.name)[::-1] if any_version else (draft.number - 1,)
        known = _holder(store, draft.name, numbers, stored)
        if known is not None:
            return Committed(known, is_new=False)
        _write(checkpoint.files, files, stored, _newest(store, draft), draft.path)
        record = draft.record(checkpoint, message=message, author=author, policy=policy, after=findings)
        record = replace(record, files=stored)
        return Committed(draft.publish(record, replace(files, root=draft.path)), is_new=True)


def own_files(checkpoint: Checkpoint) -> ModelFiles:
    """Return the files of an open model without the record that a copy of a version has.

    Raises:
        ReadError: A directory of it holds something that is no regular file.
        StoreError: A file of it has the name of a record and is none.
        UsageError: A version store lies in it.
    """
    files = model_files(checkpoint)
    if any(Path(name).name == MARKER for name in files.names):
        raise UsageError(f"A version store lies inside the model {files.path}; move it out of there.")
    if RECORD in files.folders:
        raise StoreError(f"{RECORD} is a directory, and versions need that name for their records.")
    if RECORD not in files.names:
        return files
    with checkpoint.files.borrow(RECORD) as file:
        read_record(file, f"{RECORD}, a name that versions need for their records,")
    return replace(files, names=tuple(name for name in files.names if name != RECORD))


def digests(files: Files, names: Iterable[str]) -> tuple[StoredFile, ...]:
    """Return size and digest of the files of an open model.

    Raises:
        ReadError: One cannot be read, or changes meanwhile.
    """
    stored: list[StoredFile] = []
    for name in names:
        with files.borrow(name) as file:
            stored.append(StoredFile(name, file.size, source_digest(file)))
    return tuple(stored)


def holds(
    version: Version, files: Iterable[StoredFile], renamed: Callable[[str], str] = lambda path: path
) -> bool:
    """Say whether a version has exactly these files, on the disk and not only in its record.

    Args:
        version: The version.
        files: The files of a model.
        renamed: What the version's files would be called if it had the name of that model.
    """
    known = version.record.files
    return {replace(one, path=renamed(one.path)) for one in known} == set(files) and all(
        is_file_intact(version.directory, one) for one in known
    )


def make_folders(into: Path, folders: Iterable[str]) -> None:
    """Make directories below another one, outer ones first.

    Raises:
        WriteError: One cannot be made.
    """
    for folder in sorted(folders):
        with writing(f"{folder} cannot be made"):
            (into / folder).mkdir()


def _holder(store: Store, name: str, numbers: Iterable[int], files: Sequence[StoredFile]) -> Version | None:
    """Return the first of some versions that has exactly these files; damaged ones have not."""
    for number in numbers:
        with suppress(StoreError):
            version = store.get(name, number)
            if holds(version, files):
                return version
    return None


def _newest(store: Store, draft: Draft) -> Version | None:
    """Return the newest version, None if there is none or it cannot be understood."""
    try:
        return store.get(draft.name, draft.number - 1)
    except StoreError:
        return None


def _write(
    source: Files, files: ModelFiles, stored: Iterable[StoredFile], newest: Version | None, into: Path
) -> None:
    known = {} if newest is None else {(one.sha256, one.size): one for one in newest.record.files}
    make_folders(into, files.folders)
    for one in stored:
        shared = known.get((one.sha256, one.size))
        if newest is not None and shared is not None and is_file_intact(newest.directory, shared):
            share_file(newest.directory / shared.path, into / one.path)
        else:
            with source.borrow(one.path) as file:
                clone_file(file.fd, into / one.path, 0o666)
