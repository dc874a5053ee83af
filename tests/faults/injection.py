"""Counts the file-system calls of this process, and lets one of them go wrong.

The functions of `os` and `fcntl` through which Python reaches a file system are wrapped, and so is
our own call of the rename that takes flags. What C code opens by itself is not seen; the tests
under strace see everything.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from weightaudit.storage import renaming

_COUNTING = frozenset({"write", "pwrite", "copy_file_range"})
WRITES = _COUNTING | {"ioctl"}
RENAMES = frozenset({"rename", "replace", "rename_flagged", "link"})
NAMES = RENAMES | {"create", "mkdir", "rmdir", "unlink", "remove"}
"""Calls that change what names there are."""

CHANGES = WRITES | NAMES | {"chmod", "chown", "utime", "fsync"}
"""Calls that leave a file system in another state than before, or promise that it stays so."""

_LOOKS = frozenset({"open", "close", "stat", "lstat", "fstat", "scandir", "statvfs", "listxattr", "flock"})
_WATCHED = CHANGES - {"create"} | _LOOKS | {"pread"}
_MODULES = ((os, _WATCHED), (fcntl, _WATCHED), (renaming, _WATCHED))

_SHUTDOWN, _WITHOUT_LOG = 0x8004587D, 2
"""FS_IOC_SHUTDOWN, and its mode that loses what is not on the disk: what a power cut does."""


FaultKind = Literal[
    "none", "kill", "error", "terminate", "interrupt", "cut", "vanish", "forbid", "lie", "short"
]

AWAY = ".away"
"""What is added to the name of a directory that vanishes."""

_SIGNALS = {"terminate": signal.SIGTERM, "interrupt": signal.SIGINT}


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong, and when.

    Attributes:
        kind: ``kill`` this process; let the call fail with an ``error``; send this process the signal
            to ``terminate`` or to ``interrupt`` it; ``cut`` the power of the disk; let a directory
            ``vanish``, which goes by another name then; ``forbid`` to write to one; let the write
            ``lie``, and do nothing; or let every write be ``short``, and do half.
        at: Number of the call, from 0; it has not happened yet, but a write has happened by half.
        error: Number of the error.
        place: A path on the disk whose power is cut, or the directory.
    """

    kind: FaultKind = "none"
    at: int = -1
    error: int = 0
    place: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """One call as it happened.

    Attributes:
        name: Name of the function; ``create`` for an open that makes a file.
        path: What it was called for, where that is a path.
        target: The second path, of a rename or a link.
        inodes: Inodes of that path, or of the descriptor; of a directory, all in it too.
        parents: Inodes of the directories that the call changes.
        site: The lines of ours that it comes from, outermost first.
    """

    name: str
    path: str
    target: str
    inodes: tuple[int, ...]
    parents: tuple[int, ...]
    site: str


