"""Which layer feeds which, read from a saved configuration as data of a stranger."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING

from weightaudit.identity.classes import STATELESS, canonical
from weightaudit.identity.config import as_list, as_mapping, as_text

if TYPE_CHECKING:
    from weightaudit.catalog import Json

_MAX_DEPTH = 40
_MAX_NAMESAKES = 64
"""Layers of one name, each in a model of its own, among which one is looked for."""
_MAX_PATH = 1000
"""Longest path of a layer that is followed: each layer of a model repeats the names around it."""
_MODELS = frozenset({"Functional", "Model", "Sequential"})
_TRANSPARENT = frozenset({"TimeDistributed", "SpectralNormalization"})
"""Wrappers that do what the layer inside does."""

LINEAR = "linear"

_HOMOGENEOUS = frozenset({LINEAR, "relu", "leaky_relu", "elu", "selu", "gelu", "swish", "silu", "mish"})
_CHANGING = frozenset({
    "CategoryEncoding", "Discretization", "Dot", "InputLayer", "Multiply", "Rescaling", "Softmax",
    "ThresholdedReLU", "UnitNormalization",
})  # fmt: skip
_ACTIVATIONS = {"ReLU": "relu", "LeakyReLU": "leaky_relu", "ELU": "elu", "Softmax": "softmax"}
_KEEPING = STATELESS - _CHANGING - {"Activation", "ReLU"}
# Operations on tensors that configurations list among the layers: Keras 3 by class, TensorFlow by function.
_OPERATIONS = frozenset({"Add", "Reshape", "Transpose", "Squeeze", "ExpandDims", "Concatenate", "Relu"})
_FUNCTIONS = frozenset({"math.add", "__operators__.add", "nn.relu", "reshape", "concat", "identity"})


@dataclass(frozen=True, slots=True)
class Node:
    """One layer of a model, and whom it feeds.

    Attributes:
        path: Its place in the configuration, such as ``encoder/dense_1``.
        layer_class: Its canonical class; of a wrapper that does what the layer inside does, the inner one's.
        activation: What is applied to its outputs, in lower case, such as ``relu``; ``linear`` for nothing,
            empty if not known.
        keeps_scale: Whether it has no weights, and outputs grow in step with inputs: activations
            such as relu, pooling, reshaping, padding, dropout, sums. What is not known does not.
        predecessors: Paths of the layers that feed it, in the order of the configuration.
        successors: Paths of the layers that it feeds.
        calls: How many times the model that holds it calls it; more than 1 for a shared layer.
    """

    path: str
    layer_class: str
    activation: str = LINEAR
    keeps_scale: bool = False
    predecessors: tuple[str, ...] = ()
    successors: tuple[str, ...] = ()
    calls: int = 1


@dataclass(frozen=True, slots=True)
class Topology:
    """All layers of a model that are no models themselves, with the edges between them.

    Attributes:
        nodes: Layers by their path in the configuration; empty where no configuration tells.
        names: Paths of the nodes that have a name, in the order of the configuration.
        root: Name of the model.
    """

    nodes: Mapping[str, Node] = field(default_factory=lambda: MappingProxyType({}))
    names: Mapping[str, Sequence[str]] = field(default_factory=lambda: MappingProxyType({}))
    root: str = ""

    def at(self, layer: str) -> Node | None:
        """Return the node of a tensor's layer (`TensorInfo.layer`), None if it is not known for certain.

        Containers leave out the names of nested models, put that of the model in front, or add
        those of cells and wrapped layers: ``rnn/lstm_cell`` belongs to the layer ``rnn``.
        """
        exact = self.nodes.get(layer)
        parts = layer.split("/")
        if len(parts) > 1 and parts[0] == self.root and parts[0] not in self.names:
            parts = parts[1:]
        scope = ""
        for part in parts:
            named = self.names.get(part, ())
            inside = [path for path in named[:_MAX_NAMESAKES] if path.startswith(scope)]
            if len(inside) != 1 or len(named) > _MAX_NAMESAKES:
                return exact if exact is not None and len(parts) > 1 else None
            if inside[0] in self.nodes:
                return self.nodes[inside[0]]
            scope = f"{inside[0]}/"
        return None


def read_topology(document: Json) -> Topology:
    """Return the topology that a model's configuration tells, as far as it does.

    Sequential models, Functional models of Keras 1, 2 and 3, models within models, and shared layers are
    understood. What does not fit is left out, and nothing is raised. Takes time in proportion
    to the document's size.

    Args:
        document: The parsed ``config.json`` or ``model_config``: an object with ``class_name`` and
            ``config``.
    """
    reader = _Reader()
    root = as_mapping(document)
    reader.model(root, "", 0)
    return Topology(
        nodes=reader.connected(),
        names={name: tuple(paths) for name, paths in reader.names.items()},
        root=_name(root),
    )


@dataclass(frozen=True, slots=True)
class _Ports:
    """The layers by which data enters and leaves a layer: itself, or those inside a model, in its order.

    What is not known is empty.
    """

    entries: tuple[str, ...]
    exits: tuple[str, ...]


_NO_PORTS = _Ports((), ())


@dataclass(frozen=True, slots=True)
class _Member:
    """A layer in the list of a model's layers."""

    name: str
    item: Mapping[str, Json]
    ports: _Ports


