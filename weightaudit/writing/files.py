"""Which files and directories a saved model is made of."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from weightaudit.errors import ReadError
from weightaudit.formats import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from weightaudit.checkpoint import Checkpoint

DIRECTORIES = frozenset({Kind.SAVED_MODEL, Kind.KERAS_DIRECTORY})
"""Kinds of model that are a directory; all others are one file, or several beside each other."""


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The files of one saved model.

    Attributes:
        kind: What the model is on disk.
        root: The directory that `names` are below: the model itself, or where its files lie.
        main: Name of the main file below the root, the prefix of a TensorFlow checkpoint, or empty
            for a model that is a directory.
        names: Paths of all its files below the root, with ``/``, sorted.
        folders: Paths of all directories below the root that belong to it, sorted.
    """

    kind: Kind
    root: Path
    main: str
    names: tuple[str, ...]
    folders: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """What a user names: the file, the directory, or the prefix of a checkpoint.

        A checkpoint whose prefix is empty is named by its index.
        """
        is_nameless = self.kind is Kind.BUNDLE and not self.main
        return self.root / (".index" if is_nameless else self.main)

    @property
    def is_directory(self) -> bool:
        """Whether the model is a directory, with everything in it."""
        return self.kind in DIRECTORIES


def model_files(checkpoint: Checkpoint) -> ModelFiles:
    """Return the files of an open model.

    Raises:
        ReadError: A directory of it holds something that is no regular file, or leads elsewhere.
    """
    root, kind, main = checkpoint.files.root, checkpoint.kind, checkpoint.main
    if kind not in DIRECTORIES:
        return ModelFiles(kind, root, main, checkpoint.files.names)
    names: list[str] = []
    folders: list[str] = []
    for path, is_folder in _below(root):
        (folders if is_folder else names).append(path.relative_to(root).as_posix())
    return ModelFiles(kind, root, main, tuple(sorted(names)), tuple(sorted(folders)))


def _below(root: Path) -> Iterator[tuple[Path, bool]]:
    """Yield everything below a directory, and whether it is a directory."""
    waiting = [root]
    while waiting:
        for item in _items(waiting.pop(), root):
            path = root / item.path
            if item.is_dir(follow_symlinks=False):
                waiting.append(path)
                yield path, True
            elif item.is_file() and path.resolve().is_relative_to(root):
                yield path, False
            else:
                is_link = stat.S_ISLNK(os.lstat(path).st_mode)
                what = "a link that leads to no file of the model" if is_link else "no file"
                raise ReadError(f"{path.relative_to(root)} is {what}, so the model cannot be copied.")


def _items(folder: Path, root: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as items:
            return sorted(items, key=lambda item: item.name)
    except OSError as error:
        raise ReadError(f"{folder.relative_to(root)} cannot be listed: {error.strerror}.") from error
