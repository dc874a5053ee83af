"""The names that the files of a copy get."""

from __future__ import annotations

import json
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from weightaudit.errors import WriteError
from weightaudit.formats import Kind

if TYPE_CHECKING:
    from weightaudit.writing.files import ModelFiles
    from weightaudit.writing.output import Output

_SHARD_INDEX = ".weights.json"


def names_in_copy(source: ModelFiles, name: str | None) -> dict[str, str]:
    """Return the name in the copy of each file of a model.

    Args:
        source: The files of the model.
        name: The new main name: of the file, the prefix of a checkpoint, or the index of weight
            shards. None, and the name of a model that is a directory, change nothing.

    Raises:
        WriteError: The name is no name of a file, or not one that such a model can have.
    """
    if name is None or source.is_directory or name == source.main:
        return {known: known for known in source.names}
    if PurePath(name).name != name or name in {"", ".."} or "\0" in name:
        raise WriteError(f"{name!r} is not the name of a file.")
    if source.kind is Kind.BUNDLE:
        return {known: name + known.removeprefix(source.main) for known in source.names}
    if source.kind is Kind.SHARD_INDEX:
        return _shard_names(source, name)
    if len(source.names) > 1:
        raise WriteError(f"The files of {source.main} name each other, so a copy of it keeps its name.")
    return {source.main: name}


def write_index(output: Output, main: str) -> None:
    """Write the index of Keras weight shards that have got other names, in the form that Keras writes.

    Raises:
        ReadError: The index cannot be read.
        WriteError: It cannot be written.
    """
    names = output.names
    if names[main] == main:
        return
    with output.files.borrow(main) as source:
        document = json.loads(source.read(0, source.size))
    groups: dict[str, Any] = document["weight_map"]
    for group, where in groups.items():
        shards: Any = where
        several = isinstance(where, list)
        groups[group] = [names.get(one, one) for one in shards] if several else names.get(shards, shards)
    with output.create(main) as destination:
        destination.write(0, json.dumps(document, indent=4).encode())


def _shard_names(source: ModelFiles, name: str) -> dict[str, str]:
    """Rename shards with their index: Keras finds the first one by the name of that."""
    if not name.endswith(_SHARD_INDEX):
        raise WriteError(f"{name} is no name for an index of weight shards; let it end in {_SHARD_INDEX}.")
    old, new = source.main.removesuffix(_SHARD_INDEX), name.removesuffix(_SHARD_INDEX)
    names = {source.main: name}
    for shard in source.names:
        if shard != source.main:
            if not shard.startswith(f"{old}_"):
                raise WriteError(
                    f"The shard {shard} is not named after {source.main}; so a copy keeps their names."
                )
            names[shard] = new + shard.removeprefix(old)
    return names
