"""Puts a staged model where it belongs, so that at every instant the old or the new one is whole there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from weightaudit.errors import ReadError, WriteError
from weightaudit.formats import Kind
from weightaudit.storage.failures import writing
from weightaudit.storage.locking import locked
from weightaudit.storage.publishing import publish, replace_directory, replace_file
from weightaudit.storage.several import publish_several, replace_several

if TYPE_CHECKING:
    from weightaudit.source import Files
    from weightaudit.writing.files import ModelFiles

_Identity = tuple[int, int, int, int]


def publish_model(staged: ModelFiles, destination: Path) -> None:
    """Give a staged model a name that nothing has yet, durably.

    Args:
        staged: The model, in a `Staging` directory beside the destination.
        destination: Its path from now on: a file, a directory, or the prefix of a checkpoint. The
            index of Keras weight shards keeps the name that it was written with.

    Raises:
        WriteError: There is something of that name, or it is not possible.
    """
    _refuse_shared(staged)
    if staged.is_directory or _is_one_file(staged):
        publish(staged.path, destination)
        return
    root = Path(os.path.realpath(destination.parent))
    with locked(root), writing(f"{destination.name} cannot be written"):
        publish_several(staged, root, destination.name)


def replace_model(staged: ModelFiles, destination: ModelFiles, opened: Files | None = None) -> None:
    """Put a staged model in the place of another one of the same kind, durably.

    At every instant the path of the model holds the old one or the new one, whole. A model of
    several files, a checkpoint or Keras weight shards, has its data files under other names for a
    moment; if the process is killed then, the next replacement there clears up. Modes and owners of
    the old files are kept. Symbolic links to a file or a directory are followed, so that the link
    stays; files that are links in a model of several are refused. Hard links are not followed:
    the other names of an old file keep the old content.

    Args:
        staged: The new model, in a `Staging` directory beside the old one. Its files must not be
            shared with any others, because programs write to models in place.
        destination: The old model.
        opened: Its open files. With them, these must still be the ones that were opened; all
            others must be as they were when this function was called.

    Raises:
        WriteError: It is not possible, or the old model changed meanwhile. The old one is whole and
            unchanged, unless the message says that the new one is in place.
    """
    if staged.kind is not destination.kind:
        raise WriteError(
            f"{destination.path.name} is {_article(destination.kind)}, and cannot be replaced by "
            f"{_article(staged.kind)}; write that to another place with --output."
        )
    _refuse_shared(staged)
    root = destination.root
    with locked(root.parent if destination.is_directory else root):
        with writing(f"{destination.path.name} cannot be replaced"):
            seen = _Seen(destination, opened)
        if destination.is_directory:
            replace_directory(staged.path, destination.path, seen.check_at)
        elif _is_one_file(staged) and _is_one_file(destination):
            replace_file(staged.path, destination.path, seen.check_at)
        else:
            with writing(f"{destination.path.name} cannot be replaced"):
                replace_several(staged, destination, seen.check)


class _Seen:
    """The files of a model as they were read.

    Args:
        model: The model.
        opened: Its open files, if it is open.

    Raises:
        WriteError: The model is not the one that was opened any more.
    """

    def __init__(self, model: ModelFiles, opened: Files | None) -> None:
        self._model = model
        self._identities = self._now()
        if self._identities.keys() != set(model.names):
            raise self._changed
        if opened is None:
            return
        try:
            opened.check_unchanged()
        except ReadError as error:
            raise self._changed from error
        for name in opened.names:
            if self._identities[name] != _identity(os.fstat(opened[opened.open(name)].fd)):
                raise self._changed

    def check(self) -> None:
        """Raise WriteError if a file of the model is another one now, or has other content."""
        with writing(f"{self._model.path.name} cannot be replaced"):
            if self._now() != self._identities:
                raise self._changed

    def check_at(self, place: Path) -> None:
        """Raise WriteError if the model, of one file or a directory, is not that which is at a path now."""
        with writing(f"{self._model.path.name} cannot be replaced"):
            if self._model.is_directory:
                found = self._now(place)
            else:
                found = dict.fromkeys(self._model.names, _identity(place.stat()))
            if found != self._identities:
                raise self._changed

    def _now(self, root: Path | None = None) -> dict[str, _Identity]:
        root = root or self._model.root
        names = set(self._model.names)
        if self._model.is_directory:
            walk = os.walk(root)
            names |= {
                Path(folder, name).relative_to(root).as_posix() for folder, _, each in walk for name in each
            }
        return {name: _identity((root / name).stat()) for name in names}

    @property
    def _changed(self) -> WriteError:
        return WriteError(
            f"{self._model.path.name} changed meanwhile and is not replaced; "
            "try again once nothing writes to it."
        )


def _identity(status: os.stat_result) -> _Identity:
    # Not the time of the last change of the inode: a second name, which clearing up removes, changes it.
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def _is_one_file(files: ModelFiles) -> bool:
    return files.kind is not Kind.BUNDLE and files.names == (files.main,)


def _refuse_shared(staged: ModelFiles) -> None:
    with writing(f"{staged.path.name} cannot be read"):
        for name in staged.names:
            if (staged.root / name).stat().st_nlink > 1:
                raise WriteError(
                    f"{name} of the new model shares its content with another file, which a program that "
                    "writes to the model would change, too."
                )


def _article(kind: Kind) -> str:
    return f"{'an' if kind[0] in 'aeiouAEIOU' or kind.startswith('HDF5') else 'a'} {kind}"
