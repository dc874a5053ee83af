"""One version of a model: its place in the store, and its record."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from weightaudit.errors import ReadError, StoreError
from weightaudit.formats import Kind
from weightaudit.source import LocalFile
from weightaudit.versions.layout import DEFAULT_STORE, RECORD, version_number
from weightaudit.versions.record import Record, StoredFile
from weightaudit.versions.record_json import read_record


def address_of(store: Path, name: str, number: int) -> str:
    """Return what a user calls a version: ``model.keras@3``, after the directory of a default store.

    Args:
        store: Root of the store; a directory is told relative to the working one, which itself is
            not told. One of another name than the default has to be named anyway.
        name: Name of the model.
        number: Number of the version.
    """
    short = f"{name}@{number}"
    place = os.path.relpath(store.parent) if store.name == DEFAULT_STORE else os.curdir
    return short if place == os.curdir else Path(place, short).as_posix()


@dataclass(frozen=True, slots=True)
class Version:
    """A version that is in a store.

    Attributes:
        store: Root of the store.
        name: Name of the model in the store.
        number: Its number.
        record: What is known about it.
    """

    store: Path
    name: str
    number: int
    record: Record

    @property
    def directory(self) -> Path:
        """The directory of its files and its record; a SavedModel can be loaded from it."""
        return self.store / self.name / str(self.number)

    @property
    def path(self) -> Path:
        """What to open: the model's file, its directory, or the prefix of a checkpoint."""
        return model_path(self.directory, self.record.container, self.record.main)

    @property
    def address(self) -> str:
        """What a user calls it, see `address_of`."""
        return address_of(self.store, self.name, self.number)

    @property
    def size(self) -> int:
        """Bytes of its files, also of those that it shares with others."""
        return sum(one.size for one in self.record.files)

    def files(self) -> dict[str, Path]:
        """Return its files by their path below its directory.

        For the argument ``reuse`` of `weightaudit.writing.write_model`, provided that the version
        is intact: one that was just made by `commit` is.
        """
        return {one.path: self.directory / one.path for one in self.record.files}


def model_path(directory: Path, container: Kind, main: str) -> Path:
    """Return what to open of a model in a directory; a checkpoint's prefix may be empty, and no path is."""
    return directory / (".index" if container is Kind.BUNDLE and not main else main)


def read_version(store: Path, name: str, number: int) -> Version:
    """Return a version as its record describes it; its files are not looked at.

    Raises:
        StoreError: It is not there, is a link, or its record is damaged.
    """
    directory = store / name / str(number)
    label = f"{name}@{number}"
    try:
        mode = directory.lstat().st_mode if version_number(str(number)) else None
    except OSError:
        mode = None
    if mode is None:
        raise StoreError(f"There is no version {label} in {store}.")
    if not stat.S_ISDIR(mode):
        raise StoreError(f"{label} is no directory of its own, so it is not used.")
    record = _read_record(directory, label)
    if (record.model, record.version) != (name, number):
        raise StoreError(f"The record of {label} is that of {record.model}@{record.version}.")
    return Version(store, name, number, record)


def open_stored(directory: Path, path: str) -> LocalFile:
    """Open a file of a version; nothing on the way to it may be a link.

    Raises:
        ReadError: It is missing, is no regular file, or a link leads elsewhere.
    """
    place = Path(os.path.realpath(directory)) / path
    if Path(os.path.realpath(place)) != place:
        raise ReadError(f"{path} is a link.")
    return LocalFile(place, label=path)


def refuse_links(version: Version) -> None:
    """Raise StoreError if a file of a version is a link, or in one, so that none elsewhere is read."""
    directory = Path(os.path.realpath(version.directory))
    for one in version.record.files:
        if Path(os.path.realpath(directory / one.path)) != directory / one.path:
            raise StoreError(f"{version.address} is damaged: {one.path} is a link.")


def is_file_intact(directory: Path, stored: StoredFile) -> bool:
    """Say whether a file of a version has the bytes that its record says."""
    from weightaudit.digests import source_digest

    try:
        file = open_stored(directory, stored.path)
    except ReadError:
        return False
    try:
        return file.size == stored.size and source_digest(file) == stored.sha256
    except ReadError:
        return False
    finally:
        file.close()


def _read_record(directory: Path, label: str) -> Record:
    label = f"The record {RECORD} of {label}"
    try:
        file = LocalFile(directory / RECORD, label=label)
    except ReadError as error:
        raise StoreError(str(error)) from error
    try:
        return read_record(file, label)
    finally:
        file.close()
