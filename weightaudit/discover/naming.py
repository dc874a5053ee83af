"""What a path means that a user names: a version, a model, or a part of one."""

from __future__ import annotations

import os
import re
from errno import ENAMETOOLONG
from glob import glob, has_magic
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from weightaudit.discover.state_file import NAME, latest_named
from weightaudit.errors import ReadError, UsageError
from weightaudit.formats import Kind, sniff
from weightaudit.wholes import first_shard, table_shards, whole_of

if TYPE_CHECKING:
    from weightaudit.versions.version import Version


def addressed(text: str) -> Version | None:
    """Return the version that a text is the address of; None for what is on the disk, or no address.

    Raises:
        StoreError: There is a store where it says, but no such version in it.
        UsageError: It names no version, or can mean more than one.
        ReadError: What has its name cannot be looked at.
    """
    if "@" not in text or os.path.lexists(text):
        return None
    path = Path(text)
    matches = glob(text, recursive=True, include_hidden=True) if has_magic(text) else []  # noqa: PTH207 - as in `searching`
    if is_directory(path) or matches or model_named(path) is not None:
        return None
    from weightaudit.versions.address import find_version

    return find_version(text)


def model_named(path: Path) -> Path | None:
    """Return the model that a user means by a path which is not a directory.

    Raises:
        ReadError: It is two models at once, or names one that is not there.
    """
    # Whatever is there and is no file, such as a pipe, is refused when it is opened, and not called missing.
    if not path.exists():
        return _of_prefix(path.parent, path.name)
    if path.name == NAME:
        return checkpoint_of(path.parent) or path
    if path.with_name(f"{path.name}.index").is_file() and sniff(path) is None:
        return path.with_name(f"{path.name}.index")
    return whole_of(path) or first_shard(path)


def checkpoint_of(directory: Path) -> Path | None:
    """Return the checkpoint that a directory's `checkpoint` file names; None if it has no such file.

    Raises:
        ReadError: The checkpoint is not there, or it is not clear which one is meant.
    """
    state = directory / NAME
    named = latest_named(state) if state.is_file() else None
    if named is None:
        return None
    if ".." in PurePath(named).parts:
        raise ReadError(f"{state} names the checkpoint {named!r}, which lies outside; name its .index file.")
    # An absolute path was true on the machine that trained: only its last part means anything here.
    last = re.split(r"[/\\]", named)[-1]
    for prefix in (last,) if PurePath(named).is_absolute() else (named, last):
        if model := _of_prefix(directory, prefix):
            return model
    raise ReadError(f"{state} names the checkpoint {named!r}, which is not beside it.")


def _of_prefix(directory: Path, prefix: str) -> Path | None:
    """Return the checkpoint of a prefix: TensorFlow looks for one of version 2 first.

    A prefix may end in a slash: then the files are called `.index` and so on.
    """
    index = directory / f"{prefix}.index"
    if index.is_file():
        return index
    path = directory / prefix
    tables = [path] if path.is_file() else table_shards(path)
    return next((table for table in tables if sniff(table) is Kind.TABLE), None)


def is_checkpoint(model: Path) -> bool:
    """Say whether a model is a TensorFlow checkpoint of either version."""
    return model.name.endswith(".index") or (model.is_file() and sniff(model) is Kind.TABLE)


def is_directory(path: Path) -> bool:
    """Say whether a path is a directory.

    Raises:
        UsageError: The name is longer than any can be.
        ReadError: It cannot be looked at.
    """
    try:
        return path.is_dir()
    except OSError as error:
        if error.errno == ENAMETOOLONG:
            raise UsageError(f"{path} does not exist: the name is too long.") from error
        raise ReadError(f"{path} cannot be looked at: {error.strerror}.") from error
