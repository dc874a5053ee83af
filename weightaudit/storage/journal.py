"""Remembers the files that a replacement of several puts down, so that the next one can clear them away."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from weightaudit.errors import WriteError
from weightaudit.storage.copying import create, write_at
from weightaudit.storage.staging import belonging
from weightaudit.storage.syncing import sync_directory, sync_fd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

SUFFIX = ".weightaudit-log"
_MAX_BYTES = 16 << 20
_MODE = 0o644  # another user of the directory may be the next one
_ATTEMPTS = 2


class Mark(NamedTuple):
    """A file, and what proves that it still is the same one.

    Attributes:
        name: Its name in the directory.
        size: Bytes.
        mtime_ns: When it was written; second names and copies have it from the original.
    """

    name: str
    size: int
    mtime_ns: int


def mark(path: Path, name: str | None = None) -> Mark:
    """Return the mark that a file has, or will have under another name.

    Raises:
        OSError: It is not there.
    """
    status = path.lstat()
    return Mark(name or path.name, status.st_size, status.st_mtime_ns)


class Journal:
    """The record of one replacement, beside the model.

    It is written before the first file is put down and removed after the last one is cleared away.
    What it names may be removed as soon as the model does not use it: before the new main file is in
    place these are the new files, and afterwards the old ones.

    Args:
        root: Directory of the model.
        main: Name of the model's main file.
        belongs: Whether a name can be that of a data file of this model: others are never removed,
            whatever a record in a directory from a stranger says.
    """

    def __init__(self, root: Path, main: str, belongs: Callable[[str], bool]) -> None:
        self._root = root
        self._belongs = belongs
        self._marks: tuple[Mark, ...] | None = None
        self._path = root / belonging(main, SUFFIX)

    def begin(self, marks: Iterable[Mark]) -> None:
        """Write the record, durably.

        Raises:
            WriteError: There is something else in its place.
            OSError: It cannot be written.
        """
        try:
            fd = create(self._path, _MODE)
        except FileExistsError:
            raise WriteError(f"{self._path} is in the way and is no record; move it away.") from None
        try:
            self._marks = tuple(marks)
            write_at(fd, json.dumps(self._marks).encode(), 0)
            sync_fd(fd)
        finally:
            os.close(fd)
        sync_directory(self._root)

    def clear(self, in_use: Callable[[str], bool]) -> None:
        """Remove the files that the record names and the model does not use, then the record.

        What cannot be removed stays, and the record with it, for the next time.

        Args:
            in_use: Whether the model, as it is now, uses the file of a name.
        """
        try:
            known = self._read() if self._marks is None else self._marks
        except OSError:
            return
        marks = [item for item in known if self._belongs(item.name) and not in_use(item.name)]
        for _ in range(_ATTEMPTS):
            marks = [item for item in marks if not self._removed(item)]
        for _ in range(_ATTEMPTS if not marks else 0):
            with suppress(OSError):
                self._path.unlink(missing_ok=True)

    def _removed(self, known: Mark) -> bool:
        """Remove a file if it is the one that is known; False if it is still there."""
        path = self._root / known.name
        try:
            if mark(path) == known:
                path.unlink()
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    def _read(self) -> tuple[Mark, ...]:
        """Return what the record names; nothing if it was never finished.

        Raises:
            OSError: There is none, or it cannot be read.
        """
        fd = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            data = os.pread(fd, min(os.fstat(fd).st_size, _MAX_BYTES), 0)
        finally:
            os.close(fd)
        try:
            return tuple(_marks(json.loads(data)))
        except (ValueError, RecursionError):
            return ()


def _marks(items: Any) -> Iterable[Mark]:
    for item in cast("Iterable[Any]", items) if isinstance(items, list) else ():
        match item:
            case [str(name), int(size), int(mtime_ns)] if "/" not in name:
                yield Mark(name, size, mtime_ns)
            case _:
                pass
