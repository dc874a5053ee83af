"""Renames that plain POSIX does not have: one that replaces nothing, and one that swaps two names."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from errno import EEXIST, EINTR, EINVAL, EMLINK, ENOSYS, ENOTSUP, EOPNOTSUPP, EPERM
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_AT_FDCWD = -100
_NO_REPLACE = 4 if sys.platform == "darwin" else 1
"""RENAME_EXCL of macOS' renamex_np(2), RENAME_NOREPLACE of Linux' renameat2(2)."""
_SWAP = 2
"""RENAME_SWAP of macOS, RENAME_EXCHANGE of Linux."""

_UNSUPPORTED = frozenset({ENOSYS, EINVAL, ENOTSUP, EOPNOTSUPP})
NO_LINKS = frozenset({EPERM, EMLINK, ENOSYS, ENOTSUP, EOPNOTSUPP})
"""What file systems answer that have no hard links, or no more of them for a file."""


def rename_new(source: Path, target: Path) -> None:
    """Rename a file or a directory to a name that nothing has yet.

    Where the file system cannot promise that, a file is linked to the new name, which cannot
    replace anything either. A directory, or a file that cannot be linked, is renamed after a look;
    for a directory, an empty one is then all that could be lost.

    Raises:
        FileExistsError: There is something of that name.
        OSError: It is not possible.
    """
    try:
        rename_flagged(source, target, _NO_REPLACE)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        if source.is_dir() or not _relink(source, target):
            _rename_after_a_look(source, target)


def _relink(source: Path, target: Path) -> bool:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        return False
    with suppress(OSError):  # it has its name, and what is left is in a staging directory
        source.unlink()
    return True


def _rename_after_a_look(source: Path, target: Path) -> None:
    if os.path.lexists(target):
        raise FileExistsError(EEXIST, os.strerror(EEXIST), str(target))
    source.rename(target)


def exchange(first: Path, second: Path) -> None:
    """Swap two names, of directories as well, in one step.

    Raises:
        NotImplementedError: The file system, or the operating system, has no such step.
        OSError: It is not possible.
    """
    try:
        rename_flagged(first, second, _SWAP)
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            raise NotImplementedError from error
        raise


def rename_flagged(source: Path, target: Path, flags: int) -> None:
    """Call the rename of this system that takes flags.

    Raises:
        OSError: It fails; ENOSYS if there is none.
    """
    call = _system_call()
    if call is None:
        raise OSError(ENOSYS, os.strerror(ENOSYS))
    error = EINTR
    while error == EINTR:
        error = call(os.fsencode(source), os.fsencode(target), flags)
    if error:
        raise OSError(error, os.strerror(error), str(source), None, str(target))


@cache
def _system_call() -> Callable[[bytes, bytes, int], int] | None:
    """Return a function that renames with flags and returns the error number, or None."""
    import ctypes  # costs more than all the rest of this package, so only when something is renamed

    library = ctypes.CDLL(None, use_errno=True)
    name = "renamex_np" if sys.platform == "darwin" else "renameat2"
    function = getattr(library, name, None)
    if function is None:
        return None

    def call(source: bytes, target: bytes, flags: int) -> int:
        if sys.platform == "darwin":
            failed = function(source, target, ctypes.c_uint(flags))
        else:
            failed = function(_AT_FDCWD, source, _AT_FDCWD, target, ctypes.c_uint(flags))
        return ctypes.get_errno() if failed else 0

    return call
