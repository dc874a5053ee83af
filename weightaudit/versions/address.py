"""What users call a version: ``NAME@3``, ``NAME@tag``, ``NAME``, ``@3``, each after a directory or not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from weightaudit.errors import UsageError
from weightaudit.versions.layout import DEFAULT_STORE, LATEST, is_store, is_there
from weightaudit.versions.store import open_store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from weightaudit.versions.store import Store
    from weightaudit.versions.version import Version


class Address(NamedTuple):
    """A version, as yet only by name.

    Attributes:
        store: Where it is.
        name: Name of the model.
        which: Number, tag or ``latest``.
    """

    store: Store
    name: str
    which: str

    def version(self) -> Version:
        """Return the version.

        Raises:
            StoreError: There is none, or its record is damaged.
        """
        return self.store.get(self.name, self.which)


def locate(text: str, store: str | None) -> Address:
    """Return what an address stands for.

    Args:
        text: ``NAME@VERSION``, where VERSION is a number, a tag or ``latest``, which is also meant
            without it; NAME may be left out where the store has one model. ``DIR/NAME@VERSION`` is a
            version in the default store of DIR, and ``DIR@VERSION`` one of the only model there.
        store: Directory of the store; None for the default one.

    Raises:
        UsageError: It can mean more than one version, or has a directory where a store is named too.
        StoreError: There is no such store.
    """
    found, rest = _opened(text, store)
    models = found.models()
    name, at, which = rest.rpartition("@")
    if not at or (rest in models and name not in models):
        name, which = rest, LATEST
    elif rest in models:
        raise UsageError(f"{text} can be a version of {name} or the model {rest}; write {rest}@{LATEST}.")
    return Address(found, name or only(found, models), which or LATEST)


def locate_models(text: str | None, store: str | None) -> tuple[Store, list[str]]:
    """Return a store and the models in it that are meant.

    Args:
        text: ``NAME``, or ``DIR/NAME`` for the default store of DIR; without NAME, all models.
        store: Directory of the store; None for the default one.

    Raises:
        UsageError: It has a directory where a store is named too.
        StoreError: There is no such store, or no such model in it.
    """
    found, name = _opened(text or "", store)
    return found, [found.folder(name).name] if name else found.models()


def only(store: Store, models: Sequence[str]) -> str:
    """Return the only one of some models of a store.

    Raises:
        UsageError: There is none, or there are several.
    """
    if len(models) != 1:
        listed = ", ".join(models) or "no model"
        raise UsageError(f"Name the model; the store {store.root} has {listed}.")
    return models[0]


def find_version(text: str) -> Version | None:
    """Return the version in a default store that an address stands for, None where there is no such store.

    Args:
        text: An address with ``@``, which nothing on the disk is called.

    Raises:
        StoreError: There is such a store, but no such version in it.
        UsageError: The address can mean more than one version, or ends with ``@``.
    """
    if not is_store(_split(text)[0]):
        return None
    if text.endswith("@"):
        # A variable that is not set must not stand for the newest version.
        raise UsageError(f"{text} names no version; write {text}{LATEST}, a number or a tag.")
    return locate(text, None).version()


def _opened(text: str, store: str | None) -> tuple[Store, str]:
    """Open the store that is meant; return the text without its directory, too."""
    if store is None:
        place, rest = _split(text)
        return open_store(place), rest
    if not store:
        raise UsageError("--store is empty; name a directory.")
    if "/" in text:
        raise UsageError(f"{text} has a directory, and --store names the store already.")
    return open_store(Path(store)), text


def _split(text: str) -> tuple[Path, str]:
    """Return the default store that is meant, and the text without its directory."""
    directory, slash, rest = text.rpartition("/")
    place = Path(directory + slash)
    name, at, which = rest.rpartition("@") if "@" in rest else (rest, "", "")
    # A checkpoint is named by the directory that it is in, too, and that is where its versions are.
    inside = place / name / DEFAULT_STORE
    if name and is_store(inside) and not is_there(place / DEFAULT_STORE / name):
        return inside, at + which
    return place / DEFAULT_STORE, rest
