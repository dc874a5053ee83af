"""Where things lie in a version store, and which names may stand in it."""

from __future__ import annotations

import os
import re
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from weightaudit.errors import StoreError, UsageError

if TYPE_CHECKING:
    from weightaudit.writing.files import ModelFiles

DEFAULT_STORE = ".weightaudit"
"""Name of a store that nobody named, in the directory of the model."""
MARKER = "weightaudit-store.json"
"""File in the root of every store; it says which layout the store has."""
RECORD = "weightaudit.json"
"""The record of a version, beside its files."""
TAGS = "tags.json"
"""The tags of one model's versions."""
LOCK = ".lock"
"""File that is locked while something is added to, or taken from, one model's versions."""
SIGNATURE = ".sig"
"""What follows a version's number in the name of the file, beside its directory, that holds its signature."""
LATEST = "latest"
"""What stands for the newest version in an address."""
_NUMBER = re.compile(r"[1-9][0-9]{0,17}")


def version_number(name: str) -> int | None:
    """Return the number that the name of a directory is, None if it names no version."""
    return int(name) if _NUMBER.fullmatch(name) else None


def signature_path(folder: Path, number: int) -> Path:
    """Return where the signature of a version is, given the directory of the model's versions."""
    return folder / f"{number}{SIGNATURE}"


def is_store(directory: Path) -> bool:
    """Say whether a directory is the root of a version store."""
    # Unlike pathlib, this takes a directory that cannot be searched for one without a marker.
    return os.path.isfile(os.path.join(directory, MARKER))  # noqa: PTH113, PTH118 - see above


def enclosing_store(path: Path) -> Path | None:
    """Return the store that a path is, or lies in; None if there is none. Nothing need be there."""
    real = Path(os.path.realpath(path))
    return next((place for place in chain([real], real.parents) if is_store(place)), None)


def enclosing_model(path: Path) -> Path | None:
    """Return the SavedModel that a path lies in, and would become a part of; None if there is none."""
    parents = Path(os.path.realpath(path)).parents
    # As in `is_store`: a directory that cannot be searched is none.
    return next((place for place in parents if os.path.isfile(place / "saved_model.pb")), None)  # noqa: PTH113


def default_store(files: ModelFiles) -> Path:
    """Return the store of a model for which nobody named one: beside it, or the one that it lies in.

    Raises:
        UsageError: A link that leads to no store is in its place.
    """
    beside = (files.root.parent if files.is_directory else files.root) / DEFAULT_STORE
    if beside.is_symlink() and not is_store(beside):
        # A link that came with a model from elsewhere must not choose where versions go.
        raise UsageError(f"{beside} is a link to what is no version store; name the place with --store.")
    return enclosing_store(files.root) or beside


def model_name(files: ModelFiles) -> str:
    """Return the name of a model's file, directory or prefix; of a version, what it is called already."""
    store = enclosing_store(files.root)
    inside = () if store is None else files.root.relative_to(store).parts
    return inside[0] if inside else files.main or files.root.name


def is_there(path: Path) -> bool:
    """Say whether anything has a path, be it a link that leads nowhere.

    Raises:
        StoreError: That cannot be found out, and is not to be taken for a no.
    """
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise StoreError(f"{path} cannot be looked at: {error.strerror}.") from error
    return True


def is_portable(name: str) -> bool:
    """Say whether a file's name can be written down: one that is not UTF-8 cannot."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
