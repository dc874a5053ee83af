"""Mode, owner, labels and times of a file: what a replacement takes over from what it replaces."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_LABELS = ("system.posix_acl_", "security.selinux", "user.")
"""How extended attributes begin that say who may do what, or that users gave; others are the system's own."""

_KEPT_BITS = 0o3777
"""Permissions, setgid and sticky bit; setuid would only harm."""

_PIECE = 1 << 20

_FILE_BITS = 0o666
"""Permissions that a file takes over from a directory, where searching means something else."""


def keep_attributes(old: Path, new: Path) -> None:
    """Give a file or directory the mode, owner, access list and labels of the one that it replaces.

    The owner stays the user of this process where that one may not give files away, and what the
    file system does not know is passed over.

    Raises:
        OSError: The mode cannot be set.
    """
    status = old.stat()
    own = new.stat()
    if (status.st_uid, status.st_gid) != (own.st_uid, own.st_gid):
        _give(new, status.st_uid, status.st_gid)
    is_file = stat.S_ISREG(own.st_mode) and stat.S_ISDIR(status.st_mode)
    new.chmod(status.st_mode & (_FILE_BITS if is_file else _KEPT_BITS))
    _keep_labels(old, new)


def keep_times(old: Path, new: Path) -> None:
    """Give a file the times of the one that it replaces, if they have the same content.

    A file with other content is to look changed, to ``make`` and ``rsync`` as to any cache.

    Raises:
        OSError: One cannot be read.
    """
    if new.is_symlink() or not new.is_file() or not old.is_file():
        return
    status = old.stat()
    if status.st_size == new.stat().st_size and _have_same_bytes(old, new):
        with suppress(OSError):
            os.utime(new, ns=(status.st_atime_ns, status.st_mtime_ns))


def _have_same_bytes(first: Path, second: Path) -> bool:
    with first.open("rb", buffering=0) as one, second.open("rb", buffering=0) as other:
        piece = one.read(_PIECE)
        while piece:
            if piece != other.read(len(piece)):
                return False
            piece = one.read(_PIECE)
    return True


def _give(path: Path, user: int, group: int) -> None:
    try:
        os.chown(path, user, group)
    except OSError:
        with suppress(OSError):
            os.chown(path, -1, group)


def _keep_labels(old: Path, new: Path) -> None:
    """Copy the access lists and labels, where there is such a thing."""
    if not hasattr(os, "listxattr"):
        return
    with suppress(OSError):
        for name in filter(lambda name: name.startswith(_LABELS), os.listxattr(old)):
            with suppress(OSError):
                os.setxattr(new, name, os.getxattr(old, name))
