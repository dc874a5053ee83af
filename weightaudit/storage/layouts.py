"""What the files of a model of several files may be called, and how its main file is written for that.

A checkpoint's index says only how many shards there are, and their names follow from it and the
prefix. The index of Keras' weight shards names them one by one.
"""

from __future__ import annotations

import json
import re
from itertools import count
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from weightaudit.errors import WriteError
from weightaudit.formats import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from weightaudit.source import ByteSource
    from weightaudit.writing.files import ModelFiles

_SHARD = re.compile(r"(?s)(.*)\.data-(\d{5})-of-(\d{5})")
_DIGITS = 5
_SHARDS_SUFFIX = ".weights.h5"


class Spare(NamedTuple):
    """Names that can be used while the wanted ones are still in use.

    Attributes:
        names: Name for each data file by its staged name.
        main: The main file, written for them.
        empty: Names of further files, without content, that make the set complete.
    """

    names: Mapping[str, str]
    main: bytes
    empty: tuple[str, ...]


def main_file(kind: Kind, main: str) -> str:
    """Return the name of the file that says which others belong to a model with this main name."""
    return f"{main}.index" if kind is Kind.BUNDLE else main


def data_files(files: ModelFiles) -> tuple[str, ...]:
    """Return the names of the others."""
    main = main_file(files.kind, files.main)
    return tuple(name for name in files.names if name != main)


def wanted_names(staged: ModelFiles, main: str) -> dict[str, str]:
    """Return the name that each staged data file is to have, for a model that is called `main`.

    Raises:
        WriteError: The model was not written for that name.
    """
    if staged.main == main:
        return {name: name for name in data_files(staged)}
    if staged.kind is not Kind.BUNDLE:
        raise WriteError(f"{staged.main} names its files after itself and cannot be called {main}.")
    return {name: main + name.removeprefix(staged.main) for name in data_files(staged)}


def belongs_to(kind: Kind, main: str) -> Callable[[str], bool]:
    """Return whether a name can be that of a data file of a model."""
    if kind is Kind.BUNDLE:
        return lambda name: (match := _SHARD.fullmatch(name)) is not None and match[1] == main
    return lambda name: name.endswith(_SHARDS_SUFFIX)


def in_use(kind: Kind, main: str, names: Collection[str]) -> Callable[[str], bool]:
    """Return whether a model with these data files uses the file of a name.

    All shards of a checkpoint that its index counts are in use, those that hold nothing too. Keras
    opens the shard that is called like the first one before it looks into the index of its shards.
    """
    if kind is Kind.BUNDLE:
        counts = {match[3] for match in map(_SHARD.fullmatch, names) if match}
        belongs = belongs_to(kind, main)
        return lambda name: belongs(name) and name[-_DIGITS:] in counts
    used = {*names, _shard_name(main, 0)} if names else set[str]()
    return used.__contains__


def spare_names(staged: ModelFiles, index: ByteSource, main: str, is_free: Callable[[str], bool]) -> Spare:
    """Choose names for the staged data files under which they can be before the wanted ones are free.

    Args:
        staged: The model that is to be put in place.
        index: Its main file.
        main: How the model is going to be called.
        is_free: Whether nothing has a name yet, nor is going to.

    Raises:
        WriteError: There are none left, or nothing in the files says how the others are called.
    """
    if staged.kind is Kind.BUNDLE:
        return _other_count(staged, index, main, is_free)
    if staged.kind is not Kind.SHARD_INDEX:
        raise WriteError(f"{main} has several files that cannot be replaced in one step; use --output.")
    free = filter(is_free, (_shard_name(main, number) for number in count()))
    names = dict(zip(data_files(staged), free, strict=False))
    return Spare(names, _renamed(index.read(0, index.size), names), ())


def _other_count(staged: ModelFiles, index: ByteSource, main: str, is_free: Callable[[str], bool]) -> Spare:
    """Choose a number of shards that nothing uses."""
    from weightaudit.writing.table import renumbered_index

    numbers = {name: int(match[2]) for name in data_files(staged) if (match := _SHARD.fullmatch(name))}
    for shards in range(max(numbers.values(), default=0) + 2, 100_000):
        every = [f"{main}.data-{number:05d}-of-{shards:05d}" for number in range(shards)]
        if all(map(is_free, every)):
            names = {name: every[number] for name, number in numbers.items()}
            empty = tuple(name for name in every if name not in set(names.values()))
            return Spare(names, renumbered_index(index, shards), empty)
    raise WriteError(f"There is no number of shards that {main} could have for a moment; use --output.")


def _shard_name(main: str, number: int) -> str:
    """Return how Keras calls a shard: keras/src/saving/saving_lib.py, `ShardedH5IOStore`."""
    return f"{PurePath(main).stem.replace('.weights', '')}_{number:05d}{_SHARDS_SUFFIX}"


def _renamed(index: bytes, names: Mapping[str, str]) -> bytes:
    """Return the JSON index of weight shards with other names in it."""
    document: dict[str, Any] = json.loads(index)
    placed: dict[str, Any] = document["weight_map"]
    for group, where in placed.items():
        if isinstance(where, list):
            placed[group] = [names.get(shard, shard) for shard in cast("list[str]", where)]
        else:
            placed[group] = names.get(where, where)
    return json.dumps(document, indent=4).encode()
