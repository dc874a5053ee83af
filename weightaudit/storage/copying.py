"""Copies files: shared with the original where the file system can, inside the kernel otherwise."""

from __future__ import annotations

import fcntl
import os
import stat
import sys
from contextlib import suppress
from errno import EINVAL, ENOSYS, ENOTSUP, EOPNOTSUPP, EPERM, EXDEV
from typing import TYPE_CHECKING

from weightaudit.errors import ReadError
from weightaudit.storage.failures import writing
from weightaudit.storage.renaming import NO_LINKS
from weightaudit.storage.room import require_space

if TYPE_CHECKING:
    from pathlib import Path

_PIECE = 1 << 20
_MOST_AT_ONCE = 1 << 30
"""Bytes that the kernel is asked to copy in one call, so that a signal is noticed in between."""

_FICLONE: int = getattr(fcntl, "FICLONE", 0x40049409)
"""Request of ioctl_ficlone(2): let a file share the blocks of another until one of them changes."""

_NO_KERNEL_COPY = frozenset({EXDEV, EINVAL, ENOSYS, ENOTSUP, EOPNOTSUPP, EPERM})
"""What kernels, file systems and sandboxes answer that have no copy_file_range(2) for two files."""


def copy_range(source_fd: int, offset: int, nbytes: int, target_fd: int, target_offset: int) -> None:
    """Copy a range of bytes from one open file to another.

    Args:
        source_fd: Descriptor to read from; its position does not matter and stays.
        offset: First byte to copy.
        nbytes: How many bytes.
        target_fd: Descriptor to write to; its position does not matter and stays.
        target_offset: Where the first byte goes.

    Raises:
        ReadError: The source ends before the range does.
        OSError: It cannot be read or written, for instance because the disk is full.
    """
    done = _copy_in_kernel(source_fd, offset, nbytes, target_fd, target_offset)
    while done < nbytes:
        piece = os.pread(source_fd, min(_PIECE, nbytes - done), offset + done)
        if not piece:
            raise ReadError(
                f"A file that is being copied ends at byte {offset + done}, {nbytes - done} bytes too early; "
                "it changed while it was read."
            )
        write_at(target_fd, piece, target_offset + done)
        done += len(piece)


def write_at(fd: int, data: bytes, offset: int) -> None:
    """Write all of some bytes at a place of an open file.

    Raises:
        OSError: They cannot be written.
    """
    view = memoryview(data)
    while view:
        count = os.pwrite(fd, view, offset)
        view, offset = view[count:], offset + count


def clone_file(source_fd: int, target: Path, mode: int = 0o600) -> None:
    """Make a new file with the content of an open one.

    The two share their blocks where the file system has copy on write (btrfs, xfs, bcachefs).

    Args:
        source_fd: Descriptor of a regular file.
        target: The new file. What stands there already is not touched, and no link is followed.
        mode: Permissions of the new file, less the umask.

    Raises:
        ReadError: The source became shorter while it was copied.
        WriteError: The new file cannot be made, or there is no room for it; what was begun is removed.
    """
    with writing(f"{target.name} cannot be written"):
        target_fd = create(target, mode)
        try:
            size = os.fstat(source_fd).st_size
            if not _share(source_fd, target_fd):
                require_space(target.parent, size, target.name)
                copy_range(source_fd, 0, size, target_fd, 0)
        except BaseException:
            with suppress(OSError):
                target.unlink()
            raise
        finally:
            os.close(target_fd)


def share_file(source: Path, target: Path) -> None:
    """Give a file that nobody writes to any more to somebody else, without more space where possible.

    The two share their blocks where the file system has copy on write, so that damage to one is
    none to the other; elsewhere the target is a second name, or else a copy; see `link_or_copy`.

    Args:
        source: A regular file.
        target: The new file; what stands there already is not touched.

    Raises:
        ReadError: The source became shorter while it was copied.
        WriteError: The target cannot be made.
    """
    with writing(f"{target.name} cannot be written"):
        if not try_reflink(source, target):
            link_or_copy(source, target)


def try_reflink(source: Path, target: Path) -> bool:
    """Make a file that shares its blocks, mode and time with another one, and say whether that is possible.

    Raises:
        OSError: The source cannot be opened, or the target cannot be made or removed again.
    """
    fd = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        target_fd = create(target)
        try:
            shared = _share(fd, target_fd)
            if shared:
                os.fchmod(target_fd, stat.S_IMODE(status.st_mode))
                os.utime(target_fd, ns=(status.st_atime_ns, status.st_mtime_ns))
        finally:
            os.close(target_fd)
        if not shared:
            target.unlink()
    finally:
        os.close(fd)
    return shared


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name, or where that is not possible, make a copy with its mode and time.

    Args:
        source: A regular file that nobody writes to any more.
        target: The new name; what stands there already is not touched.

    Raises:
        ReadError: The source became shorter while it was copied.
        WriteError: Neither is possible.
    """
    with writing(f"{target.name} cannot be written"):
        try:
            os.link(source, target, follow_symlinks=False)
        except OSError as error:
            if error.errno != EXDEV and error.errno not in NO_LINKS:
                raise
        else:
            return
        fd = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            status = os.fstat(fd)
            clone_file(fd, target)
            target.chmod(stat.S_IMODE(status.st_mode))
            os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
        finally:
            os.close(fd)


def create(path: Path, mode: int = 0o600) -> int:
    """Open a new file for reading and writing; what stands there is not touched, nor any link followed.

    Raises:
        OSError: There is something of that name, or it cannot be made.
    """
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)


def _share(source_fd: int, target_fd: int) -> bool:
    """Let an empty file share all blocks of another; False if that is not possible."""
    if sys.platform != "linux":
        return False  # the number of the request means something else there
    try:
        fcntl.ioctl(target_fd, _FICLONE, source_fd)
    except OSError:
        return False
    return True


def _copy_in_kernel(source_fd: int, offset: int, nbytes: int, target_fd: int, target_offset: int) -> int:
    """Copy as much as the kernel does without help, and return how much that was."""
    done = 0
    if not hasattr(os, "copy_file_range"):
        return done
    while done < nbytes:
        most = min(nbytes - done, _MOST_AT_ONCE)
        try:
            count = os.copy_file_range(source_fd, target_fd, most, offset + done, target_offset + done)
        except OSError as error:
            if error.errno not in _NO_KERNEL_COPY:
                raise
            return done
        if count == 0:  # the end of the file, or a file system that only says so
            return done
        done += count
    return done
