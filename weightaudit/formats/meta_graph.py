"""What saved_model.pb says about variables: the objects, or the graph, that hold them.

Source of the format: saved_model.proto, meta_graph.proto, saved_object_graph.proto and graph.proto
of tensorflow/core. Frozen constants can make the file very large; it is walked by position, and
only what is needed is read. Nothing of the graph is built or run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from weightaudit.errors import ReadError
from weightaudit.formats.graph_budget import GraphBudget
from weightaudit.formats.graph_collections import read_trained
from weightaudit.formats.graph_entries import read_entries
from weightaudit.formats.graph_nodes import NODES, Ahead, Field
from weightaudit.formats.graph_operations import SAVERS
from weightaudit.formats.object_graph import parse_children
from weightaudit.formats.protobuf import CHUNK, Message, decode_text, read_fields, read_once
from weightaudit.formats.tensorflow_types import DATA_TYPES
from weightaudit.limits import Limits
from weightaudit.source import ByteSource

_META_GRAPHS = 2
_INFO, _GRAPH, _SAVER, _COLLECTION, _SIGNATURE, _OBJECTS = 1, 2, 3, 4, 5, 7
_OBJECT = 1 << 3 | CHUNK  # SavedObjectGraph
_CHILD, _USER, _VARIABLE, _SAVEABLES, _SAVES_BY = (field << 3 | CHUNK for field in (1, 4, 7, 11, 16))
_IDENTIFIER, _METADATA = (field << 3 | CHUNK for field in (1, 3))
_TOLD = frozenset({_CHILD, _USER, _VARIABLE, _SAVEABLES, _SAVES_BY})
_REPEATED = frozenset(range(CHUNK, 1 << 9, 8)) - {_USER, _VARIABLE, _SAVES_BY}
"""Tags of a SavedObject that may be there more than once: what is not asked for may always be."""
_LARGEST_NODE = 16 << 20  # larger nodes are frozen constants, which name no variable
_MOST_GRAPHS = 1000
_MOST_COLLECTIONS = 10_000
_VARIABLE_OPS = frozenset({"Variable", "VariableV2", "VarHandleOp", "AutoReloadVariable"})

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SavedObject:
    """An object of a TensorFlow 2 SavedModel.

    Attributes:
        children: Number of each child, by local name.
        variable: Its ``name``, ``dtype``, ``shape`` and ``trainable``, if it is a variable.
        identifier: What kind of user object it is, such as ``_tf_keras_layer``; else empty.
        metadata: What that kind saved beside it; until TensorFlow 2.4, Keras' JSON.
        saves_itself: Whether functions of its own save it, under keys of their choice.
    """

    children: dict[str, int]
    variable: Json | None = None
    identifier: str = ""
    metadata: str = ""
    saves_itself: bool = False


_NOTHING = SavedObject({})
"""Said of an object by those that have nothing to say: a file may hold a million of them."""


@dataclass(frozen=True, slots=True)
class MetaGraph:
    """One graph of a SavedModel.

    Attributes:
        tags: What it is for, such as ``serve``.
        version: The TensorFlow that wrote it.
        objects: Objects of a TensorFlow 2 model, by number; empty for TensorFlow 1.
        variables: What it declares of each variable.
        restored: Checkpoint keys that loading a TensorFlow 1 model restores.
        graph: Where its GraphDef lies in the file; of no length if it has none.
        savers: Names of the nodes by which the model is saved and restored: of all that they lead back to
            in TensorFlow 1, where other savers that nothing leads to are among them; of those that call
            the functions in TensorFlow 2.
        trained: Of the variables of a TensorFlow 1 graph that keeps lists of them, by checkpoint key,
            whether they are trained.
    """

    tags: tuple[str, ...]
    version: str
    objects: tuple[SavedObject, ...]
    variables: tuple[Json, ...]
    restored: frozenset[str]
    graph: Field
    savers: frozenset[str]
    trained: Mapping[str, bool] = field(default_factory=dict[str, bool])


@dataclass(slots=True)
class _Graph:
    """The nodes of a TensorFlow 1 graph, as far as they tell which variables are restored."""

    inputs: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    restores: dict[str, str] = field(default_factory=dict[str, str])
    constants: dict[str, Field] = field(default_factory=dict[str, "Field"])
    variables: list[Json] = field(default_factory=list[Json])
    savers: set[str] = field(default_factory=set[str])
    is_whole: bool = True


def read_meta_graphs(source: ByteSource, limits: Limits) -> list[MetaGraph]:
    """Return the graphs of a saved_model.pb.

    Raises:
        ReadError: The file is damaged, is no SavedModel, or holds more than the limits allow.
    """
    ahead = Ahead(source, limits)
    graphs: list[Field] = []
    for part in ahead.walk(0, source.size):
        if part[0] == _META_GRAPHS:
            graphs.append(part)
            if len(graphs) > _MOST_GRAPHS:
                raise ahead.damaged(part[1], f"it holds more than {_MOST_GRAPHS} graphs")
    if not graphs:
        raise ReadError(f"{source.label} is no SavedModel, or is damaged: it holds no graph.")
    budget = GraphBudget(ahead, limits)
    return [_meta_graph(ahead, graph, limits, budget) for graph in graphs]


def _meta_graph(source: Ahead, graph: Field, limits: Limits, budget: GraphBudget) -> MetaGraph:
    most = limits.max_metadata
    parts, collections, signatures = _parts(source, graph)
    info, saver = (source.message(parts.get(part), most) for part in (_INFO, _SAVER))
    objects = tuple(_objects(source, source.whole(parts.get(_OBJECTS), most), budget))
    if any(not 0 <= child < len(objects) for item in objects for child in item.children.values()):
        raise ReadError(f"{source.label} is damaged: an object has a child that does not exist.")
    tags, version, place = tuple(info.texts(4)), info.text(5), parts.get(_GRAPH, (0, 0, 0))
    budget.keep_names(tags)
    saving, restoring = (saver.text(field).partition(":")[0] for field in (2, 3))
    if objects:
        variables = tuple(item.variable for item in objects if item.variable)
        return MetaGraph(
            tags, version, objects, variables, frozenset(), place, frozenset({saving, restoring})
        )
    found = _graph(source, place, budget)
    restorers = _upstream(found, restoring)
    restored = frozenset(_restored(source, found, restorers, budget))
    entered = read_entries(source, signatures, collections, limits) if found.savers else ()
    others = found.savers.difference(_upstream(found, *entered)) if found.is_whole else ()
    nodes = frozenset({*restorers, *_upstream(found, saving), *others})
    trained = read_trained(source, collections, limits)
    return MetaGraph(tags, version, (), tuple(found.variables), restored, place, nodes, trained)


def _parts(source: Ahead, graph: Field) -> tuple[dict[int, Field], list[Field], list[Field]]:
    """Return where the parts of a graph lie that are there once, its collections, and its signatures."""
    parts: dict[int, Field] = {}
    several: dict[int, list[Field]] = {_COLLECTION: [], _SIGNATURE: []}
    for part in source.walk(*graph[1:]):
        if part[0] in several:
            several[part[0]].append(part)
            if len(several[part[0]]) > _MOST_COLLECTIONS:
                what = "collections" if part[0] == _COLLECTION else "signatures"
                raise source.damaged(part[1], f"a graph has more than {_MOST_COLLECTIONS} {what}")
        elif part[0] in {_INFO, _GRAPH, _SAVER, _OBJECTS} and parts.setdefault(part[0], part) is not part:
            raise ReadError(f"{source.label} is damaged: a graph has part {part[0]} twice.")
    return parts, several[_COLLECTION], several[_SIGNATURE]


def _objects(source: Ahead, data: bytes, budget: GraphBudget) -> Iterator[SavedObject]:
    """Yield the objects of a SavedObjectGraph, which are decoded one at a time."""
    for tag, _, chunk in read_fields(data, source.label):
        if tag == _OBJECT:
            budget.keep(1)
            found = _object(chunk, source.label)
            # One that tells something takes as much time as two that do not.
            budget.keep(len(found.children) or int(found is not _NOTHING))
            if found.variable:
                budget.keep_variable()
            yield found


def _object(data: bytes, what: str) -> SavedObject:
    parts = read_once(data, what, _REPEATED)
    if _TOLD.isdisjoint(parts):
        return _NOTHING
    children = parse_children(parts.get(_CHILD, ()), what)
    user = read_once(parts.get(_USER, b""), what)
    return SavedObject(
        children=children,
        variable=_variable(Message(parts[_VARIABLE], what)) if _VARIABLE in parts else None,
        identifier=decode_text(user.get(_IDENTIFIER, b""), what),
        metadata=decode_text(user.get(_METADATA, b""), what),
        saves_itself=_SAVEABLES in parts or bool(parts.get(_SAVES_BY)),
    )


def _variable(message: Message) -> Json:
    return _declared(
        message.text(6), message.integer(1), message.message(2), trainable=bool(message.integer(3))
    )


def _declared(name: str, dtype: int, shape: Message | None, *, trainable: bool | None) -> Json:
    """Describe a variable; its shape is None where it is not known whole."""
    sizes = [size.integer(1) for size in shape.messages(2)] if shape else []
    known = not (shape and shape.integer(3)) and all(size >= 0 for size in sizes)
    found = DATA_TYPES.get(dtype)
    return {
        "name": name,
        "dtype": found.name if found else "",
        "shape": sizes if known else None,
        "trainable": trainable,
    }


def _graph(source: Ahead, place: Field, budget: GraphBudget) -> _Graph:
    """Read the nodes of a graph, one at a time."""
    graph = _Graph()
    for part in source.walk(*place[1:]):
        if part[0] != NODES:
            continue
        source.count_node()
        if part[2] - part[1] > _LARGEST_NODE:
            graph.is_whole = False
            continue
        node = source.message(part, _LARGEST_NODE)
        name, op, inputs = node.text(1), node.text(2), node.texts(3)
        budget.keep_names((name, *inputs))
        graph.inputs[name] = [text.lstrip("^").partition(":")[0] for text in inputs]
        if op in SAVERS:
            graph.savers.add(name)
        if op == "RestoreV2" and len(inputs) > 1:
            graph.restores[name] = graph.inputs[name][1]
        elif op == "Const":
            graph.constants[name] = part
        elif op in _VARIABLE_OPS:
            budget.keep_variable()
            attributes = _attributes(node)
            dtype, shape = attributes.get("dtype"), attributes.get("shape")
            graph.variables.append(
                _declared(
                    name,
                    dtype.integer(6) if dtype else 0,
                    shape.message(7) if shape else None,
                    trainable=None,
                )
            )
    return graph


def _attributes(node: Message) -> dict[str, Message]:
    pairs = ((item.text(1), item.message(2)) for item in node.messages(5))
    return {name: value for name, value in pairs if value is not None}


def _strings(node: Message) -> Iterator[str]:
    """Yield the strings of a constant; a checkpoint key is text, so other bytes are passed over."""
    value = _attributes(node).get("value")
    tensor = value.message(8) if value else None
    for chunk in tensor.chunks(8) if tensor else ():
        yield chunk.decode(errors="replace")


def _restored(source: Ahead, graph: _Graph, restorers: Sequence[str], budget: GraphBudget) -> Iterator[str]:
    """Yield the keys that the graph's own restore operation asks for.

    Only what that operation leads to counts: a training graph may restore other checkpoints too, and
    other constants may be vocabularies of millions of words.
    """
    for name in {graph.restores[name] for name in restorers if name in graph.restores}:
        keys = list(_strings(source.message(graph.constants.get(name), _LARGEST_NODE)))
        budget.keep_names(keys)
        yield from keys


def _upstream(graph: _Graph, *operations: str) -> list[str]:
    """Return the names of nodes and of all that they lead back to, nearest first."""
    seen = set(operations)
    queue = [*operations]
    for name in queue:
        fresh = [source for source in graph.inputs.get(name, ()) if source not in seen]
        seen.update(fresh)
        queue += fresh
    return queue
