"""A version store: a directory with the versions of models, each in a numbered directory of its own.

The layout is the one that TensorFlow Serving polls: ``<store>/<name>/<number>/``. A SavedModel's
version directory is the SavedModel; other kinds hold their files. Beside them lies
``weightaudit.json``, the record. A version appears in one rename and is never changed again.
"""

from __future__ import annotations

import stat
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from weightaudit.errors import ReadError, StoreError, UsageError, WriteError
from weightaudit.formats.documents import parse_json
from weightaudit.limits import DEFAULT_LIMITS
from weightaudit.render.plain import json_text
from weightaudit.source import LocalFile
from weightaudit.storage.failures import writing
from weightaudit.storage.publishing import save_bytes
from weightaudit.storage.staging import SUFFIX, Staging, remove_tree
from weightaudit.storage.syncing import sync_directory
from weightaudit.versions.layout import (
    LATEST,
    MARKER,
    SIGNATURE,
    enclosing_model,
    enclosing_store,
    is_portable,
    is_there,
    version_number,
)
from weightaudit.versions.lock import WAIT, locked
from weightaudit.versions.tags import read_tags
from weightaudit.versions.version import Version, read_version

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from weightaudit.versions.draft import Draft

LAYOUT = 1
"""Raised when an older weightaudit could not use the store any more."""

_MARKER_SIZE = 4096


@dataclass(frozen=True, slots=True)
class Store:
    """A store that is there; see `open_store` and `create_store`.

    Attributes:
        root: Its directory.
    """

    root: Path

    def models(self) -> list[str]:
        """Return the names of the models that have versions, sorted."""
        return sorted(name for name in _directories(self.root) if _numbers(self.root / name))

    def numbers(self, name: str) -> list[int]:
        """Return the numbers of a model's versions in order, also of damaged ones; empty if it has none."""
        return _numbers(self.root / check_name(name))

    def latest(self, name: str) -> int | None:
        """Return the number of a model's newest version, None if it has none."""
        return max(self.numbers(name), default=None)

    def versions(self, name: str) -> list[Version]:
        """Return a model's versions, oldest first.

        Raises:
            StoreError: One of them has a damaged record; `numbers` and `get` reach the others.
        """
        return [self.get(name, number) for number in self.numbers(name)]

    def tags(self, name: str) -> dict[str, int]:
        """Return the tags of a model's versions.

        Raises:
            StoreError: The file that holds them is damaged.
        """
        return read_tags(self.folder(name))

    def number(self, name: str, which: int | str = LATEST) -> int:
        """Return the number of a version, which is not looked at.

        Args:
            name: Name of the model.
            which: Number, tag, or ``latest``.

        Raises:
            StoreError: The model has no such tag, or no version.
        """
        if isinstance(which, int):
            return which
        if which == LATEST:
            latest = self.latest(name)
            if latest is None:
                raise StoreError(f"{name} has no version in {self.root}.")
            return latest
        number = version_number(which) or self.tags(name).get(which)
        if number is None:
            raise StoreError(f"No version of {name} has the tag {which}; see `weightaudit versions list`.")
        return number

    def get(self, name: str, which: int | str = LATEST) -> Version:
        """Return a version of a model.

        Args:
            name: Name of the model.
            which: Number, tag, or ``latest``.

        Raises:
            StoreError: There is none, or its record is damaged.
        """
        return read_version(self.root, self.folder(name).name, self.number(name, which))

    def folder(self, name: str) -> Path:
        """Return the directory of a model's versions.

        Raises:
            StoreError: There is none, or it is a link.
            UsageError: No model can have that name.
        """
        folder = self.root / check_name(name)
        if not _is_directory(folder):
            known = ", ".join(self.models()) or "none"
            raise StoreError(f"The store {self.root} has no model {name}; those it has: {known}.")
        return folder

    @contextmanager
    def locked(self, name: str, *, wait: float = WAIT) -> Generator[Path]:
        """Hold the lock of a model's versions, and clear away what killed processes left in them.

        That includes signatures of versions that are gone: the next one of their numbers, if ever
        there is one, must not seem to be signed.

        Args:
            name: Name of the model; its directory must be there.
            wait: Seconds to wait for another process.

        Yields:
            The directory of the versions.

        Raises:
            StoreError: Another process holds it for longer, or the store cannot be written to.
        """
        folder = self.folder(name)
        with locked(folder, wait):
            _clear(folder)
            yield folder

    @contextmanager
    def new_version(self, name: str, *, parent: int | None = None, wait: float = WAIT) -> Generator[Draft]:
        """Prepare a new version of a model; the block fills the draft's directory and publishes it.

        The lock of the model is held until the block ends, so the number is certain. A draft that
        was not published by then is removed; nobody ever saw it.

        Args:
            name: Name of the model; it need not have versions yet.
            parent: Number of the version that it is made from; by default the newest one.
            wait: Seconds to wait for another process.

        Raises:
            StoreError: Another process holds the lock for longer, or the store cannot be written to.
            UsageError: No model can have that name.
        """
        from weightaudit.versions.draft import Draft

        self._make_folder(check_name(name))
        with self.locked(name, wait=wait) as folder:
            latest = self.latest(name)
            number = (latest or 0) + 1
            if version_number(str(number)) is None:  # nobody would ever find it
                raise StoreError(f"{name}@{latest} has the last number there is; remove that version.")
            with Staging(folder / str(number)) as staging:
                path = staging.path / str(number)
                with writing(f"{name}@{number} cannot be written"):
                    path.mkdir()
                yield Draft(self, name, number, latest if parent is None else parent, path)

    def _make_folder(self, name: str) -> None:
        folder = self.root / name
        if not _is_directory(folder):
            try:
                folder.mkdir(exist_ok=True)
                sync_directory(self.root)
            except OSError as error:
                raise StoreError(f"The store {self.root} cannot be written to: {error.strerror}.") from error


