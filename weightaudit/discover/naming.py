"""What a path means that a user names: a version, a model, or a part of one."""

from __future__ import annotations

import os
import re
from errno import ENAMETOOLONG
from glob import glob, has_magic
from pathlib import Path
from typing import TYPE_CHECKING

from weightaudit.errors import ReadError, UsageError
from weightaudit.formats import Kind, sniff
from weightaudit.wholes import first_shard, table_shards, whole_of

if TYPE_CHECKING:
    from weightaudit.versions.version import Version

_STATE = re.compile(r'^model_checkpoint_path:\s*"(.*)"\s*$', re.MULTILINE)

_LONGEST_STATE = 1 << 16
"""Bytes of a `checkpoint` file in which it must name its checkpoint."""


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
    """Return the model that a user means by a path which is not a directory."""
    index = path.with_name(f"{path.name}.index")
    # Whatever is there and is no file, such as a pipe, is refused when it is opened, and not called missing.
    if path.exists():
        if path.name == "checkpoint":
            return checkpoint_of(path.parent) or path
        if index.is_file() and sniff(path) is None:
            return index
        return whole_of(path) or first_shard(path)
    if index.is_file():
        return index
    shards = [shard for shard in table_shards(path) if sniff(shard) is Kind.TABLE]
    return shards[0] if shards else None


def checkpoint_of(directory: Path) -> Path | None:
    """Return the checkpoint that a directory's `checkpoint` file names; None if it has no such file."""
    state = directory / "checkpoint"
    if not state.is_file():
        return None
    with state.open("rb") as stream:
        match = _STATE.search(stream.read(_LONGEST_STATE).decode("utf-8", "replace"))
    if match is None:
        return None
    # The path was true on the machine that trained; only its last part means anything here.
    prefix = directory / re.split(r"[/\\]", match[1])[-1]
    if prefix == directory:
        index = directory / ".index"
        model = index if index.is_file() else None
    else:
        model = model_named(prefix)
    if model is None:
        raise ReadError(f"{state} names the checkpoint {match[1]!r}, which is not beside it.")
    return model


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
