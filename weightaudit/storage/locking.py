"""One process at a time changes the files of a directory."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from weightaudit.errors import WriteError
from weightaudit.storage.failures import writing

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

PATIENCE = 10.0
"""Seconds for which the lock is waited for; it is held for milliseconds."""

_PAUSE = 0.02


@contextmanager
def locked(directory: Path, patience: float = PATIENCE) -> Generator[None]:
    """Hold the lock of a directory: the directory's own, so that no lock file is left behind.

    It ends with the process, however that ends. Where the file system has no locks (some network
    file systems), there is none.

    Args:
        directory: An existing directory.
        patience: Seconds to wait for another holder.

    Raises:
        WriteError: It cannot be opened, or another process holds the lock for too long.
    """
    with writing(f"{directory} cannot be opened"):
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + patience
        while lock(fd) is False:
            if time.monotonic() > deadline:
                raise WriteError(
                    f"Another process is replacing a model in {directory}; try again when it is done."
                )
            time.sleep(_PAUSE)
        yield
    finally:
        unlock(fd)


def lock(fd: int) -> bool | None:
    """Take the lock of an open directory if it is free.

    Returns:
        Whether it was free; None where the file system has no locks.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def unlock(fd: int) -> None:
    """Close a directory, and give up its lock. Nothing was written by it, so nothing can be lost."""
    with suppress(OSError):
        os.close(fd)
