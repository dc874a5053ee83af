"""Brings files to the disk, so that a power cut does not take them back.

A rename is durable only if the file was synced before it and the directory after it: leaving out
the first gave files of zero bytes on ext4 and xfs, leaving out the second the old name.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from errno import EBADF, EINVAL, ENOTSUP, EOPNOTSUPP
from pathlib import Path
from typing import TYPE_CHECKING

from weightaudit.errors import WriteError
from weightaudit.storage.failures import reason, writing

if TYPE_CHECKING:
    from collections.abc import Generator

_NO_DIRECTORY_SYNC = frozenset({EBADF, EINVAL, ENOTSUP, EOPNOTSUPP})
"""What file systems answer that cannot sync a directory, and have no need to."""

_FULL_SYNC: int | None = getattr(fcntl, "F_FULLFSYNC", None)
"""On macOS, fsync leaves the data in the cache of the drive, and only this brings it out."""


def sync_fd(fd: int) -> None:
    """Bring an open file to the disk.

    Raises:
        OSError: It cannot be; what was written to it is then lost for good, so do not try again.
    """
    if _FULL_SYNC is not None:
        try:
            fcntl.fcntl(fd, _FULL_SYNC)
        except OSError as error:
            if error.errno not in _NO_DIRECTORY_SYNC:
                raise
        else:
            return
    os.fsync(fd)


def sync_directory(path: Path) -> None:
    """Bring the names in a directory to the disk.

    Raises:
        OSError: It cannot be done.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sync_fd(fd)
    except OSError as error:
        if error.errno not in _NO_DIRECTORY_SYNC:
            raise
    finally:
        os.close(fd)


def fsync_tree(path: Path) -> None:
    """Bring a file, or a directory with everything in it, to the disk: files first, then inner directories.

    Raises:
        WriteError: A part cannot be brought there.
    """
    with writing(f"{path.name} cannot be brought to the disk"):
        if not path.is_dir():
            _sync_file(path)
            return
        for folder, _, names in os.walk(path, topdown=False, onerror=_fail):
            for name in names:
                _sync_file(Path(folder, name))
            sync_directory(Path(folder))


@contextmanager
def in_place(name: str) -> Generator[None]:
    """Say of an OSError that it came after the new state was in place, and what that means."""
    try:
        yield
    except OSError as error:
        raise WriteError(
            f"{name} is in place, but it may not survive a power cut: {reason(error)}."
        ) from error


def _sync_file(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        sync_fd(fd)
    finally:
        os.close(fd)


def _fail(error: OSError) -> None:
    raise error
