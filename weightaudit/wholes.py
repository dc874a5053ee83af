"""Which model a file is a part of, told by its name and by what lies beside it, and what that is called."""

from __future__ import annotations

import os
import re
from pathlib import Path

SAVED_MODEL_FILES = frozenset({"saved_model.pb", "saved_model.pbtxt", "saved_model.cpb"})
"""The file of a SavedModel that says what it is: one of these."""
_SAVED_MODEL_EXTRAS = frozenset({"fingerprint.pb", "keras_metadata.pb"})
_SAVED_MODEL_PARTS = frozenset({"variables", "assets", "assets.extra"})
_KERAS_WEIGHTS = frozenset({"model.weights.h5", "model.weights.npz"})
_KERAS_FILES = frozenset({"config.json", "metadata.json", *_KERAS_WEIGHTS})
_DATA_SHARD = re.compile(r"(?s)(.*)\.data-\d{5}-of-\d{5}")
_TABLE_SHARD = re.compile(r"(?s)(.+)-\d{5}-of-\d{5}")
_KERAS_SHARD = re.compile(r"(?s)(.+)_\d{5}\.weights\.h5")

_SUFFIXES = (frozenset({".keras"}), frozenset({".h5", ".hdf5"}))
"""Names that Keras goes by when it opens a file; a copy keeps the format, so it keeps the name's family."""


def suffix_of_copy(original: str, copy: Path) -> str:
    """Return the suffix that a copy must have for Keras to open it, empty if its own will do.

    Args:
        original: Name of the file that is copied.
        copy: Path of the copy.
    """
    family = next((one for one in _SUFFIXES if Path(original).suffix in one), frozenset[str]())
    fits = not family or copy.suffix in family or not any(copy.suffix in one for one in _SUFFIXES)
    return "" if fits else min(family)


def belongs_to_checkpoint(file: Path) -> bool:
    """Say whether a file is the state or the graph that TensorFlow writes beside a checkpoint."""
    return file.name == "checkpoint" or (file.suffix == ".meta" and file.with_suffix(".index").is_file())


def whole_of(file: Path) -> Path | None:
    """Return the model of which a file is one of several parts, None if it stands for itself."""
    parent = file.parent
    if file.name in SAVED_MODEL_FILES:
        return parent
    if file.name in _SAVED_MODEL_EXTRAS and _is_saved_model(parent):
        return parent
    if parent.name in _SAVED_MODEL_PARTS and _is_saved_model(parent.parent):
        return parent.parent
    if file.name in _KERAS_FILES and is_keras_directory(parent):
        return parent
    if data := _DATA_SHARD.fullmatch(file.name):
        index = parent / f"{data[1]}.index"
        return index if index.is_file() else file
    if shard := _KERAS_SHARD.fullmatch(file.name):
        listing = parent / f"{shard[1]}.weights.json"
        return listing if listing.is_file() else None
    return None


def _is_saved_model(directory: Path) -> bool:
    return any((directory / name).is_file() for name in SAVED_MODEL_FILES)


def is_keras_directory(directory: Path) -> bool:
    """Say whether Keras takes a directory for an unpacked ``.keras`` archive with weights."""
    return (directory / "config.json").is_file() and any(
        (directory / name).is_file() for name in _KERAS_WEIGHTS
    )


def first_shard(file: Path) -> Path:
    """Return the first of the files `name-00000-of-00002`, ... to which a file belongs, or the file."""
    shard = _TABLE_SHARD.fullmatch(file.name)
    return table_shards(file.with_name(shard[1]))[0] if shard else file


def table_shards(prefix: Path) -> list[Path]:
    """Return the files `prefix-00000-of-00002`, ... that there are, sorted."""
    if not prefix.parent.is_dir():
        return []
    shards = (file for file in prefix.parent.iterdir() if _TABLE_SHARD.fullmatch(file.name))
    return sorted(file for file in shards if file.name[: -len("-00000-of-00001")] == prefix.name)


def label_of(path: Path) -> str:
    """Return what a model is called in reports: relative to where we are, a checkpoint by its prefix."""
    shown = Path(os.path.relpath(path))
    if path.name == ".index":
        return shown.parent.as_posix()
    if path.suffix == ".index":
        return shown.with_suffix("").as_posix()
    shard = _TABLE_SHARD.fullmatch(shown.name)
    return shown.with_name(shard[1]).as_posix() if shard else shown.as_posix()
