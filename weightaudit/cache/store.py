"""A private directory of bounded size, with one file for each model. What cannot be done is left undone."""

from __future__ import annotations

import os
import re
import stat
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from weightaudit.errors import WeightauditError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

MB = 1_000_000

_SUFFIX = ".stats"
_ENTRY = re.compile(r"[0-9a-f]{64}\.stats(?:\.[0-9a-f]{16}\.tmp)?")
"""Names of entries, and of those that are being written. Other files are never touched."""

_ABANDONED = 3600.0
"""Seconds after which a half-written entry is taken for left behind by a process that died."""

_JOURNAL = "written.journal"
"""Holds the sizes of the entries that were written since somebody looked at all of them, after a zero."""

_RECORD = 8
"""Bytes of a size in the journal."""

_SLACK = 8
"""What share of the bounds, as its divisor, may be written before all entries are looked at again.

So many are removed in advance. Of 1024 small entries, one write in 129 looks at them: 8 for each write.
"""


@dataclass(frozen=True, slots=True)
class Contents:
    """What a cache holds: how many entries, and their size in bytes."""

    count: int
    nbytes: int


@dataclass(frozen=True, slots=True)
class Store:
    """Where entries are kept.

    Attributes:
        directory: Made when the first entry is written, for its owner alone. One that belongs to another
            user, or that others may write to, is neither read nor written.
        max_bytes: Size of all entries; those whose last use is longest ago go first.
        max_entries: Number of entries.
        max_entry: Size of one entry; larger ones are not kept.
    """

    directory: Path
    max_bytes: int = 256 * MB
    max_entries: int = 1024
    max_entry: int = 64 * MB

    def read(self, name: str) -> bytes | None:
        """Return an entry, None if there is none or it cannot be read."""
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        with suppress(OSError), self._opened() as directory:
            fd = os.open(name + _SUFFIX, flags, dir_fd=directory)
            with os.fdopen(fd, "rb") as file:
                status = os.fstat(fd)
                if (
                    not _is_ours(status)
                    or not stat.S_ISREG(status.st_mode)
                    or status.st_size > self.max_entry
                ):
                    return None
                data = file.read(self.max_entry)
                os.utime(fd)
                return data
        return None

    def write(self, name: str, data: bytes) -> None:
        """Keep an entry in place of the one of that name; on a full disk, for instance, nothing happens."""
        if len(data) > self.max_entry:
            return
        with suppress(OSError):
            self.directory.parent.mkdir(parents=True, exist_ok=True)
            self.directory.mkdir(mode=0o700, exist_ok=True)
            with self._opened() as directory:
                _replace(directory, name + _SUFFIX, data)
                if self._is_due(directory, len(data)):
                    self._shrink(directory)

    def contents(self) -> Contents:
        """Count the entries.

        Raises:
            WeightauditError: The directory cannot be read, or is not to be trusted.
        """
        return self._each()

    def clear(self) -> Contents:
        """Remove all entries, and return what they were.

        Raises:
            WeightauditError: One cannot be removed, or the directory is not to be trusted.
        """
        return self._each(remove=True)

    def _each(self, *, remove: bool = False) -> Contents:
        sizes: list[int] = []
        try:
            with self._opened() as directory:
                if remove:
                    with suppress(FileNotFoundError):
                        os.unlink(_JOURNAL, dir_fd=directory)
                for name, status in _entries(directory):
                    with suppress(FileNotFoundError):  # another process removed it
                        if remove:
                            os.unlink(name, dir_fd=directory)
                        sizes.append(status.st_size)
        except FileNotFoundError:
            pass
        except OSError as error:
            reason = error.strerror or error
            raise WeightauditError(
                f"The cache {self.directory} cannot be used: {reason}; name another directory."
            ) from error
        return Contents(len(sizes), sum(sizes))

    @contextmanager
    def _opened(self) -> Generator[int]:
        """Open the directory; OSError if it is not there, or somebody else could have written to it."""
        fd = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if not _is_ours(os.fstat(fd)):
                raise PermissionError(0, "it belongs to another user, or others may write to it")
            yield fd
        finally:
            os.close(fd)

    def _is_due(self, directory: int, nbytes: int) -> bool:
        """Note that an entry was written, and say whether the bounds may be exceeded by now.

        All processes add to one journal, in pieces too small to be torn. It is begun anew before entries are
        looked at, so what another process writes meanwhile is counted twice rather than never.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        most = self.max_entries // _SLACK
        try:
            with os.fdopen(os.open(_JOURNAL, flags, 0o600, dir_fd=directory), "r+b", buffering=0) as journal:
                is_new = not os.fstat(journal.fileno()).st_size
                journal.write(nbytes.to_bytes(_RECORD, "little"))
                noted = os.pread(journal.fileno(), _RECORD * (most + 2), 0)
                sizes = [
                    int.from_bytes(noted[at : at + _RECORD], "little") for at in range(0, len(noted), _RECORD)
                ]
                is_due = is_new or len(sizes) > most + 1 or sum(sizes) > self.max_bytes // _SLACK
                if is_due:
                    journal.truncate(0)
                    journal.write(bytes(_RECORD))  # an empty one would say that nobody has looked yet
        except OSError:
            return True
        return is_due

    def _shrink(self, directory: int) -> None:
        """Remove the entries that were not used for longest, and what dead processes left behind."""
        count, nbytes = 0, 0
        most, most_bytes = (bound - bound // _SLACK for bound in (self.max_entries, self.max_bytes))
        entries = sorted(_entries(directory), key=lambda entry: entry[1].st_mtime_ns, reverse=True)
        for name, status in entries:
            if name.endswith(".tmp"):
                is_kept = status.st_mtime > time.time() - _ABANDONED
            else:
                count, nbytes = count + 1, nbytes + status.st_size
                is_kept = count <= most and nbytes <= most_bytes
            if not is_kept:
                with suppress(OSError):
                    os.unlink(name, dir_fd=directory)


def _is_ours(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _entries(directory: int) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(directory) as children:
        for child in children:
            if _ENTRY.fullmatch(child.name):
                with suppress(FileNotFoundError):  # another process removed it
                    yield child.name, child.stat(follow_symlinks=False)


def _replace(directory: int, name: str, data: bytes) -> None:
    """Write a file under another name and rename it. A torn one is known by its digest: nothing is synced."""
    temporary = f"{name}.{os.urandom(8).hex()}.tmp"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    fd = os.open(temporary, flags, 0o600, dir_fd=directory)
    try:
        with os.fdopen(fd, "wb", buffering=0) as file:
            rest = memoryview(data)
            while rest:
                rest = rest[file.write(rest) :]
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary, dir_fd=directory)
        raise