class Injector:
    """Wraps the calls of this process, for the rest of its life.

    Args:
        fault: What goes wrong.

    Attributes:
        calls: What was called so far.
    """

    def __init__(self, fault: Fault) -> None:
        self.calls: list[Call] = []
        self._fault = fault
        self._inside = False

    def arm(self) -> None:
        """Begin to count."""
        for module, names in _MODULES:
            for name in names:
                function = getattr(module, name, None)
                if callable(function):
                    setattr(module, name, self._wrapped(name, function))

    def disarm(self) -> None:
        """Count no more, and let nothing go wrong any more."""
        self._inside = True

    def _wrapped(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if self._inside:
                return function(*arguments, **options)
            self._inside = True
            try:
                self.calls.append(_described(name, arguments))
                is_lying = self._fault.kind == "lie" and len(self.calls) - 1 == self._fault.at
                if (is_lying or self._fault.kind == "short") and name in _COUNTING:
                    return _size(name, arguments) if is_lying else _half(name, function, arguments)
                if len(self.calls) - 1 == self._fault.at:
                    self._fail(name, function, arguments)
            finally:
                self._inside = False
            return function(*arguments, **options)

        return call

    def _fail(self, name: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
        kind = self._fault.kind
        if kind == "error":
            if name == "close":
                function(*arguments)  # a descriptor is closed even where closing it fails
            raise OSError(self._fault.error, os.strerror(self._fault.error), str(arguments[:1]))
        if kind in _SIGNALS:
            os.kill(os.getpid(), _SIGNALS[kind])
        elif kind == "vanish":
            Path(self._fault.place).rename(self._fault.place + AWAY)
        elif kind == "forbid":
            Path(self._fault.place).chmod(0o500)
        elif kind in {"kill", "cut"}:
            with suppress(OSError):
                _half(name, function, arguments)
            if kind == "cut":
                cut_power(self._fault.place)
            os.kill(os.getpid(), signal.SIGKILL)


def cut_power(disk: str) -> None:
    """Let a file system lose whatever is not on its disk, and refuse everything from now on."""
    fd = os.open(disk, os.O_RDONLY)
    fcntl.ioctl(fd, _SHUTDOWN, _WITHOUT_LOG.to_bytes(4, "little"))
    os.close(fd)


def _size(name: str, arguments: tuple[Any, ...]) -> int:
    """Return how many bytes are to be written."""
    return arguments[2] if name == "copy_file_range" else len(arguments[1])


def _half(name: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> int:
    """Write half of what was to be written, at least one byte, and return how much that was."""
    half = (_size(name, arguments) + 1) // 2 if name in _COUNTING else 0
    if name in {"write", "pwrite"}:
        fd, data, *place = arguments
        return int(function(fd, bytes(data)[:half], *place))
    if name == "copy_file_range":
        source, target, _, *places = arguments
        return int(function(source, target, half, *places))
    return 0


def _described(name: str, arguments: tuple[Any, ...]) -> Call:
    first = arguments[0] if arguments else ""
    second = arguments[1] if len(arguments) > 1 and name in RENAMES else ""
    if name == "open" and arguments[1] & os.O_CREAT:
        name = "create"
    inodes: tuple[int, ...] = ()
    if isinstance(first, int):
        with suppress(OSError):
            inodes = (os.fstat(arguments[1] if name == "copy_file_range" else first).st_ino,)
        return Call(name, "", "", inodes, (), _site())
    path, target = os.fsdecode(first), os.fsdecode(second)
    if name in RENAMES:
        inodes = tuple(_inodes(path))
    changed = () if name in _LOOKS else tuple(str(Path(each).parent) for each in (path, target) if each)
    return Call(name, path, target, inodes, tuple(_inode(folder) for folder in changed), _site())


def _site() -> str:
    frame: FrameType | None = sys._getframe(3)
    lines: list[str] = []
    while frame is not None:
        if "/weightaudit/" in frame.f_code.co_filename:
            lines.append(f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}")
        frame = frame.f_back
    return " ".join(reversed(lines))


def _inodes(path: str) -> list[int]:
    return [_inode(path), *(_inode(str(below)) for below in Path(path).rglob("*"))]


def _inode(path: str) -> int:
    try:
        return os.lstat(path).st_ino
    except OSError:
        return -1


PLAUSIBLE: dict[str, tuple[int, ...]] = {
    "create": (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.EROFS, errno.EACCES, errno.EIO),
    "open": (errno.EMFILE, errno.EACCES, errno.EIO),
    "mkdir": (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO),
    "fsync": (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EROFS),
    "link": (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOSPC, errno.EIO),
    "rename_flagged": (errno.ENOSYS, errno.EINVAL, errno.ENOSPC, errno.EIO, errno.EXDEV, errno.EACCES),
    "copy_file_range": (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.ENOSPC, errno.EDQUOT, errno.EIO),
    "ioctl": (errno.EOPNOTSUPP, errno.ENOTTY, errno.EXDEV, errno.EIO, errno.ENOSPC),
    "flock": (errno.ENOLCK, errno.EBADF),
    "listxattr": (errno.EOPNOTSUPP, errno.EIO),
}
"""How the calls fail in real life; a call that is not named fails as in `USUAL`."""

USUAL = (errno.EIO, errno.ENOSPC, errno.EACCES)
"""How any other call fails."""