@dataclass(slots=True)
class _Reader:
    """Nodes without edges, and edges, while a configuration is walked through."""

    found: dict[str, Node] = field(default_factory=dict[str, Node])
    names: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    forward: dict[str, dict[str, None]] = field(default_factory=dict[str, dict[str, None]])
    backward: dict[str, dict[str, None]] = field(default_factory=dict[str, dict[str, None]])

    def connected(self) -> dict[str, Node]:
        """Return the nodes with their edges."""
        return {
            path: Node(
                path, node.layer_class, node.activation, node.keeps_scale,
                tuple(self.backward.get(path, ())), tuple(self.forward.get(path, ())), node.calls,
            )
            for path, node in self.found.items()
        }  # fmt: skip

    def model(self, item: Mapping[str, Json], scope: str, depth: int) -> _Ports:
        """Take in the layers of a model; of a class that is no Keras model, nothing is known."""
        stored: Json = item.get("config")
        # Keras 1 and early 2 wrote a Sequential's layers as its whole config.
        config = as_mapping({"layers": stored} if as_list(stored) else stored)
        if as_text(item.get("class_name")) not in _MODELS or depth > _MAX_DEPTH:
            return _NO_PORTS
        members: list[_Member] = []
        taken: set[str] = set()
        for number, each in enumerate(as_list(config.get("layers"))):
            layer = as_mapping(each)
            name = _name(layer) or f"layer {number}"
            if name not in taken and layer:
                taken.add(name)
                members.append(_Member(name, layer, self._layer(layer, scope + name, name, depth)))
        if as_text(item.get("class_name")) == "Sequential":
            return self._chain(members)
        return self._wire(members, config)

    def _layer(self, item: Mapping[str, Json], path: str, name: str, depth: int) -> _Ports:
        if len(path) > _MAX_PATH:
            return _NO_PORTS
        self.names.setdefault(name, []).append(path)
        if _is_model(item):
            return self.model(item, f"{path}/", depth + 1)
        self.found[path] = _node(item, path)
        return _Ports((path,), (path,))

    def _chain(self, members: Sequence[_Member]) -> _Ports:
        for before, after in pairwise(members):
            self._connect(before.ports.exits, 0, after.ports.entries, 0)
        return _Ports(members[0].ports.entries, members[-1].ports.exits) if members else _NO_PORTS

    def _wire(self, members: Sequence[_Member], config: Mapping[str, Json]) -> _Ports:
        ports = {member.name: member.ports for member in members}
        for member in members:
            for call in as_list(member.item.get("inbound_nodes")):
                for position, (source, output) in enumerate(_tensors(call)):
                    exits = ports.get(source, _NO_PORTS).exits
                    self._connect(exits, output, member.ports.entries, position)
        return _Ports(
            tuple(
                _pick(ports.get(name, _NO_PORTS).entries, 0)
                for name, _ in _tensors(config.get("input_layers"))
            ),
            tuple(
                _pick(ports.get(name, _NO_PORTS).exits, at)
                for name, at in _tensors(config.get("output_layers"))
            ),
        )

    def _connect(self, exits: Sequence[str], output: int, entries: Sequence[str], position: int) -> None:
        source, target = _pick(exits, output), _pick(entries, position)
        if source and target:
            self.forward.setdefault(source, {})[target] = None
            self.backward.setdefault(target, {})[source] = None


