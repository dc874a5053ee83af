"""Which models lie in a directory, or belong to some files."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from weightaudit.discover.naming import checkpoint_of, is_checkpoint
from weightaudit.discover.target import STORE, Passed, Target, target_of
from weightaudit.errors import ReadError, UnsupportedFormatError
from weightaudit.formats import Kind, open_catalog, sniff
from weightaudit.versions.layout import MARKER
from weightaudit.wholes import SAVED_MODEL_FILES, belongs_to_checkpoint, first_shard, whole_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MODEL_SUFFIXES = frozenset({".keras", ".h5", ".hdf5"})
_VERSION_CONTROL = frozenset({".git", ".hg", ".svn"})
_UNFINISHED = ".weightaudit-tmp"
"""End of the name of a staging directory, see `weightaudit.storage.staging`."""

_EDGE = 1 << 16
"""Bytes at each end of a zip file in which a Keras archive names its weights."""


def models_in(root: Path, passed: Passed) -> Iterator[Target]:
    """Yield every model in a directory, with repetitions: each file names the model it belongs to."""
    refused: dict[Path, ReadError] = {}
    chosen = None
    try:
        chosen = checkpoint_of(root)
    except ReadError as error:
        refused[root / "checkpoint"] = error
    for target in models_of(_files(root, passed, refused), passed):
        model = target.path
        if chosen is None or model == chosen or model.parent != root or not is_checkpoint(model):
            yield target
        else:
            passed[model] = "a checkpoint other than the one that the file `checkpoint` names"
    yield from (target_of(path, refusal=error) for path, error in refused.items())


def _files(root: Path, passed: Passed, refused: dict[Path, ReadError]) -> Iterator[Path]:
    def refuse(error: OSError, what: str = "listed") -> None:
        place = Path(error.filename)
        refused[place] = ReadError(f"{place} cannot be {what}: {error.strerror}.")

    inside = Path(os.path.realpath(root))
    for directory, names, files in os.walk(root, onerror=refuse):
        if MARKER in files and Path(directory) != root:
            passed[Path(directory)] = STORE
            names.clear()
            continue
        names[:] = sorted(name for name in names if not is_foreign(name))
        for link in (path for name in names if _is_link(path := Path(directory, name))):
            if not Path(os.path.realpath(link)).is_relative_to(inside):
                passed[link] = "a link that leads out of the directory, and is not followed"
        for path in (Path(directory, name) for name in sorted(files)):
            try:
                mode = path.lstat().st_mode
            except OSError as error:
                # The directory may be listed and not entered, or the file is gone by now.
                refuse(error, "looked at")
                continue
            if stat.S_ISREG(mode):
                yield path
            elif not stat.S_ISLNK(mode):
                _pass_over(path, passed, refused)
            # Passed over, unless a model would be missed: one inside is met under its own name.
            elif _is_promising(path) and not Path(os.path.realpath(path)).is_relative_to(inside):
                refused[path] = ReadError(
                    f"{path} is a link that leads out of the directory and is not followed; name its target."
                )


def _pass_over(path: Path, passed: Passed, refused: dict[Path, ReadError]) -> None:
    """Take note of what is neither a file, a directory nor a link, such as a pipe."""
    if _is_promising(path):
        refused[path] = ReadError(f"{path} is called like a model, and is neither a file nor a directory.")
    else:
        passed[path] = "neither a file nor a directory"


def _is_link(directory: Path) -> bool:
    try:
        return directory.is_symlink()
    except OSError:
        return False  # it cannot be listed either, and `os.walk` says so


def is_foreign(directory: str) -> bool:
    """Say whether a directory of that name holds no models of the user: nor what a killed process left."""
    return directory in _VERSION_CONTROL or directory.endswith(_UNFINISHED)


def _is_promising(path: Path) -> bool:
    """Say whether something is called like a model, so that passing over it would miss one."""
    return path.suffix in {*_MODEL_SUFFIXES, ".index"} or path.name in SAVED_MODEL_FILES


def models_of(files: Iterable[Path], passed: Passed) -> Iterator[Target]:
    """Yield the models that files belong to."""
    for file in files:
        whole = whole_of(file)
        if whole is not None:
            yield target_of(whole)
            continue
        try:
            kind = sniff(file)
        except ReadError:
            # What cannot be looked at cannot be passed over either: opening it will say why.
            yield target_of(file)
            continue
        if kind is None:
            # An empty file or a Git LFS pointer where a model is promised must not go unseen.
            if file.suffix in _MODEL_SUFFIXES:
                yield target_of(file)
            elif not belongs_to_checkpoint(file):
                passed[file] = _stranger(file)
        elif kind is Kind.TABLE:
            yield target_of(first_shard(file), explicit=file.name.endswith(".index"))
        elif kind is not Kind.KERAS_ARCHIVE or file.suffix in _MODEL_SUFFIXES or _names_weights(file):
            yield target_of(file, explicit=file.suffix == ".keras")
        else:
            passed[file] = "a zip archive without Keras weights"


def _stranger(file: Path) -> str:
    """Return what a file is that is no model."""
    try:
        files = open_catalog(file).files
    except UnsupportedFormatError as error:
        return stripped(file, error)
    except ReadError:
        return "not a checkpoint, in spite of its name"
    files.close()
    return "a file that changed while it was looked at"


def stripped(path: Path, error: UnsupportedFormatError) -> str:
    """Return what a path is, from the sentence that says that it is no model: without its name."""
    return str(error).removeprefix(f"{path.name} is ").removesuffix(".")


def _names_weights(file: Path) -> bool:
    """Say whether a zip file is a Keras archive, without trusting its directory."""
    with file.open("rb") as stream:
        head = stream.read(_EDGE)
        stream.seek(max(0, file.stat().st_size - _EDGE))
        return b"model.weights." in head or b"model.weights." in stream.read(_EDGE)
