"""Gives finished files their name: a new one, or in the place of what has it."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from weightaudit.errors import WriteError
from weightaudit.storage.attributes import keep_attributes, keep_times
from weightaudit.storage.copying import create, write_at
from weightaudit.storage.failures import writing
from weightaudit.storage.renaming import exchange, rename_new
from weightaudit.storage.staging import Staging, remove_tree
from weightaudit.storage.syncing import fsync_tree, in_place, sync_directory

if TYPE_CHECKING:
    from collections.abc import Callable


def publish(staged: Path, destination: Path, label: str = "") -> None:
    """Give a finished file or directory a name that nothing has yet, durably.

    Args:
        staged: What was made, in a `Staging` directory beside the destination.
        destination: Its name from now on.
        label: What it is called in messages; by default its name.

    Raises:
        WriteError: There is something of that name, or it is not possible; nothing has changed,
            unless the message says that the new state is in place.
    """
    label = label or destination.name
    fsync_tree(staged)
    with writing(f"{label} cannot be written"):
        try:
            rename_new(staged, destination)
        except FileExistsError:
            raise WriteError(
                f"{destination} exists already and is not replaced; choose another name."
            ) from None
    with in_place(label):
        sync_directory(destination.parent)


def replace_file(
    staged: Path,
    destination: Path,
    check: Callable[[Path], None] | None = None,
    *,
    follow_link: bool = True,
) -> None:
    """Put a finished file in the place of another one, or of none, durably.

    The mode and, if possible, the owner of the old file are kept. Where the destination is a
    symbolic link, the file that it leads to is replaced, as editors and ``sed --follow-symlinks`` do;
    other hard links of the old file keep the old content.

    Args:
        staged: What was made, in a `Staging` directory beside the destination.
        destination: What it replaces.
        check: Raises if a path does not hold the old file. It is asked before the file is replaced, and
            where two names can be swapped in one step, of what came out: if that was another file, put
            there in the last moment, it goes back.
        follow_link: Whether a symbolic link leads to what is replaced, or is replaced itself.

    Raises:
        WriteError: It is not possible; the old file is untouched, unless the message says that the
            new one is in place.
    """
    place = Path(os.path.realpath(destination)) if follow_link else destination
    with writing(f"{destination.name} cannot be replaced"):
        if os.path.lexists(place):
            if not stat.S_ISREG(place.lstat().st_mode):
                raise WriteError(f"{destination.name} cannot be replaced: it is not a regular file.")
            keep_attributes(place, staged)
    fsync_tree(staged)
    with writing(f"{destination.name} cannot be replaced"):
        if check is None or not _swap(staged, place, check):
            staged.replace(place)
    with in_place(destination.name):
        sync_directory(place.parent)


def replace_directory(staged: Path, destination: Path, check: Callable[[Path], None] | None = None) -> None:
    """Swap a finished directory with the one in its place, durably, and remove that one.

    Mode and owner of the old directory, and of the old files of the same names, are kept; what has a
    new name gets those of the directory. Where the destination is a symbolic link, the directory
    that it leads to is replaced.

    Args:
        staged: What was made, in a `Staging` directory beside the destination.
        destination: The directory that it replaces.
        check: Raises if a path does not hold the old directory; see `replace_file`.

    Raises:
        WriteError: It is not possible, or the file system cannot swap directories; the old one is
            untouched, unless the message says that the new one is in place.
    """
    place = Path(os.path.realpath(destination))
    with writing(f"{destination.name} cannot be replaced"):
        if not place.is_dir():
            raise WriteError(f"{destination.name} cannot be replaced: it is not a directory.")
        _keep_all_attributes(place, staged)
    fsync_tree(staged)
    with writing(f"{destination.name} cannot be replaced"):
        if not _swap(staged, place, check or _accept):
            raise WriteError(
                f"{destination.name} cannot be replaced in one step on this file system; "
                "write the new model to another place with --output."
            )
    with in_place(destination.name):
        sync_directory(place.parent)
        sync_directory(staged.parent)
    remove_tree(staged)


def _accept(_: Path) -> None:
    """Take whatever is there for the old one."""


def _swap(staged: Path, place: Path, check: Callable[[Path], None]) -> bool:
    """Swap what is staged with what is in its place, if that is what it should be.

    Returns:
        Whether that is possible here; otherwise nothing has changed, and what is in the place was checked.
    """
    check(place)
    try:
        exchange(staged, place)
    except NotImplementedError:
        return False
    try:
        check(staged)
    except BaseException:
        exchange(staged, place)
        raise
    return True


def save_bytes(data: bytes, destination: Path, mode: int = 0o666, *, follow_link: bool = True) -> None:
    """Write a small file so that at every instant the old one or the whole new one is there.

    Args:
        data: The content.
        destination: The file, new or not.
        mode: Permissions if it is new, less the umask.
        follow_link: As of `replace_file`.

    Raises:
        WriteError: It cannot be written; the old one is untouched.
    """
    with Staging(destination) as staging:
        staged = staging.path / "new"
        with writing(f"{destination.name} cannot be written"):
            fd = create(staged, mode)
            try:
                write_at(fd, data, 0)
            finally:
                os.close(fd)
        replace_file(staged, destination, follow_link=follow_link)


def _keep_all_attributes(old: Path, new: Path) -> None:
    keep_attributes(old, new)
    for folder, inner, names in os.walk(new):
        for name in (*inner, *names):
            path = Path(folder, name)
            known = old / path.relative_to(new)
            keep_attributes(known if known.exists() else old, path)
            keep_times(known, path)
