"""Tags: names that people give to versions, and may give to another one later."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weightaudit.errors import StoreError, UsageError
from weightaudit.versions.lock import WAIT
from weightaudit.versions.store import Store
from weightaudit.versions.tags import check_tag, read_tags, write_tags

if TYPE_CHECKING:
    from weightaudit.versions.version import Version


def tag(version: Version, name: str, *, move: bool = False, wait: float = WAIT) -> None:
    """Give a tag to a version.

    Args:
        version: The version.
        name: The tag: letters, digits and ``._+-``, at most 100, neither a number nor ``latest``.
        move: Take it from another version that has it.
        wait: Seconds to wait for another process.

    Raises:
        UsageError: It is no tag, or another version has it.
        StoreError: The version is gone, or the store cannot be written to.
    """
    check_tag(name)
    store = Store(version.store)
    with store.locked(version.name, wait=wait) as folder:
        store.get(version.name, version.number)
        tags = read_tags(folder)
        other = tags.get(name, version.number)
        if other != version.number and not move:
            raise UsageError(f"{version.name}@{other} has the tag {name}; --move takes it from there.")
        write_tags(folder, tags | {name: version.number})


def untag(store: Store, model: str, name: str, *, wait: float = WAIT) -> int:
    """Take a tag away, and return the number of the version that had it.

    Raises:
        StoreError: No version has it, or the store cannot be written to.
    """
    with store.locked(model, wait=wait) as folder:
        tags = read_tags(folder)
        if name not in tags:
            raise StoreError(f"No version of {model} has the tag {name}.")
        number = tags.pop(name)
        write_tags(folder, tags)
        return number
