"""Finds the saved models that paths, directories and globs stand for, each once."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, replace
from errno import ENAMETOOLONG
from functools import cache
from glob import glob, has_magic
from pathlib import Path
from typing import TYPE_CHECKING

from weightaudit.errors import ReadError, UnsupportedFormatError, UsageError, WeightauditError
from weightaudit.formats import Kind, open_catalog, sniff
from weightaudit.left_out import grouped
from weightaudit.report import LeftOut
from weightaudit.versions.layout import MARKER, is_store
from weightaudit.wholes import (
    SAVED_MODEL_FILES,
    belongs_to_checkpoint,
    first_shard,
    label_of,
    table_shards,
    whole_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from weightaudit.versions.version import Version

_MODEL_SUFFIXES = frozenset({".keras", ".h5", ".hdf5"})
_VERSION_CONTROL = frozenset({".git", ".hg", ".svn"})
_UNFINISHED = ".weightaudit-tmp"
"""End of the name of a staging directory, see `weightaudit.storage.staging`."""
_STORE = "a version store: name it, or a version in it, to audit that"

_STATE = re.compile(r'^model_checkpoint_path:\s*"(.*)"\s*$', re.MULTILINE)

_EDGE = 1 << 16
"""Bytes at each end of a zip file in which a Keras archive names its weights."""


@dataclass(frozen=True, slots=True)
class Target:
    """One saved model to audit.

    Attributes:
        path: What to open: a file, a SavedModel or unpacked Keras directory, the ``.index`` of a
            checkpoint, or the first shard of a V1 checkpoint.
        label: Its name in reports: relative to the working directory, with ``/``; a checkpoint
            by its prefix.
        explicit: Whether it must turn out to be a model, because the user named it or because
            its own name says so. Any other one that is not a model is left out.
        refusal: Why there is nothing to open where a model was asked for; None if there is.
    """

    path: Path
    label: str
    explicit: bool
    refusal: WeightauditError | None = None


@dataclass(frozen=True, slots=True)
class Search:
    """What paths, directories and globs turned up.

    Attributes:
        targets: The models, each once, and what was asked for in vain.
        left_out: Files in directories and globs that are neither models nor parts of one.
    """

    targets: tuple[Target, ...]
    left_out: tuple[LeftOut, ...]


_Passed = dict[Path, str]
"""Files that were passed over, and what each is instead of a model to audit."""


def discover(paths: Sequence[str]) -> tuple[Target, ...]:
    """Find the saved models that the user means, each once; unlike `search`, raise the first refusal."""
    targets = search(paths).targets
    for target in targets:
        if target.refusal is not None:
            raise target.refusal
    return targets


def search(paths: Sequence[str]) -> Search:
    """Find the saved models that the user means, each once, and say what was left out.

    A file is taken as it is, and a part of a model (a shard, `saved_model.pb`) stands for the
    whole. Directories are walked in sorted order; their content decides, not the suffix. Links
    to directories are not followed, nor links to files outside. Where a directory that was
    named has a `checkpoint` file, only the checkpoint that it names is taken from there. A version
    store is left out, unless its own name or that of something in it is in the path.

    One path without a model does not keep the others from their audit: it is a target, too, with the
    error as its `Target.refusal`. Where no path has a model, the first error is raised.

    Args:
        paths: Files, directories, checkpoint prefixes, versions such as ``model.keras@3``, and globs;
            ``**`` matches directories.

    Raises:
        UsageError: A path is empty; or none has a model, and the first does not exist or is a glob that
            matches nothing.
        StoreError: None has a model, and the first is a version that is not there.
        UnsupportedFormatError: None has a model, and the first is a directory or a glob without one.
        ReadError: None has a model, and the first cannot be listed, or names a model that cannot be
            looked at.
    """
    found = gather(paths)
    refusals = [target.refusal for target in found.targets if target.refusal is not None]
    if refusals and len(refusals) == len(found.targets):
        raise refusals[0]
    return found


def gather(paths: Sequence[str]) -> Search:
    """Do what `search` does, also where no path has a model: all targets are refusals then.

    Raises:
        UsageError: A path is empty.
    """
    found: dict[str, Target] = {}
    passed: _Passed = {}
    for text in paths:
        for target in _resolve(text, passed):
            key = os.path.realpath(target.path)
            known = found.get(key)
            if known is None or (known.refusal is not None and target.refusal is None):
                # A link that is not followed is no loss where its target was named, too.
                found[key] = target
            elif target.explicit and not known.explicit:
                found[key] = replace(known, explicit=True)
    wholes = {Path(key) for key, target in found.items() if target.refusal is None}
    left_out = (
        LeftOut(label_of(path), reason)
        for path, reason in passed.items()
        # What lies in a SavedModel, or was found under another argument, is not left out.
        if wholes.isdisjoint((real := Path(os.path.realpath(path)), *real.parents))
    )
    return Search(tuple(found.values()), tuple(left_out))


def addressed(text: str) -> Version | None:
    """Return the version that a text is the address of; None for what is on the disk, or no address.

    Raises:
        StoreError: There is a store where it says, but no such version in it.
        UsageError: It names no version, or can mean more than one.
        ReadError: What has its name cannot be looked at.
    """
    if "@" not in text or os.path.lexists(text):
        return None
    path = Path(text)
    matches = glob(text, recursive=True, include_hidden=True) if has_magic(text) else []  # noqa: PTH207 - as in `_matching`
    if _is_directory(path) or matches or _named(path) is not None:
        return None
    from weightaudit.versions.address import find_version

    return find_version(text)


def stripped(path: Path, error: UnsupportedFormatError) -> str:
    """Return what a path is, from the sentence that says that it is no model: without its name."""
    return str(error).removeprefix(f"{path.name} is ").removesuffix(".")


def _resolve(text: str, passed: _Passed) -> list[Target]:
    if not text:
        # Path("") would be the working directory: a variable that is not set must not audit that.
        raise UsageError("A path is empty; give a file, a directory, a checkpoint prefix or a glob.")
    try:
        version = addressed(text)
        if version is not None:
            return [Target(version.path, version.address, explicit=True)]
        return _on_disk(text, passed)
    except WeightauditError as error:
        return [_target(Path(text), refusal=error)]


def _target(path: Path, *, explicit: bool = True, refusal: WeightauditError | None = None) -> Target:
    return Target(path, label_of(path), explicit, refusal)


def _on_disk(text: str, passed: _Passed) -> list[Target]:
    path = Path(text)
    if _is_directory(path):
        own: _Passed = {}
        models = list(_in_directory(path, own))
        if not models:
            raise UnsupportedFormatError(_nothing(f"{text} holds no saved model", own))
        passed |= own
        return models
    model = _named(path)
    if model is not None:
        return [_target(model)]
    if has_magic(text):
        return _matching(text, passed)
    raise UsageError(
        f"{text} does not exist; give a file, a directory, a checkpoint prefix, a version or a glob."
    )


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as error:
        if error.errno == ENAMETOOLONG:
            raise UsageError(f"{path} does not exist: the name is too long.") from error
        raise ReadError(f"{path} cannot be looked at: {error.strerror}.") from error


def _nothing(sentence: str, passed: _Passed) -> str:
    told = grouped([LeftOut(label_of(path), reason) for path, reason in passed.items()])
    phrases = "; ".join(f"{names} ({reason})" for names, reason in told)
    return f"{sentence}; left out: {phrases}." if phrases else f"{sentence}."


def _named(path: Path) -> Path | None:
    """Return the model that a user means by a path which is not a directory."""
    index = path.with_name(f"{path.name}.index")
    # Whatever is there and is no file, such as a pipe, is refused when it is opened, and not called missing.
    if path.exists():
        if path.name == "checkpoint":
            return _checkpoint_of(path.parent) or path
        if index.is_file() and sniff(path) is None:
            return index
        return whole_of(path) or first_shard(path)
    if index.is_file():
        return index
    shards = [shard for shard in table_shards(path) if sniff(shard) is Kind.TABLE]
    return shards[0] if shards else None


def _matching(pattern: str, passed: _Passed) -> list[Target]:
    # pathlib's own globs know neither absolute patterns nor `..`.
    names = sorted(glob(pattern, recursive=True, include_hidden=True))  # noqa: PTH207
    matches = [path for path in map(Path, names) if not any(map(_is_foreign, path.parts))]
    if not matches:
        raise UsageError(f"{pattern} matches nothing.")
    models: list[Target] = []
    own: _Passed = {}
    # Whoever works in a store, or names it, means what is in it.
    named = {*Path(pattern).parts, ""}
    known = cache(is_store)
    for match in matches:
        store = next((place for place in (match, *match.parents) if known(place)), None)
        if store is not None and store.name not in named:
            own[store] = _STORE
        else:
            models.extend(_in_directory(match, own) if match.is_dir() else _examine([match], own))
    if not models:
        raise UnsupportedFormatError(_nothing(f"{pattern} matches no saved model", own))
    passed |= own
    return models


def _in_directory(root: Path, passed: _Passed) -> Iterator[Target]:
    """Yield every model in a directory, with repetitions: each file names the model it belongs to."""
    refused: dict[Path, ReadError] = {}
    chosen = None
    try:
        chosen = _checkpoint_of(root)
    except ReadError as error:
        refused[root / "checkpoint"] = error
    for target in _examine(_files(root, passed, refused), passed):
        model = target.path
        if chosen is None or model == chosen or model.parent != root or not _is_checkpoint(model):
            yield target
        else:
            passed[model] = "a checkpoint other than the one that the file `checkpoint` names"
    yield from (_target(path, refusal=error) for path, error in refused.items())


def _files(root: Path, passed: _Passed, refused: dict[Path, ReadError]) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        place = Path(error.filename)
        refused[place] = ReadError(f"{place} cannot be listed: {error.strerror}.")

    inside = Path(os.path.realpath(root))
    for directory, names, files in os.walk(root, onerror=refuse):
        if MARKER in files and Path(directory) != root:
            passed[Path(directory)] = _STORE
            names.clear()
            continue
        names[:] = sorted(name for name in names if not _is_foreign(name))
        for link in (path for name in names if (path := Path(directory, name)).is_symlink()):
            if not Path(os.path.realpath(link)).is_relative_to(inside):
                passed[link] = "a link that leads out of the directory, and is not followed"
        for name in sorted(files):
            path = Path(directory, name)
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode):
                yield path
            elif stat.S_ISLNK(mode):
                # Passed over, unless a model would be missed: one inside is met under its own name.
                if _is_promising(path) and not Path(os.path.realpath(path)).is_relative_to(inside):
                    refused[path] = ReadError(
                        f"{path} is a link that leads out of the directory and is not followed; "
                        "name its target."
                    )
            elif _is_promising(path):
                refused[path] = ReadError(
                    f"{path} is called like a model, and is neither a file nor a directory."
                )
            else:
                passed[path] = "neither a file nor a directory"


def _is_foreign(directory: str) -> bool:
    """Say whether a directory of that name holds no models of the user: nor what a killed process left."""
    return directory in _VERSION_CONTROL or directory.endswith(_UNFINISHED)


def _is_promising(path: Path) -> bool:
    """Say whether something is called like a model, so that passing over it would miss one."""
    return path.suffix in {*_MODEL_SUFFIXES, ".index"} or path.name in SAVED_MODEL_FILES


def _examine(files: Iterable[Path], passed: _Passed) -> Iterator[Target]:
    """Yield the models that files belong to."""
    for file in files:
        whole = whole_of(file)
        if whole is not None:
            yield _target(whole)
            continue
        try:
            kind = sniff(file)
        except ReadError:
            # What cannot be looked at cannot be passed over either: opening it will say why.
            yield _target(file)
            continue
        if kind is None:
            # An empty file or a Git LFS pointer where a model is promised must not go unseen.
            if file.suffix in _MODEL_SUFFIXES:
                yield _target(file)
            elif not belongs_to_checkpoint(file):
                passed[file] = _stranger(file)
        elif kind is Kind.TABLE:
            yield _target(first_shard(file), explicit=file.name.endswith(".index"))
        elif kind is not Kind.KERAS_ARCHIVE or file.suffix in _MODEL_SUFFIXES or _names_weights(file):
            yield _target(file, explicit=file.suffix == ".keras")
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


def _names_weights(file: Path) -> bool:
    """Say whether a zip file is a Keras archive, without trusting its directory."""
    with file.open("rb") as stream:
        head = stream.read(_EDGE)
        stream.seek(max(0, file.stat().st_size - _EDGE))
        return b"model.weights." in head or b"model.weights." in stream.read(_EDGE)


def _checkpoint_of(directory: Path) -> Path | None:
    """Return the checkpoint that a directory's `checkpoint` file names; None if it has no such file."""
    state = directory / "checkpoint"
    if not state.is_file():
        return None
    with state.open("rb") as stream:
        match = _STATE.search(stream.read(_EDGE).decode("utf-8", "replace"))
    if match is None:
        return None
    # The path was true on the machine that trained; only its last part means anything here.
    prefix = directory / re.split(r"[/\\]", match[1])[-1]
    if prefix == directory:
        index = directory / ".index"
        model = index if index.is_file() else None
    else:
        model = _named(prefix)
    if model is None:
        raise ReadError(f"{state} names the checkpoint {match[1]!r}, which is not beside it.")
    return model


def _is_checkpoint(model: Path) -> bool:
    return model.name.endswith(".index") or (model.is_file() and sniff(model) is Kind.TABLE)
