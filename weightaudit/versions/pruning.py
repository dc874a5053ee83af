"""Removes old versions, but never one that somebody relies on: those with a tag, and the newest."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from weightaudit.errors import StoreError, UsageError
from weightaudit.storage.failures import writing
from weightaudit.storage.staging import Staging
from weightaudit.storage.syncing import in_place, sync_directory
from weightaudit.storage.termination import uninterrupted
from weightaudit.versions.layout import signature_path
from weightaudit.versions.lock import WAIT

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import timedelta
    from pathlib import Path

    from weightaudit.versions.store import Store


def prune(
    store: Store,
    name: str,
    *,
    keep: int | None = None,
    older_than: timedelta | None = None,
    numbers: Collection[int] = (),
    dry_run: bool = False,
    wait: float = WAIT,
) -> tuple[int, ...]:
    """Remove versions of a model; each is gone in one rename, then its files and signature are deleted.

    The numbers of removed versions are never used again, and versions that were made from them
    keep naming them as parents.

    Args:
        store: The store.
        name: Name of the model.
        keep: Remove all but so many of the newest; together with `older_than` only those that
            both would remove.
        older_than: Remove those that were made longer ago.
        numbers: Remove exactly these instead.
        dry_run: Remove nothing, and write nothing.
        wait: Seconds to wait for another process.

    Returns:
        The numbers that were removed, or would be.

    Raises:
        UsageError: Nothing says what to remove, or `numbers` has one that is not there, has a tag
            or is the newest.
        StoreError: The store is damaged, in use for longer, or cannot be written to.
    """
    if bool(numbers) == (keep is not None or older_than is not None):
        raise UsageError("Say what to prune: either some versions, or how many to keep, or up to which age.")
    if keep is not None and keep < 1:
        raise UsageError("At least one version is kept: the newest.")
    if dry_run:
        return _chosen(store, name, keep, older_than, numbers)
    with store.locked(name, wait=wait) as folder:
        chosen = _chosen(store, name, keep, older_than, numbers)
        for number in chosen:
            _remove(folder, number)
    return chosen


def _chosen(
    store: Store, name: str, keep: int | None, older_than: timedelta | None, numbers: Collection[int]
) -> tuple[int, ...]:
    there = store.numbers(store.folder(name).name)
    needed = {number: f"has the tag {tag}" for tag, number in store.tags(name).items()}
    if there:
        needed[there[-1]] = "is the newest"
    for number in numbers:
        if number not in there or number in needed:
            raise UsageError(f"{name}@{number} is not removed: it {needed.get(number, 'is not there')}.")
    if numbers:
        return tuple(sorted(set(numbers)))
    old = there if keep is None else there[:-keep]
    return tuple(
        number
        for number in old
        if number not in needed and (older_than is None or _is_older(store, name, number, older_than))
    )


def _is_older(store: Store, name: str, number: int, age: timedelta) -> bool:
    """Say whether a version was made longer ago; of one whose record is damaged nobody knows."""
    try:
        created = datetime.fromisoformat(store.get(name, number).record.created)
    except (StoreError, ValueError):
        return False
    return datetime.now(UTC) - created > age


def _remove(folder: Path, number: int) -> None:
    place = folder / str(number)
    with Staging(place) as staging, uninterrupted():  # which is quick, and leaves no signature of nothing
        with writing(f"{folder.name}@{number} cannot be removed"):
            place.rename(staging.path / place.name)
        with in_place(f"What is left without {folder.name}@{number}"):
            sync_directory(folder)
        # Only now: a version without the signature that it had would seem to be tampered with. Where it
        # stays behind it is a signature of nothing, which whoever takes the lock next removes.
        with writing(f"What is left without {folder.name}@{number} is in place, but its signature is too"):
            signature_path(folder, number).unlink(missing_ok=True)
