"""Each model that paths, directories and globs stand for, once."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import cache
from glob import glob, has_magic
from pathlib import Path
from typing import TYPE_CHECKING

from weightaudit.discover.naming import addressed, is_directory, model_named
from weightaudit.discover.target import STORE, Passed, Search, Target, target_of
from weightaudit.discover.walking import is_foreign, models_in, models_of
from weightaudit.errors import ReadError, UnsupportedFormatError, UsageError, WeightauditError
from weightaudit.left_out import grouped
from weightaudit.report import LeftOut
from weightaudit.versions.layout import is_store
from weightaudit.wholes import label_of

if TYPE_CHECKING:
    from collections.abc import Sequence


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
    passed: Passed = {}
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


def _resolve(text: str, passed: Passed) -> list[Target]:
    if not text:
        # Path("") would be the working directory: a variable that is not set must not audit that.
        raise UsageError("A path is empty; give a file, a directory, a checkpoint prefix or a glob.")
    try:
        version = addressed(text)
        if version is not None:
            return [Target(version.path, version.address, explicit=True)]
        return _on_disk(text, passed)
    except WeightauditError as error:
        return [target_of(Path(text), refusal=error)]
    except OSError as error:
        # A directory may be listed and yet not be entered, and the other way round.
        place = error.filename or text
        return [target_of(Path(text), refusal=ReadError(f"{place} cannot be looked at: {error.strerror}."))]


def _on_disk(text: str, passed: Passed) -> list[Target]:
    path = Path(text)
    if is_directory(path):
        own: Passed = {}
        models = list(models_in(path, own))
        if not models:
            raise UnsupportedFormatError(_nothing(f"{text} holds no saved model", own))
        passed |= own
        return models
    model = model_named(path)
    if model is not None:
        return [target_of(model)]
    if has_magic(text):
        return _matching(text, passed)
    raise UsageError(
        f"{text} does not exist; give a file, a directory, a checkpoint prefix, a version or a glob."
    )


def _nothing(sentence: str, passed: Passed) -> str:
    told = grouped([LeftOut(label_of(path), reason) for path, reason in passed.items()])
    phrases = "; ".join(f"{names} ({reason})" for names, reason in told)
    return f"{sentence}; left out: {phrases}." if phrases else f"{sentence}."


def _matching(pattern: str, passed: Passed) -> list[Target]:
    # pathlib's own globs know neither absolute patterns nor `..`.
    names = sorted(glob(pattern, recursive=True, include_hidden=True))  # noqa: PTH207
    matches = [path for path in map(Path, names) if not any(map(is_foreign, path.parts))]
    if not matches:
        raise UsageError(f"{pattern} matches nothing.")
    models: list[Target] = []
    own: Passed = {}
    # Whoever works in a store, or names it, means what is in it.
    named = {*Path(pattern).parts, ""}
    known = cache(is_store)
    for match in matches:
        store = next((place for place in (match, *match.parents) if known(place)), None)
        if store is not None and store.name not in named:
            own[store] = STORE
        else:
            models.extend(models_in(match, own) if match.is_dir() else models_of([match], own))
    if not models:
        raise UnsupportedFormatError(_nothing(f"{pattern} matches no saved model", own))
    passed |= own
    return models
