"""Containers: each module turns a path into a catalog of tensors, as plain data."""

from __future__ import annotations

import os
import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from weightaudit.errors import ReadError, UnsupportedFormatError
from weightaudit.limits import DEFAULT_LIMITS, Limits
from weightaudit.source import LFS_POINTER, Files, LocalFile, is_lfs_pointer
from weightaudit.wholes import is_keras_directory

if TYPE_CHECKING:
    from weightaudit.catalog import Catalog

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
ZIP_MAGIC = b"PK\x03\x04"
TABLE_MAGIC = bytes.fromhex("57fb808b247547db")
"""The last eight bytes of every table that TensorFlow writes: indexes, and V1 checkpoints."""


_LONGEST_END = 22 + 0xFFFF
"""Bytes of the end of a zip archive: the record that says where its directory is, and a comment."""


class Kind(StrEnum):
    """What a path turns out to hold, judged by content and never by its suffix."""

    KERAS_ARCHIVE = "Keras archive"
    KERAS_DIRECTORY = "unpacked Keras archive"
    HDF5 = "HDF5"
    SHARD_INDEX = "index of Keras weight shards"
    SAVED_MODEL = "SavedModel"
    BUNDLE = "TensorFlow checkpoint"
    TABLE = "TensorFlow table"


def sniff(path: Path) -> Kind | None:
    """Say what a path holds, or None if it is not a kind of model that is read.

    A checkpoint is named by its prefix, the path without ``.index``. Reads at most a few
    hundred bytes.

    Raises:
        ReadError: The path is there and cannot be opened, or is two kinds of model at once.
    """
    if path.is_dir():
        return _sniff_directory(path)
    if not path.exists():
        return Kind.BUNDLE if path.with_name(f"{path.name}.index").is_file() else None
    file = LocalFile(Path(os.path.realpath(path)), label=path.name)
    try:
        kind = _sniff_file(file)
    finally:
        file.close()
    if kind is Kind.TABLE and path.with_name(f"{path.name}.index").is_file():
        raise ReadError(
            f"{path.name} is a checkpoint of version 1, and {path.name}.index one of version 2, which "
            "TensorFlow reads instead; name that one, or move one of them to a directory of its own."
        )
    return kind


class Opened(NamedTuple):
    """An open saved model.

    Attributes:
        files: Its open files, which the caller closes.
        catalog: Its tensors.
        kind: What it is.
        name: Name of its main file below the root of `files`, the prefix of a TensorFlow checkpoint,
            or empty for a directory.
    """

    files: Files
    catalog: Catalog
    kind: Kind
    name: str


def open_catalog(path: Path, limits: Limits = DEFAULT_LIMITS) -> Opened:
    """Open a saved model and list its tensors.

    Args:
        path: A file, a SavedModel directory, an unpacked ``.keras`` directory, or the prefix of
            a TensorFlow checkpoint.
        limits: Bounds on what the file may ask for.

    Raises:
        ReadError: It is damaged, refused, or not there.
        UnsupportedFormatError: It is not a saved TensorFlow or Keras model.
    """
    # A prefix may be empty (TensorFlow then writes ".index"), which no Path can hold.
    prefix = path.name.removesuffix(".index") if path.name.endswith(".index") and path.is_file() else None
    kind = sniff(path) if prefix is None else Kind.BUNDLE
    if kind is None and not path.exists():
        raise ReadError(f"{path.name} does not exist.")
    if kind is None:
        raise UnsupportedFormatError(_not_a_model(path))
    if kind is Kind.BUNDLE:
        root, name = path.parent, path.name if prefix is None else prefix
    else:
        path = Path(os.path.realpath(path))
        root, name = (path, "") if path.is_dir() else (path.parent, path.name)
    files = Files(root)
    try:
        return Opened(files, _catalog(kind, files, name, limits), kind, name)
    except BaseException:
        files.close()
        raise


def _catalog(kind: Kind, files: Files, name: str, limits: Limits) -> Catalog:
    # Each container is imported when it is met: a check of a .keras file never loads the others.
    if kind is Kind.KERAS_ARCHIVE:
        from weightaudit.formats.keras_archive import catalog_keras_archive

        return catalog_keras_archive(files, name, limits)
    if kind is Kind.KERAS_DIRECTORY:
        from weightaudit.formats.keras_archive import catalog_keras_directory

        return catalog_keras_directory(files, limits)
    if kind is Kind.HDF5:
        from weightaudit.formats.hdf5 import Hdf5Data, catalog_hdf5

        number = files.open(name)
        return catalog_hdf5(Hdf5Data.whole(files[number], number), limits)
    if kind is Kind.SHARD_INDEX:
        from weightaudit.formats.sharded import catalog_sharded

        return catalog_sharded(files, name, limits)
    if kind is Kind.SAVED_MODEL:
        from weightaudit.formats.saved_model import catalog_saved_model

        return catalog_saved_model(files, limits)
    if kind is Kind.BUNDLE:
        from weightaudit.formats.tensor_bundle import catalog_tensor_bundle

        return catalog_tensor_bundle(files, name, limits)
    from weightaudit.formats.checkpoint_v1 import catalog_checkpoint_v1

    return catalog_checkpoint_v1(files, _shards(name), limits)


