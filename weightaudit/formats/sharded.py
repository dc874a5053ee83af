"""Keras weights cut into shards: a ``.weights.json`` index beside ``*_00000.weights.h5`` files."""

from __future__ import annotations

import posixpath
from collections import Counter
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, cast

from weightaudit.catalog import Catalog, Defect, Entry, Flaw, Layout
from weightaudit.dtypes import itemsize
from weightaudit.errors import ReadError, UnsupportedFormatError
from weightaudit.formats.documents import read_json
from weightaudit.formats.hdf5 import Hdf5Data, catalog_hdf5

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from weightaudit.limits import Limits
    from weightaudit.source import Files


def catalog_sharded(files: Files, name: str, limits: Limits) -> Catalog:
    """Catalog the shards that an index names, as one model.

    A shard that is missing becomes a defect, as do groups of weights that the index places in
    a shard which does not hold them.

    Raises:
        ReadError: The index or a shard that is there is damaged or refused, or two hold the same tensor.
        UnsupportedFormatError: The JSON file is no such index.
    """
    index = files[files.open(name)]
    placed = dict(_weight_map(name, read_json(index, name, limits)))
    groups = Counter(shard for where in placed.values() for shard in set(where))
    found: dict[str, Catalog] = {}
    defects: list[Defect] = []
    for shard in sorted({*groups, *_first_shard(files, name)}):
        if not files.exists(shard):
            message = f"The shard {shard} is missing; {name} places weights of {groups[shard]} layers in it."
            defects.append(Defect(Flaw.MISSING_DATA, message))
            continue
        number = files.open(shard)
        found[shard] = catalog_hdf5(Hdf5Data.whole(files[number], number), limits)
        if found[shard].layout is not Layout.KERAS3:
            raise ReadError(f"{shard} is a whole model, not the shard that {name} takes it for.")
        if shard not in groups:
            unplaced = (entry for entry in found[shard].entries if entry.key.rpartition("/")[0] not in placed)
            found[shard] = replace(found[shard], entries=tuple(unplaced))
    entries = _join(found)
    defects += _misplaced(placed, found)
    names = {key: value for catalog in found.values() for key, value in catalog.documents["names"].items()}
    return Catalog(
        "Keras sharded weights",
        Layout.KERAS3,
        entries,
        defects=tuple(defects),
        documents={"config": None, "names": names},
    )


def _first_shard(files: Files, name: str) -> tuple[str, ...]:
    """Return the shard that Keras opens before it looks at the index, if it is there.

    Groups that the index does not place are looked for in the shard that is open, so all others of it count
    only where the index says so.
    """
    first = f"{PurePosixPath(name).stem.replace('.weights', '')}_00000.weights.h5"
    return (first,) if files.exists(first) else ()


def is_index(document: Any) -> bool:
    """Say whether a parsed JSON document is an index of shards."""
    return isinstance(document, dict) and isinstance(cast("dict[str, Any]", document).get("weight_map"), dict)


def _weight_map(name: str, document: Any) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each group of variables, as ``layers/dense/vars``, with the shards that hold it."""
    if not is_index(document):
        raise UnsupportedFormatError(f"{name} is JSON, but not an index of Keras weight shards.")
    for group, where in document["weight_map"].items():
        # What Keras would not find, and takes for another group if slashes are left out of account.
        if group != f"/{group.strip('/')}":
            raise ReadError(f"{name} places {group!r}, which is not the path of a group as Keras writes it.")
        shards = tuple(cast("Iterable[Any]", where)) if isinstance(where, list) else (where,)
        for shard in shards:
            if not isinstance(shard, str) or posixpath.basename(shard) != shard or shard in {"", ".", ".."}:
                raise ReadError(f"{name} places {group} in {shard!r}, which is not a file beside it.")
        yield group.strip("/"), shards


def _join(found: dict[str, Catalog]) -> tuple[Entry, ...]:
    """Return the tensors of all shards.

    Raises:
        ReadError: Two shards hold one tensor: Keras loads one of them, and it takes its code to tell which.
    """
    entries: dict[str, Entry] = {}
    holders: dict[str, str] = {}
    for shard, catalog in found.items():
        for entry in catalog.entries:
            if entry.key in entries:
                raise ReadError(
                    f"{entry.key} is in {holders[entry.key]} and in {shard}, of which one is loaded; "
                    "save the model again."
                )
            entries[entry.key], holders[entry.key] = entry, shard
    return tuple(entries.values())


def _misplaced(placed: dict[str, tuple[str, ...]], found: dict[str, Catalog]) -> Iterator[Defect]:
    held = {
        shard: {entry.key.rpartition("/")[0] for entry in catalog.entries if itemsize(entry.dtype)}
        for shard, catalog in found.items()
    }
    everywhere = set[str]().union(*held.values())
    for group, shards in placed.items():
        for shard in shards:
            if shard in held and group not in held[shard]:
                where = "another shard holds them" if group in everywhere else "no shard holds them"
                message = f"{shard} does not hold the weights {group} that the index places in it; {where}."
                flaw = Flaw.INCONSISTENT if group in everywhere else Flaw.MISSING_DATA
                yield Defect(flaw, message, group)
