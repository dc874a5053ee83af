"""What there is to say about versions, damaged ones included, before anything is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from weightaudit.errors import StoreError
from weightaudit.versions.layout import is_there, signature_path
from weightaudit.versions.version import address_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from weightaudit.versions.store import Store
    from weightaudit.versions.version import Version


class Entry(NamedTuple):
    """A version as a list shows it.

    Attributes:
        address: What a user calls it, see `weightaudit.versions.version.address_of`.
        version: The version; None if its record is damaged.
        damage: Why it cannot be used; None if its record can be read.
        tags: Its tags, sorted.
        parent_is_there: Whether the version that it was made from is still in the store.
        is_signed: Whether it has a signature; by whom, and whether it is right, takes a key to say.
    """

    address: str
    version: Version | None
    damage: str | None
    tags: tuple[str, ...]
    parent_is_there: bool
    is_signed: bool = False


def newcomer(version: Version) -> Entry:
    """Return what is known about a version that was just made; the store is not looked at."""
    return Entry(version.address, version, None, (), version.record.parent is not None)


def survey(store: Store, names: Iterable[str]) -> list[Entry]:
    """Return what is known about all versions of some models; their files are not read.

    Raises:
        StoreError: The store cannot be listed, or a file of tags is damaged.
    """
    return [survey_one(store, name, number) for name in names for number in store.numbers(name)]


def survey_one(store: Store, name: str, number: int) -> Entry:
    """Return what is known about one version.

    Raises:
        StoreError: The file of tags is damaged, or the directory cannot be searched.
    """
    signed = is_there(signature_path(store.folder(name), number))
    tags = tuple(sorted(tag for tag, tagged in store.tags(name).items() if tagged == number))
    try:
        version = store.get(name, number)
    except StoreError as error:
        address = address_of(store.root, name, number)
        return Entry(address, None, str(error), tags, parent_is_there=False, is_signed=signed)
    parent_is_there = version.record.parent in store.numbers(name)
    return Entry(version.address, version, None, tags, parent_is_there, signed)