def _shards(name: str) -> list[str]:
    """Return the names of all shards of the V1 checkpoint of which this is one."""
    shard = re.fullmatch(r"(?s)(.+)-\d{5}-of-(\d{5})", name)
    if shard is None:
        return [name]
    return [f"{shard[1]}-{number:05d}-of-{shard[2]}" for number in range(int(shard[2]))]


def _sniff_directory(path: Path) -> Kind | None:
    # Whatever has this name makes it one: a pipe or a link to nowhere is for its reader to refuse.
    is_saved_model = any(os.path.lexists(path / f"saved_model.{suffix}") for suffix in ("pb", "pbtxt", "cpb"))
    if not is_keras_directory(path):
        return Kind.SAVED_MODEL if is_saved_model else None
    if is_saved_model:
        raise ReadError(
            f"{path.name} is a SavedModel and an unpacked Keras archive at once: TensorFlow loads the one "
            "and Keras the other; move one of them to a directory of its own."
        )
    return Kind.KERAS_DIRECTORY


def _sniff_file(file: LocalFile) -> Kind | None:
    head = file.read(0, min(file.size, 512))
    if head.startswith(ZIP_MAGIC):
        # Keras takes a file for an archive only if it is called so, and for HDF5 otherwise.
        if not file.label.endswith(".keras") and _has_user_block(file):
            raise _two_in_one(file)
        return Kind.KERAS_ARCHIVE
    if head.startswith(HDF5_MAGIC) or _has_user_block(file):
        if _ends_as_zip(file):
            raise _two_in_one(file)
        return Kind.HDF5
    if head.lstrip()[:1] == b"{" and b'"weight_map"' in file.read(0, min(file.size, 1 << 20)):
        return Kind.SHARD_INDEX
    if file.size >= 48 and file.read(file.size - 8, 8) == TABLE_MAGIC:
        return Kind.TABLE
    return None


def _has_user_block(file: LocalFile) -> bool:
    """HDF5 data may begin at byte 512, 1024, 2048, ... behind a block that belongs to the user."""
    place = 512
    while place + 8 <= file.size and place <= 1 << 20:
        if file.read(place, 8) == HDF5_MAGIC:
            return True
        place *= 2
    return False


def _ends_as_zip(file: LocalFile) -> bool:
    """Say whether a file ends with a zip directory, which other readers find whatever it begins with."""
    tail = file.read(max(0, file.size - _LONGEST_END), min(file.size, _LONGEST_END))
    place = tail.rfind(b"PK\x05\x06")
    size = int.from_bytes(tail[place + 12 : place + 16], "little")
    directory = file.size - len(tail) + place - size
    return place >= 0 and 0 <= directory <= file.size - 4 and file.read(directory, 4) == b"PK\x01\x02"


def _two_in_one(file: LocalFile) -> ReadError:
    return ReadError(
        f"{file.label} is an HDF5 file and a zip archive at once; readers disagree on which one counts."
    )


_STRANGERS = {
    b"\x80\x02": "a Python pickle, which is never opened because that would run code",
    b"\x80\x03": "a Python pickle, which is never opened because that would run code",
    b"\x80\x04": "a Python pickle, which is never opened because that would run code",
    b"\x80\x05": "a Python pickle, which is never opened because that would run code",
    b"\x93NUMPY": "a NumPy array file",
    b"GGUF": "a GGUF model",
    b"\x1f\x8b": "a gzip file: unpack it first",
}


def _not_a_model(path: Path) -> str:
    """Say in one sentence why a path is not read."""
    if path.is_dir():
        return f"{path.name or path} is a directory without a saved model."
    file = LocalFile(Path(os.path.realpath(path)), label=path.name)
    try:
        head = file.read(0, min(file.size, 64))
        pointer = is_lfs_pointer(file)
    finally:
        file.close()
    if not head:
        return f"{path.name} is empty."
    if pointer:
        return f"{path.name} is {LFS_POINTER}."
    if head[4:8] == b"TFL3":
        return f"{path.name} is a TensorFlow Lite model; audit the Keras or SavedModel it was converted from."
    for magic, what in _STRANGERS.items():
        if head.startswith(magic):
            return f"{path.name} is {what}."
    return f"{path.name} is not a saved TensorFlow or Keras model (.keras, HDF5, SavedModel, checkpoint)."


__all__ = ["Kind", "Opened", "open_catalog", "sniff"]