def _pick(ports: Sequence[str], number: int) -> str:
    """Return the port of that number, the only one where there is one, empty if it is not known."""
    if len(ports) == 1:
        return ports[0]
    return ports[number] if 0 <= number < len(ports) else ""


def _name(item: Mapping[str, Json]) -> str:
    return as_text(as_mapping(item.get("config")).get("name")) or as_text(item.get("name"))


def _is_model(item: Mapping[str, Json]) -> bool:
    stored: Json = item.get("config")
    known = as_text(item.get("class_name")) in _MODELS
    return known and (bool(as_list(stored)) or "layers" in as_mapping(stored))


def _tensors(call: Json) -> Iterator[tuple[str, int]]:
    """Yield layer and output number of each tensor that a call takes, wherever it stands in the arguments.

    Keras 3 writes a tensor as an object with ``keras_history``; Keras 1 and 2 as a list of a layer's
    name, the number of its call, and that of its output.
    """
    waiting: list[Json] = [call]
    while waiting:
        value = waiting.pop()
        if not isinstance(value, list | dict):
            continue
        listed = as_list(value)
        if len(listed) >= 3 and isinstance(listed[0], str) and _are_numbers(listed[1], listed[2]):
            yield listed[0], listed[2]
            # Further tensors that the call takes by keyword.
            waiting.extend(listed[3:])
        elif listed:
            waiting.extend(reversed(listed))
        else:
            waiting.extend(reversed(list(as_mapping(value).values())))


def _are_numbers(*values: Json) -> bool:
    return all(type(value) is int for value in values)


def _node(item: Mapping[str, Json], path: str) -> Node:
    layer_class = canonical(as_text(item.get("class_name")))
    config = as_mapping(item.get("config"))
    calls = max(1, len(as_list(item.get("inbound_nodes"))))
    inner = as_mapping(config.get("layer"))
    if layer_class in _TRANSPARENT and as_text(inner.get("class_name")) and not _is_model(inner):
        inside = _node({**inner, "inbound_nodes": []}, path) if inner is not item else Node(path, "")
        return Node(path, inside.layer_class, inside.activation, inside.keeps_scale, calls=calls)
    activation = _activation(layer_class, config)
    return Node(path, layer_class, activation, _keeps(item, layer_class, config, activation), calls=calls)


def _activation(layer_class: str, config: Mapping[str, Json]) -> str:
    """Return the activation of a layer; a bounded relu is not ``relu``."""
    if layer_class in _ACTIVATIONS:
        bounded = layer_class == "ReLU" and config.get("max_value") is not None
        return "relu6" if bounded else _ACTIVATIONS[layer_class]
    stored: Json = config.get("activation", LINEAR)
    if stored is None:
        return LINEAR
    described = as_mapping(stored)
    name = as_text(stored) or as_text(described.get("config")) or as_text(described.get("class_name"))
    return name.lower().replace("leakyrelu", "leaky_relu") if "." not in name else ""


def _keeps(item: Mapping[str, Json], layer_class: str, config: Mapping[str, Json], activation: str) -> bool:
    module = as_text(item.get("module"))
    if ".ops." in f".{module}.":
        return layer_class in _OPERATIONS
    if layer_class == "TFOpLambda":
        return as_text(config.get("function")) in _FUNCTIONS
    foreign = bool(module) and module.split(".", 1)[0] not in {"keras", "tf_keras", "tensorflow"}
    known = layer_class in _KEEPING and not foreign
    return known or (layer_class in {"Activation", "ReLU"} and activation in _HOMOGENEOUS)
