"""One process at a time adds to, or takes from, the versions of one model."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import stat
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, cast

from weightaudit.errors import StoreError
from weightaudit.versions.layout import LOCK
from weightaudit.versions.who import current_time

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

WAIT = 30.0
"""Seconds that a process waits for another one, unless told otherwise."""

_PAUSE = 0.05
_NOTE = 4096


@contextmanager
def locked(folder: Path, wait: float = WAIT) -> Generator[None]:
    """Hold the lock of a model's versions; the kernel releases it when the process dies.

    Args:
        folder: Directory of the versions.
        wait: Seconds to wait for whoever holds it.

    Raises:
        StoreError: It is still held after that time, or the directory cannot be written to.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(folder / LOCK, flags, 0o666)
    except OSError as error:
        raise StoreError(f"The store {folder.parent} cannot be written to: {error.strerror}.") from error
    try:
        _acquire(fd, folder, wait)
        _sign(fd)
        yield
        _unsign(fd)
    finally:
        # Whether the note about the holder reached the disk says nothing about what was done.
        with suppress(OSError):
            os.close(fd)


def _acquire(fd: int, folder: Path, wait: float) -> None:
    patience = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= patience:
                raise StoreError(
                    f"The versions of {folder.name} are in use by {_holder(fd)}; "
                    f"nothing was changed in {wait:g} s of waiting. Try again once it is done."
                ) from None
            time.sleep(_PAUSE)
        except OSError as error:
            raise StoreError(f"The store {folder.parent} cannot be locked: {error.strerror}.") from error
        else:
            return


def _sign(fd: int) -> None:
    """Leave word of who holds the lock. It is for people only, so a full disk does not matter."""
    note = {"pid": os.getpid(), "host": socket.gethostname(), "since": current_time()}
    with suppress(OSError):
        if _is_own(fd):
            os.ftruncate(fd, 0)
            os.pwrite(fd, json.dumps(note).encode(), 0)


def _unsign(fd: int) -> None:
    with suppress(OSError):
        if _is_own(fd):
            os.ftruncate(fd, 0)


def _is_own(fd: int) -> bool:
    """Say whether the file is a lock only: as another name of somebody's file it must stay as it is."""
    status = os.fstat(fd)
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1


def _holder(fd: int) -> str:
    try:
        note = json.loads(os.pread(fd, _NOTE, 0))
    except (OSError, ValueError, RecursionError):
        note = None
    if not isinstance(note, dict):
        return "another process"
    said = cast("dict[str, object]", note)
    return f"process {said.get('pid')} on {said.get('host')} since {said.get('since')}"
