"""Which variables a SavedModel lists as trained, where no configuration tells it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from weightaudit.identity.config import as_list, as_mapping, as_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from weightaudit.catalog import Catalog, Json, ObjectGraph
    from weightaudit.identity.describe import Described

_OF_KERAS = frozenset(["_inbound_nodes", "_trainable_variables", "keras_api"])
"""What objects of Keras hold, who keeps what is frozen apart from TensorFlow's variables."""


def with_trainable(tensors: Iterable[Described], catalog: Catalog) -> list[Described]:
    """Tell which tensors are trained, by the lists of a SavedModel, unless it is known already.

    Args:
        tensors: What was identified.
        catalog: Where it came from: only that of a SavedModel tells anything.
    """
    graph, document = catalog.graph, as_mapping(catalog.documents.get("saved_model"))
    if not document:
        return list(tensors)
    if graph is None:
        found = {key: trained is True for key, trained in as_mapping(document.get("trained")).items()}
    else:
        found = _listed(graph) or _declared(graph, document.get("variables"))
    return [
        (replace(info, trainable=found.get(info.key)), entry) if info.trainable is None else (info, entry)
        for info, entry in tensors
    ]


def _listed(graph: ObjectGraph) -> dict[str, bool]:
    """Return what the lists of the root say of its variables, by key; exports of Keras have such lists."""
    lists = graph.children.get(0, {})
    if not {"variables", "trainable_variables"} <= lists.keys():
        return {}
    every, trained = (
        set(graph.children.get(lists[name], {}).values()) for name in ("variables", "trainable_variables")
    )
    return {one.key: one.node in trained for one in graph.variables if one.node in every}


def _declared(graph: ObjectGraph, variables: Json) -> dict[str, bool]:
    """Return what each variable of a name of its own said of itself when it was made, by key."""
    declared: dict[str, list[bool]] = {}
    for variable in map(as_mapping, as_list(variables)):
        if isinstance(trained := variable.get("trainable"), bool):
            declared.setdefault(as_text(variable.get("name")), []).append(trained)
    counts = Counter(one.full_name for one in graph.variables)
    freezes = any(not _OF_KERAS.isdisjoint(children) for children in graph.children.values())
    found = {
        one.key: declared[one.full_name][0]
        for one in graph.variables
        if len(declared.get(one.full_name, ())) == counts[one.full_name] == 1
    }
    # Keras freezes layers without telling the variables of TensorFlow, which still say that they are trained.
    return {key: trained for key, trained in found.items() if not (trained and freezes)}
