"""The directory in which a copy of a model is made: its files, each made once and only there."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from weightaudit.storage.copying import clone_file, create, try_reflink
from weightaudit.storage.failures import writing
from weightaudit.writing.destination import Destination

if TYPE_CHECKING:
    from collections.abc import Mapping

    from weightaudit.source import Files

_NEW_FILE = 0o666


class Output:
    """A directory that becomes the copy of a model.

    Args:
        files: The open files of the model.
        into: The directory; it exists and is empty.
        names: The name in the copy of each of the model's files.
        reuse: Files by their name in the model that have the same bytes, and may be linked.

    Attributes:
        files: The open files of the model.
        into: The directory.
        names: The name in the copy of each of the model's files.
    """

    def __init__(self, files: Files, into: Path, names: Mapping[str, str], reuse: Mapping[str, Path]) -> None:
        self.files = files
        self.into = into
        self.names = names
        self._reuse = reuse
        self._made: dict[str, str] = {}
        self._folders: set[str] = set()

    @property
    def made(self) -> tuple[str, ...]:
        """Paths below the directory of the files that were made, sorted."""
        return tuple(sorted(self._made.values()))

    @property
    def folders(self) -> tuple[str, ...]:
        """Paths below the directory of the directories that were made, sorted."""
        return tuple(sorted(self._folders))

    def has(self, name: str) -> bool:
        """Say whether the model has a file of that name."""
        return name in self.names

    def folder(self, name: str) -> None:
        """Make a directory, after those that it is in, unless it was made already."""
        if name not in self._folders:
            self._folders.add(name)
            with writing(f"{name} cannot be made"):
                (self.into / name).mkdir()

    def create(self, name: str) -> Destination:
        """Make the new file that stands for one of the model's, or for none, and open it.

        Raises:
            WriteError: It cannot be made.
        """
        label = self._made[name] = self.names.get(name, name)
        mode = self._mode(name) if self.has(name) else _NEW_FILE
        with writing(f"{label} cannot be written"):
            return Destination(create(self.into / label, mode), label)

    def patched(self, name: str) -> Destination:
        """Make a copy of a file and keep it open for changes."""
        destination = self.create(name)
        try:
            with self.files.borrow(name) as source:
                destination.copy(source, 0, source.size, 0)
        except BaseException:
            destination.__exit__(None, None, None)
            raise
        return destination

    def finish(self) -> None:
        """Make the files that have the same bytes as in the model, and were not made yet.

        Raises:
            ReadError: The model changed since it was opened.
            WriteError: A file cannot be made.
        """
        for name, new_name in self.names.items():
            if name not in self._made:
                self._made[name] = new_name
                if not self._link(name):
                    with self.files.borrow(name) as source:
                        clone_file(source.fd, self.into / new_name, self._mode(name))
        self.files.check_unchanged()

    def _link(self, name: str) -> bool:
        """Take the blocks of a file that is known to have the same bytes, or be its second name, if possible.

        Not to a file of the model itself: that would look like a change of the model.
        """
        held = self._reuse.get(name)
        if held is None:
            return False
        with suppress(OSError):
            status, own = os.lstat(held), (self.files.root / name).stat()
            is_same_length = stat.S_ISREG(status.st_mode) and status.st_size == own.st_size
            if is_same_length and not os.path.samestat(status, own):
                destination = self.into / self.names[name]
                if not try_reflink(held, destination):
                    os.link(held, destination, follow_symlinks=False)
                return True
        return False

    def _mode(self, name: str) -> int:
        """Return the permissions of a file, of which its owner at least keeps reading and writing."""
        with self.files.borrow(name) as source:
            return os.fstat(source.fd).st_mode & 0o777 | 0o600
