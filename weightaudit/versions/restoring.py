"""Puts a version back at a path, whole or not at all, and loses nothing that was there."""

from __future__ import annotations

import os
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from weightaudit.checkpoint import open_checkpoint
from weightaudit.digests import tensor_digests
from weightaudit.errors import ReadError, StoreError, UsageError
from weightaudit.formats import Kind
from weightaudit.storage.copying import clone_file
from weightaudit.storage.failures import writing
from weightaudit.storage.replacing import publish_model, replace_model
from weightaudit.storage.staging import Staging
from weightaudit.versions.committing import commit, digests, holds, make_folders, own_files
from weightaudit.versions.contents import contents
from weightaudit.versions.layout import enclosing_store
from weightaudit.versions.lock import WAIT
from weightaudit.versions.record import stored_tensors
from weightaudit.versions.store import open_store
from weightaudit.versions.version import is_file_intact, open_stored, refuse_links
from weightaudit.wholes import suffix_of_copy
from weightaudit.writing.files import ModelFiles, model_files

if TYPE_CHECKING:
    from collections.abc import Callable

    from weightaudit.checkpoint import Checkpoint
    from weightaudit.versions.record import Record
    from weightaudit.versions.version import Version


class Restored(NamedTuple):
    """What became of a restoration.

    Attributes:
        path: Where the version is now.
        replaced: The version that has what was there before; None if nothing was.
    """

    path: Path
    replaced: Version | None


def restore(version: Version, destination: Path, *, author: str, wait: float = WAIT) -> Restored:
    """Put a copy of a version at a path, read it back, and only then give it that name.

    A model of the same kind that is there already becomes a version first, unless one has its very
    files; then it is replaced so that at every instant the old or the new one is whole.

    Args:
        version: The version.
        destination: Where to put it: a file, a directory, or the prefix of a TensorFlow checkpoint.
        author: Who makes the version of what was there.
        wait: Seconds to wait for another process that writes versions of this model.

    Raises:
        UsageError: Something else than a model of that kind is there, it is a place in a store, or Keras
            would not open such a file under that name.
        StoreError: The version is damaged, or what was there cannot be stored.
        ReadError: What is there is damaged or changed meanwhile, so that it cannot be stored.
        WriteError: It cannot be written; what was there is untouched.
    """
    if destination.name in {"", "..", ".index"}:
        raise UsageError(f"{destination} is not the path of a model; say its name, too.")
    if version.record.container is Kind.BUNDLE:
        destination = destination.with_name(destination.name.removesuffix(".index"))
    if enclosing_store(destination) is not None:
        raise UsageError(f"{destination} lies in a version store, whose versions are never changed.")
    # In this order: clearing up after a killed process may take a second name from an open file.
    with Staging(destination) as staging, _there(version, destination) as current:
        staged = copy_version(version, staging.path / "model", destination.name)
        if current is None:
            publish_model(staged, destination)
            return Restored(destination, None)
        saved = _save(version, current, author, wait)
        replace_model(staged, model_files(current), current.files)
        return Restored(destination, saved)


def _there(version: Version, destination: Path) -> Checkpoint | nullcontext[None]:
    """Open the model that is at a path, if anything is; refuse a name under which Keras would not open it."""
    kind = version.record.container
    is_free = not os.path.lexists(destination)
    if kind is Kind.BUNDLE:
        is_free = is_free and not os.path.lexists(destination.with_name(f"{destination.name}.index"))
    if is_free:
        if suffix := suffix_of_copy(version.path.name, destination):
            raise UsageError(f"{destination}: a copy keeps the format, so let its name end in {suffix}, too.")
        return nullcontext()
    try:
        current = open_checkpoint(destination)
    except ReadError as error:
        if isinstance(error.__cause__, OSError):
            raise  # no room to inflate it, say: that is not for moving it away
        raise UsageError(
            f"{destination} is in the way and cannot be kept as a version, so move it away: {error}"
        ) from error
    if current.kind is not kind:
        current.close()
        raise UsageError(
            f"{destination} is a {current.kind} and {version.address} a {kind}; choose another path."
        )
    return current


def _save(version: Version, current: Checkpoint, author: str, wait: float) -> Version:
    """Return a version that has the files of an open model; make one if there is none."""
    store = open_store(version.store)
    stored = digests(current.files, own_files(current).names)
    for number in reversed(store.numbers(version.name)):
        try:
            known = store.get(version.name, number)
        except StoreError:
            continue
        renamed = _renaming(known.record, current.main)
        if renamed is not None and holds(known, stored, renamed):
            return known
    message = f"what was there before {version.name}@{version.number} was restored"
    return commit(store, current, message=message, author=author, name=version.name, wait=wait).version


def copy_version(version: Version, into: Path, name: str) -> ModelFiles:
    """Copy the files of a version, and see that the copies are what its record says.

    Args:
        version: The version.
        into: A directory to be made, for instance in a `Staging` directory.
        name: Main name of the copy, as in `ModelFiles`; for a directory it means nothing.

    Returns:
        The files of the copy, none of which is shared with the store.

    Raises:
        StoreError: The version is damaged.
        UsageError: Its files name each other, so that they cannot have another name.
        WriteError: They cannot be written.
    """
    record = version.record
    with writing(f"{name} cannot be written"):
        into.mkdir()
    if record.container is Kind.SHARD_INDEX and name != record.main:
        return _rewrite(version, into, name)
    renamed = _renaming(record, name)
    if renamed is None:
        raise UsageError(f"The files of {version.address} name each other; restore it as {record.main}.")
    folders = contents(version.directory).folders
    make_folders(into, folders)
    for one in record.files:
        target = renamed(one.path)
        try:
            with closing(open_stored(version.directory, one.path)) as file:
                clone_file(file.fd, into / target, 0o666)
        except ReadError as error:
            raise StoreError(f"{version.address} is damaged: {error}") from error
        if not is_file_intact(into, replace(one, path=target)):
            raise StoreError(
                f"{one.path} of {version.address} is damaged; `weightaudit versions verify` says more."
            )
    main = name if record.main or record.container is Kind.BUNDLE else ""
    return ModelFiles(
        record.container, into, main, tuple(sorted(renamed(one.path) for one in record.files)), tuple(folders)
    )


def _renaming(record: Record, name: str) -> Callable[[str], str] | None:
    """Return what the files of a version are called under another main name; None if they name each other."""
    if record.container is Kind.BUNDLE or [one.path for one in record.files] == [record.main]:
        return lambda path: name + path.removeprefix(record.main)
    return None if record.main not in {"", name} else lambda path: path


def _rewrite(version: Version, into: Path, name: str) -> ModelFiles:
    """Copy shards under another name, which their index must say."""
    from weightaudit.writing import write_model

    refuse_links(version)
    with open_checkpoint(version.path) as model:
        staged = write_model(model, {}, into, name=name)
    with open_checkpoint(staged.path) as copy:
        if stored_tensors(tensor_digests(copy), copy) != version.record.tensors:
            raise StoreError(f"{version.address} is damaged; `weightaudit versions verify` says more.")
    return staged
