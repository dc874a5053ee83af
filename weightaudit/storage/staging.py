"""Directories in which files are made before they get their name, and the removal of forgotten ones."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import time
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from weightaudit.errors import WriteError
from weightaudit.storage.failures import writing
from weightaudit.storage.locking import lock, unlock
from weightaudit.storage.termination import uninterrupted

if TYPE_CHECKING:
    from types import TracebackType

SUFFIX = ".weightaudit-tmp"

_TAIL = r"\.(\d+)\.[0-9a-f]{16}" + re.escape(SUFFIX)
_LONGEST = 180
"""Bytes of a name that are kept in the name of something that belongs to it; file systems allow 255."""

_DAY = 86400.0
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Staging(AbstractContextManager["Staging"]):
    """A directory of this process alone, beside the place where its content is going to be.

    Entering makes it, and removes those that killed processes have left for the same place.
    Leaving removes it, with what has not been renamed away by then. It is locked for as long as it
    is in use, so that another process can tell a forgotten one on every file system that has locks;
    elsewhere, one whose process is gone is removed after a day.

    Args:
        beside: What is going to be written. Where that is a symbolic link, the directory is beside
            the place that it leads to.

    Attributes:
        path: The directory, with mode 0700; empty at first.
    """

    path: Path

    def __init__(self, beside: Path) -> None:
        place = Path(os.path.realpath(beside))
        self._parent, self._name = place.parent, place.name
        self._made = False
        self._fd = -1

    def __enter__(self) -> Self:
        """Make the directory.

        Raises:
            WriteError: It cannot be made: there is no parent, or it cannot be written to.
        """
        try:
            with writing(f"{self._name} cannot be written in {self._parent}"):
                _require(self._parent)
                sweep(self._parent, self._name)
                while not self._make():
                    pass
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def _make(self) -> bool:
        """Make and lock a directory; False if another process took it for a forgotten one."""
        name = f"{_prefix(self._name)}.{os.getpid()}.{secrets.token_hex(8)}{SUFFIX}"
        with uninterrupted():
            (self._parent / name).mkdir(0o700)
            self.path, self._made = self._parent / name, True
        try:
            self._fd = os.open(self.path, _DIRECTORY)
            if lock(self._fd) is not False and os.path.samestat(os.fstat(self._fd), self.path.stat()):
                return True
        except FileNotFoundError:
            pass
        self._remove()
        return False

    def _remove(self) -> None:
        with uninterrupted():
            if self._made:
                remove_tree(self.path)
            if self._fd >= 0:
                unlock(self._fd)
            self._fd = -1


def _require(parent: Path) -> None:
    if not parent.is_dir():
        raise WriteError(f"There is no directory {parent} to write to; make it first.")


def belonging(name: str, suffix: str) -> str:
    """Return the name of a hidden file that belongs to another one in the same directory."""
    return f"{_prefix(name)}{suffix}"


def sweep(directory: Path, name: str) -> None:
    """Remove what killed processes have left of their `Staging` directories for one place.

    Args:
        directory: Where to look.
        name: Name of what was going to be written there.
    """
    shape = re.compile(re.escape(_prefix(name)) + _TAIL)
    with suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            match = shape.fullmatch(entry.name)
            if match and entry.is_dir(follow_symlinks=False):
                with suppress(OSError):
                    _remove_forgotten(directory / entry.name, int(match[1]))


def remove_tree(path: Path) -> None:
    """Remove a directory with everything in it, read-only parts as well; what resists is left."""
    for attempt in (Path.rmdir, _remove_all, _make_writable, _remove_all):
        with suppress(OSError, RecursionError):  # deeper than Python goes is nothing of ours
            attempt(path)
        if _is_gone(path):
            return


def _is_gone(path: Path) -> bool:
    """Say whether there is nothing at a path; `os.path.lexists` would take any error for that."""
    try:
        path.lstat()
    except FileNotFoundError:
        return True
    except OSError:
        pass
    return False


def _remove_all(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)


def _make_writable(path: Path) -> None:
    """Let the user of this process list and change a directory, and all that are in it.

    Directories are opened one in another and never through a link, also not through one that somebody
    puts there meanwhile.

    Raises:
        OSError: The directory itself is not there, or belongs to another user.
    """
    fd = os.open(path, _DIRECTORY)
    try:
        _make_all_writable(fd)
    finally:
        os.close(fd)


def _make_all_writable(fd: int) -> None:
    os.fchmod(fd, 0o700)
    with os.scandir(fd) as entries:
        names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    for name in names:
        with suppress(OSError):
            inner = os.open(name, _DIRECTORY, dir_fd=fd)
            try:
                _make_all_writable(inner)
            finally:
                os.close(inner)


def _prefix(name: str) -> str:
    encoded = os.fsencode(name)
    if len(encoded) > _LONGEST:
        digest = hashlib.sha256(encoded).hexdigest()[:16]
        name = os.fsdecode(encoded[: _LONGEST - 17]) + "~" + digest
    return f".{name}"


def _remove_forgotten(path: Path, process: int) -> None:
    """Remove a staging directory if nobody is using it."""
    fd = os.open(path, _DIRECTORY)
    try:
        status = os.fstat(fd)
        free = lock(fd)
        if free is None:
            free = time.time() - status.st_mtime > _DAY and not _is_running(process)
        if free and status.st_uid == os.geteuid():
            remove_tree(path)
    finally:
        unlock(fd)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True
