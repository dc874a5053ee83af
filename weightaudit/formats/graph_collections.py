"""Which variables a TensorFlow 1 graph lists as trained: what TensorFlow 2 says of each variable itself.

Source of the format: CollectionDef of tensorflow/core/protobuf/meta_graph.proto, and variable.proto. A
VariableDef has a field ``trainable``, too, but files from before TensorFlow 1.11 lack it; so the lists count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from weightaudit.formats.graph_nodes import Ahead, Field
    from weightaudit.formats.protobuf import Message
    from weightaudit.limits import Limits

_EVERY = ("variables", "local_variables")
_TRAINED = "trainable_variables"
_NAME = 1


def read_trained(source: Ahead, fields: Sequence[Field], limits: Limits) -> Mapping[str, bool]:
    """Return by checkpoint key whether a variable is trained; empty if the graph keeps no such lists.

    Args:
        source: The file saved_model.pb.
        fields: Where the collections of the graph lie in it.
        limits: Bounds on what is read.

    Raises:
        ReadError: A collection is damaged, or larger than ``--max-metadata``.
    """
    found = named(source, fields, frozenset({*_EVERY, _TRAINED}), limits)
    listed = {name: frozenset(_keys(collection)) for name, collection in found.items()}
    if _TRAINED not in listed:
        # A graph that was stripped for serving lists nothing; its variables are not frozen for that.
        return {}
    every = frozenset[str]().union(*listed.values())
    return {key: key in listed[_TRAINED] for key in every}


def named(
    source: Ahead, fields: Sequence[Field], names: frozenset[str], limits: Limits
) -> dict[str, Message]:
    """Return the collections of these names, by name; of one that is there twice, the last.

    Raises:
        ReadError: One of them is damaged, or larger than ``--max-metadata``.
    """
    longest = len(max(names, key=len))
    found: dict[str, Message] = {}
    for field in fields:
        # Other collections may be of any size, and in any form.
        name = _name(source, field, longest)
        collection = source.message(field, limits.max_metadata).message(2) if name in names else None
        if collection:
            found[name] = collection
    return found


def _name(source: Ahead, field: Field, longest: int) -> str:
    for number, start, end in source.walk(*field[1:]):
        if number == _NAME and end - start <= longest:
            return source.read(start, end).decode(errors="replace")
    return ""


def _keys(collection: Message) -> list[str]:
    """Return the checkpoint keys of the variables of a collection: that of the whole for a part of one."""
    listed = collection.message(2)
    variables = listed.messages(1) if listed else ()
    wholes = ((variable, variable.message(4)) for variable in variables)
    return [
        (whole.text(1) if whole else "") or variable.text(1).rpartition(":")[0] for variable, whole in wholes
    ]
