"""Constants that several functions of a graph hold, each with a copy of its own: one is enough to audit."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from weightaudit.catalog import Entry, Extent, Fill, Inline

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from weightaudit.source import ByteSource

_PIECE = 1 << 20
_TOLD, _PLACES = 5, 3
"""How many constants a note names, and in how many other places."""


def merge_repeated(entries: Iterable[Entry], source: ByteSource) -> tuple[tuple[Entry, ...], tuple[str, ...]]:
    """Keep the first of constants of the same type, shape and bytes.

    TensorFlow writes a copy into every function that was traced, under other names. Only bytes of
    constants that share type and shape with another are read to find out.

    Args:
        entries: Constants, as `read_constants` lists them.
        source: The file that extents lie in.

    Returns:
        Each distinct constant once, and a note that tells where the others are, if there are any.

    Raises:
        ReadError: The bytes are not there.
    """
    alike: dict[tuple[Hashable, ...], list[Entry]] = {}
    for entry in entries:
        alike.setdefault((entry.dtype, entry.shape), []).append(entry)
    others: dict[str, list[str]] = {}
    kept: list[Entry] = []
    for same in alike.values():
        first: dict[Hashable, str] = {}
        for entry in same:
            content = _content(entry, source) if len(same) > 1 else None
            owner = first.setdefault(content, entry.key) if content is not None else entry.key
            if owner == entry.key:
                kept.append(entry)
            else:
                others.setdefault(owner, []).append(entry.key)
    return tuple(kept), (_note(others),) if others else ()


def _content(entry: Entry, source: ByteSource) -> Hashable:
    """Return what equal constants have in common; None for one whose numbers cannot be had."""
    storage = entry.storage
    if isinstance(storage, Fill):
        return "fill", storage.element
    digest = hashlib.blake2b(digest_size=32)
    if isinstance(storage, Inline):
        digest.update(storage.data)
    elif isinstance(storage, Extent):
        end = storage.offset + storage.nbytes
        for place in range(storage.offset, end, _PIECE):
            digest.update(source.read(place, min(_PIECE, end - place)))
    else:
        return None
    return digest.digest()


def _note(others: dict[str, list[str]]) -> str:
    count = sum(map(len, others.values()))
    repeats = "constants of the graph repeat others" if count > 1 else "constant of the graph repeats another"
    named = [f"{key} is also {_joined(keys, _PLACES)}" for key, keys in others.items()]
    return (
        f"{count} {repeats}, mostly in another function; each is audited once: {_joined(named, _TOLD, '; ')}."
    )


def _joined(items: list[str], most: int, between: str = ", ") -> str:
    rest = len(items) - most
    return between.join(items[:most]) + (f"{between}and {rest} more" if rest > 0 else "")
