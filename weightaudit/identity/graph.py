"""What the object graph of a checkpoint says: who holds a variable, and what optimizers keep of their own."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from weightaudit.identity.names import optimizer_role

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from weightaudit.catalog import Entry, ObjectGraph

_NORMALIZED = frozenset({"mean", "variance", "count"})
_DEFAULT_NAME = re.compile(r"Variable(?:_\d+)?")
"""What TensorFlow calls a variable that its maker gave no name."""


@dataclass(frozen=True, slots=True)
class Graph:
    """The object graph: who holds a variable, what it is called, and whose slot it is.

    Attributes:
        names: Full name of each checkpoint key, as the framework wrote it; empty where nobody gave one.
        owners: Node and attribute that hold the variable of each key.
        slots: Key of the variable, and name of the slot, for the key of each optimizer slot.
        normalizations: Nodes that hold what only a Normalization layer holds, with whatever else.
        training: Keys of what optimizers keep of their own, whatever the optimizers are called.
    """

    names: Mapping[str, str] = field(default_factory=dict[str, str])
    owners: Mapping[str, Sequence[tuple[int, str]]] = field(
        default_factory=dict[str, "Sequence[tuple[int, str]]"]
    )
    slots: Mapping[str, tuple[str, str]] = field(default_factory=dict[str, tuple[str, str]])
    normalizations: AbstractSet[int] = frozenset()
    training: AbstractSet[str] = frozenset()


def read_graph(graph: ObjectGraph | None) -> Graph:
    """Return what an object graph says of the variables that are stored; nothing if there is no graph."""
    if graph is None:
        return Graph()
    variables = [variable for variable in graph.variables if variable.key]
    names = {one.key: "" if _DEFAULT_NAME.fullmatch(one.full_name) else one.full_name for one in variables}
    keys = {variable.node: variable.key for variable in variables}
    owners: dict[str, list[tuple[int, str]]] = {}
    for number, children in graph.children.items():
        for name, child in children.items():
            key = keys.get(child)
            if key is not None:
                owners.setdefault(key, []).append((number, name))
    slots = {
        keys[slot.node]: (keys[slot.variable], slot.name)
        for slot in graph.slots
        if slot.node in keys and slot.variable in keys
    }
    normalizations = {node for node, its in graph.children.items() if its.keys() >= _NORMALIZED}
    kept = {key for its in graph.children.values() for key in _kept_by_optimizer(its, graph, keys)}
    return Graph(names, owners, slots, normalizations, kept)


def _kept_by_optimizer(held: Mapping[str, int], graph: ObjectGraph, keys: Mapping[int, str]) -> Iterator[str]:
    """Yield the keys of what an object keeps, if it is an optimizer; nothing if it is none.

    Keras since 2.11 lists all in `_variables`, and counts in `_iterations`; tf_keras leaves `_learning_rate`
    out of the list, and a schedule in its place is no variable. Optimizers from before count in `iter` and
    have a learning rate; their slots are named by the graph.
    """
    if "_iterations" in held and "_variables" in held:
        listed = graph.children.get(held["_variables"], {}).values()
        own = {held["_iterations"], *listed, held.get("_learning_rate", held["_iterations"])}
    elif "iter" in held and "learning_rate" in held:
        own = {node for name, node in held.items() if optimizer_role(name, ()) is not None}
    else:
        return
    yield from (keys[node] for node in own if node in keys)


def distinct_names(entries: Sequence[Entry], graph: Graph) -> dict[str, str]:
    """Return a name for each variable that shares its full name with others; empty where none is its own.

    A variable that only an optimizer still holds gives way: ``model.quantize()`` replaces the kernels of a
    compiled model, and its optimizer keeps those from before under the same names. Where each is in another
    part of the checkpoint, as the two copies of a network with a target network are, the part comes first.
    """
    counts = Counter([graph.names.get(entry.key, "") for entry in entries])
    shared: dict[str, list[str]] = {name: [] for name, count in counts.items() if name and count > 1}
    if not shared:
        return {}
    for entry in entries:
        name = graph.names.get(entry.key, "")
        if name in shared:
            shared[name].append(entry.key)
    found: dict[str, str] = {}
    for name, sharing in shared.items():
        held = [key for key in sharing if "optimizer" not in key.split("/")]
        parts = [key.partition("/")[0] for key in sharing]
        if len(held) == 1:
            found |= dict.fromkeys(sharing, "") | {held[0]: name}
        elif "/" in name and len(set(parts)) == len(parts):
            found |= {key: f"{part}/{name}" for key, part in zip(sharing, parts, strict=True)}
        else:
            found |= dict.fromkeys(sharing, "")
    return found