def open_store(path: Path) -> Store:
    """Return the store at a path.

    Raises:
        StoreError: There is none, or a newer weightaudit made it.
    """
    marker = path / MARKER
    if not is_there(marker):
        raise StoreError(f"There is no version store at {path}: it has no {MARKER}.")
    try:
        with closing(LocalFile(marker, label=str(marker))) as file:
            document = parse_json(file.read(0, min(file.size, _MARKER_SIZE)), str(marker), DEFAULT_LIMITS)
    except ReadError as error:
        raise StoreError(str(error)) from error
    layout = cast("dict[str, object]", document).get("layout") if isinstance(document, dict) else None
    if layout != LAYOUT:
        raise StoreError(f"The store {path} has layout {layout}, and this weightaudit knows {LAYOUT} only.")
    return Store(path)


def create_store(path: Path) -> Store:
    """Return the store at a path; make one if the path is free, or an empty directory.

    Raises:
        StoreError: It cannot be made, or a newer weightaudit made it.
        UsageError: Something else is there.
    """
    marker = path / MARKER
    if is_there(marker):
        return open_store(path)
    around = enclosing_store(path)
    if around is not None:
        raise UsageError(f"{path} lies in the version store {around}; name another directory.")
    model = enclosing_model(path)
    if model is not None:
        raise UsageError(
            f"The version store {path} would be a part of the SavedModel {model}; name that one, or "
            "another directory for the store."
        )
    try:
        path.mkdir(exist_ok=True)
        sync_directory(path.parent)
        is_free = all(item.name.endswith(SUFFIX) for item in path.iterdir())
    except FileExistsError as error:
        raise UsageError(f"{path} is no directory, so it cannot be a version store.") from error
    except OSError as error:
        raise StoreError(f"The store {path} cannot be made: {error.strerror}.") from error
    if not is_free and not is_there(marker):  # another process may have made it just now
        raise UsageError(f"{path} has other content and is no version store; name an empty directory.")
    try:
        # Processes that do this at once write the same.
        save_bytes(json_text({"layout": LAYOUT}).encode(), marker, follow_link=False)
    except WriteError as error:  # "in place" is the marker then, not what the store is made for
        raise StoreError(f"The store {path} is not ready: {error}") from error
    return open_store(path)


def check_name(name: str) -> str:
    """Return the name of a model if a directory of a store can have it.

    Raises:
        UsageError: It cannot.
    """
    wrong = not name or name in {".", "..", MARKER} or "/" in name or "\0" in name
    if wrong or name.endswith(SUFFIX) or not is_portable(name):
        raise UsageError(f"{name!r} cannot be the name of a model in a version store; choose another one.")
    return name


def _clear(folder: Path) -> None:
    for leftover in _directories(folder):
        if leftover.endswith(SUFFIX):
            remove_tree(folder / leftover)
    for name in _entries(folder):
        number = version_number(name.removesuffix(SIGNATURE)) if name.endswith(SIGNATURE) else None
        if number is not None and not is_there(folder / str(number)):
            with suppress(OSError):
                (folder / name).unlink()


def _numbers(folder: Path) -> list[int]:
    numbers = map(version_number, _entries(folder))
    return sorted(number for number in numbers if number is not None)


def _directories(folder: Path) -> list[str]:
    return [name for name in _entries(folder) if _is_directory(folder / name)]


def _entries(folder: Path) -> list[str]:
    try:
        return [item.name for item in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StoreError(f"{folder} cannot be listed: {error.strerror}.") from error


def _is_directory(path: Path) -> bool:
    """Say whether a directory is there, and not a link to one."""
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False
