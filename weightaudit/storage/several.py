"""Puts a model of several files in its place: data files first, and then, in one rename, the main file.

The data files of a new model want the names that those of the old one have. So there are two
commits: the new files first get spare names, with a main file that uses those; now nothing uses the
wanted names, and the files get them, then the main file that uses them. At every instant the main
file is a whole one, and the data files that it uses are all there.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from weightaudit.errors import WriteError
from weightaudit.source import LocalFile
from weightaudit.storage.attributes import keep_attributes, keep_times
from weightaudit.storage.copying import create, link_or_copy, write_at
from weightaudit.storage.failures import reason, writing
from weightaudit.storage.journal import Journal, Mark, mark
from weightaudit.storage.layouts import (
    Spare,
    belongs_to,
    data_files,
    in_use,
    main_file,
    spare_names,
    wanted_names,
)
from weightaudit.storage.renaming import rename_new
from weightaudit.storage.syncing import fsync_tree, in_place, sync_directory
from weightaudit.storage.termination import uninterrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from weightaudit.writing.files import ModelFiles


@dataclass(frozen=True, slots=True)
class _Commit:
    """New data files, and the main file that uses them.

    Attributes:
        data: The name that each staged data file gets.
        main: The staged main file.
        status: What the main file is known by once it has been moved.
    """

    data: Mapping[Path, str]
    main: Path
    status: os.stat_result


def publish_several(staged: ModelFiles, root: Path, main: str) -> None:
    """Put a staged model of several files where there is none, durably.

    Args:
        staged: The model, in a `Staging` directory in `root`.
        root: Its directory from now on.
        main: Its name, as `ModelFiles.main`.

    Raises:
        WriteError: It is not possible, or there is something of one of its names.
    """
    move = _Move(staged, root, main, ())
    if os.path.lexists(move.path):
        raise WriteError(f"{move.path} exists already and is not replaced; choose another name.")
    move.run(rename_new, lambda: None)


def replace_several(staged: ModelFiles, destination: ModelFiles, check: Callable[[], None]) -> None:
    """Put a staged model of several files in the place of another one, durably.

    Args:
        staged: The model, in a `Staging` directory beside the other one.
        destination: The model that it replaces, whose names it gets.
        check: Called just before the new model takes its place; what it raises stops that.

    Raises:
        WriteError: It is not possible; the old model is whole and unchanged, unless the message says
            that the new one is in place.
    """
    used = in_use(staged.kind, destination.main, data_files(destination))
    # A checkpoint may count shards that hold nothing, and that nobody has opened therefore.
    old = tuple(sorted(path.name for path in destination.root.iterdir() if used(path.name)))
    move = _Move(staged, destination.root, destination.main, old)
    for path in (move.path, *(destination.root / name for name in old)):
        if not stat.S_ISREG(path.lstat().st_mode):
            raise WriteError(f"{path.name} is a link; write the new model to another place with --output.")
    move.run(os.replace, check)


class _Move:
    """Moves the files of a staged model to where a model is going to be.

    Args:
        staged: The model.
        root: Its directory from now on.
        main: Its name, as `ModelFiles.main`.
        old: Names of the data files of the model that is there.
    """

    def __init__(self, staged: ModelFiles, root: Path, main: str, old: tuple[str, ...]) -> None:
        self._staged = staged
        self._root = root
        self._old = old
        self._name = main
        self._wanted = wanted_names(staged, main)
        self.path = root / main_file(staged.kind, main)
        self._journal = Journal(root, self.path.name, belongs_to(staged.kind, main))

    def run(self, rename: Callable[[Path, Path], None], check: Callable[[], None]) -> None:
        """Move everything.

        Args:
            rename: Gives the first main file its name.
            check: Called just before that.
        """
        self._clear(self._old)  # what an earlier process has left
        self._refuse_strangers()
        with writing(f"{self.path.name} cannot be written"):
            first, last = self._commits()
            self._keep_attributes((first, last))
            fsync_tree(self._staged.root)
        with uninterrupted():  # it is quick, and nothing is left half done then
            self._move((first, last), rename, check)

    def _move(
        self,
        commits: tuple[_Commit, _Commit],
        rename: Callable[[Path, Path], None],
        check: Callable[[], None],
    ) -> None:
        first, last = commits
        try:
            with writing(f"{self.path.name} cannot be written"):
                old = tuple(mark(self._root / name) for name in self._old)
                self._journal.begin((*old, *self._marks(commits)))
                self._carry_out(first, rename, check)
        except BaseException:
            with suppress(OSError):
                if not self._is_in_place(first):
                    self._clear(self._old)
            raise
        if last is not first:
            self._carry_out_last(first, last, old)
        self._clear(tuple(self._wanted.values()))

    def _clear(self, used: tuple[str, ...]) -> None:
        self._journal.clear(in_use(self._staged.kind, self._name, used))

    def _refuse_strangers(self) -> None:
        for name in self._wanted.values():
            if name not in self._old and os.path.lexists(self._root / name):
                raise WriteError(
                    f"{self._root / name} is in the way and belongs to no model that is replaced; "
                    "move it away, or choose another name."
                )

    def _commits(self) -> tuple[_Commit, _Commit]:
        """Return the first and the last commit, which are the same one where no names are in the way."""
        kind, root = self._staged.kind, self._staged.root
        main = root / main_file(kind, self._staged.main)
        last = _Commit({root / name: wanted for name, wanted in self._wanted.items()}, main, main.stat())
        if set(self._old).isdisjoint(self._wanted.values()):
            return last, last
        spare = self._spare(main)
        for name, new in spare.names.items():
            link_or_copy(root / name, root / new)
        for name in spare.empty:
            _write(root / name, b"")
        other_main = root / f"{main.name}.first"
        _write(other_main, spare.main)
        names = (*spare.names.values(), *spare.empty)
        return _Commit({root / name: name for name in names}, other_main, other_main.stat()), last

    def _spare(self, main: Path) -> Spare:
        taken = {*self._wanted.values(), *self._staged.names}
        index = LocalFile(main)
        try:
            return spare_names(
                self._staged,
                index,
                self._name,
                lambda name: name not in taken and not os.path.lexists(self._root / name),
            )
        finally:
            index.close()

    def _keep_attributes(self, commits: Iterable[_Commit]) -> None:
        """Let the new files have mode and owner of the old ones of their names, or of the main file."""
        if not self.path.exists():
            return
        for commit in commits:
            keep_attributes(self.path, commit.main)
            for source, name in commit.data.items():
                keep_attributes(self._root / name if name in self._old else self.path, source)
                keep_times(self._root / name, source)

    def _marks(self, commits: Iterable[_Commit]) -> Iterator[Mark]:
        for commit in commits:
            yield from (mark(source, name) for source, name in commit.data.items())

    def _carry_out(
        self, commit: _Commit, rename: Callable[[Path, Path], None], check: Callable[[], None]
    ) -> None:
        for source, name in commit.data.items():
            move = os.replace if name in self._old else rename_new
            move(source, self._root / name)
        sync_directory(self._root)
        check()
        rename(commit.main, self.path)
        with in_place(self.path.name):
            sync_directory(self._root)

    def _carry_out_last(self, first: _Commit, last: _Commit, old: Iterable[Mark]) -> None:
        try:
            self._expect(first)
            if any(mark(self._root / known.name) != known for known in old):
                raise WriteError(
                    f"{self.path.name} is replaced and whole, but another program has written to its old "
                    "data files meanwhile, so the new ones keep other names."
                )
            self._carry_out(last, os.replace, lambda: self._expect(first))
        except OSError as error:
            raise WriteError(
                f"{self.path.name} is replaced and whole, but its data files could not get their usual "
                f"names: {reason(error)}."
            ) from error

    def _expect(self, commit: _Commit) -> None:
        if not self._is_in_place(commit):
            raise WriteError(f"{self.path.name} was replaced by another program meanwhile.")

    def _is_in_place(self, commit: _Commit) -> bool:
        try:
            return _identity(self.path.lstat()) == _identity(commit.status)
        except FileNotFoundError:
            return False


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _write(path: Path, content: bytes) -> None:
    fd = create(path)
    try:
        write_at(fd, content, 0)
    finally:
        os.close(fd)
