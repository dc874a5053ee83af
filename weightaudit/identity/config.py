"""The tree of layers that a Keras configuration describes. It is read as data; nothing is built from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from weightaudit.identity.classes import canonical, snake
from weightaudit.identity.layers import MODES, RECURRENT_CELLS, is_known, variables

if TYPE_CHECKING:
    from weightaudit.catalog import Json

_MAX_DEPTH = 40
_CONTAINERS = {"Functional", "Model", "Sequential", "Graph"}
ATTENTION = frozenset(["MultiHeadAttention", "GroupQueryAttention"])
"""Layers whose projections are layers inside them."""
# The letters stand for batch (a), sequence (b), and what the kernel contracts (c, d) or yields (d, e).
PROJECTIONS = {
    "query": "abc,cde->abde",
    "key": "abc,cde->abde",
    "value": "abc,cde->abde",
    "gate": "abc,cde->abde",
    "attention_output": "abcd,cde->abe",
}


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer, nested model or cell of a configuration.

    Attributes:
        name: Its name, such as ``dense_1``.
        layer_class: Canonical class name; ``package>Name`` for registered classes of a user.
        config: Its constructor arguments, as stored.
        attributes: By which attribute its parent holds it, as alternatives; empty for one of the
            parent's ``layers``.
        trainable: False if it or an outer model is frozen.
        builtin: Whether Keras itself defines the class, so that its variables are known.
        children: Layers inside it, in order of creation.
        is_model: Whether the children are its ``layers``.
    """

    name: str
    layer_class: str
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    attributes: tuple[str, ...] = ()
    trainable: bool = True
    builtin: bool = True
    children: tuple[Layer, ...] = ()
    is_model: bool = False

    def walk(self) -> Iterator[Layer]:
        """Yield this layer and all inside it, outer ones first."""
        yield self
        for child in self.children:
            yield from child.walk()

    @property
    def variables(self) -> tuple[str, ...] | None:
        """Names of its own variables without quantization; None if they cannot be known."""
        return variables(self.layer_class, self.config) if self.builtin else None


def as_mapping(value: Json) -> Mapping[str, Any]:
    """Return a JSON object; an empty one for anything else."""
    # Nearly every document is of plain dicts, and asking for an abstract class takes four times as long.
    if type(value) is dict or isinstance(value, Mapping):
        return cast("Mapping[str, Any]", value)
    return {}


def as_list(value: Json) -> Sequence[Any]:
    """Return a JSON array, also one that Keras wrote as a tuple; an empty one for anything else."""
    if isinstance(value, list):
        return cast("Sequence[Any]", value)
    packed = as_mapping(value)
    items = packed.get("items") if packed.get("class_name") == "__tuple__" else None
    return cast("Sequence[Any]", items) if isinstance(items, list) else []


def as_text(value: Json) -> str:
    """Return a JSON string; an empty one for anything else."""
    return value if isinstance(value, str) else ""


def explains(layer: Layer, variable: str) -> bool:
    """Say whether a layer of Keras has a variable of this name: always, quantized, or with adapters."""
    if not layer.builtin:
        return False
    if variable in (layer.variables or ()):
        # The kernel of SpectralNormalization is that of the layer inside.
        return layer.layer_class != "SpectralNormalization" or variable == "vector_u"
    if variable == "depthwise_kernel" and layer.layer_class.startswith("DepthwiseConv"):
        return True
    if layer.layer_class == "SpectralNormalization":
        return False
    if variable.startswith("lora_"):
        return bool(layer.config.get("lora_rank"))
    return any(variable in (variables(layer.layer_class, layer.config, mode) or ()) for mode in MODES[1:])


def read_config(document: Json) -> Layer | None:
    """Return the tree of layers that a model's configuration describes, None if it describes none.

    Args:
        document: The parsed ``config.json`` or ``model_config``: an object with ``class_name`` and
            ``config``. Whatever does not fit is left out; nothing is raised.
    """
    return _layer(as_mapping(document), trainable=True, depth=0)


def quantization_mode(config: Mapping[str, Any]) -> str:
    """Return ``int8``, ``int4``, ``float8``, ``gptq`` or ``awq``, empty for a layer that is not quantized."""
    policy = as_mapping(config.get("dtype"))
    mode = as_text(as_mapping(policy.get("config")).get("mode")) if policy else ""
    # Int4DTypePolicy and the like append their block size: "int4/128".
    return mode.split("/", 1)[0]


def policy_of(config: Mapping[str, Any]) -> str:
    """Return the name of a layer's dtype policy, such as ``mixed_float16``; empty if the config has none.

    A ``DTypePolicyMap`` has the name that Keras gives it: that of its default, behind ``map_``.
    """
    stored: Json = config.get("dtype")
    if isinstance(stored, str):
        return stored
    if stored is None:
        return ""
    policy = as_mapping(as_mapping(stored).get("config"))
    if "default_policy" in policy:
        default: Json = policy["default_policy"]
        # Keras keeps no map in a map; a file that does is not followed down.
        nested = "default_policy" in as_mapping(as_mapping(default).get("config"))
        return "" if nested or not (name := policy_of({"dtype": default})) else f"map_{name}"
    if "mode" not in policy:
        return as_text(policy.get("name"))
    return f"{as_text(policy['mode'])}_from_{as_text(policy.get('source_name'))}"


def _layer(node: Mapping[str, Any], *, trainable: bool, depth: int, name: str = "") -> Layer | None:
    layer_class = as_text(node.get("class_name"))
    if not layer_class or depth > _MAX_DEPTH:
        return None
    stored: Json = node.get("config")
    # Keras 1 and early 2 wrote a Sequential's layers as its whole config.
    config = as_mapping({"layers": stored} if as_list(stored) else stored)
    trainable = trainable and config.get("trainable") is not False
    layer = Layer(
        name=as_text(config.get("name")) or as_text(node.get("name")) or name,
        layer_class=canonical(layer_class),
        config=config,
        trainable=trainable,
        builtin=_is_builtin(node, canonical(layer_class)),
    )
    if "layers" in config and (layer_class in _CONTAINERS or _is_layer_list(config["layers"])):
        return replace(layer, children=tuple(_members(layer, depth)), is_model=True)
    parts = tuple(_parts(layer, depth))
    return replace(layer, children=parts) if parts else layer


def _is_builtin(node: Mapping[str, Any], layer_class: str) -> bool:
    registered = as_text(node.get("registered_name"))
    module = as_text(node.get("module"))
    foreign = bool(module) and module.split(".", 1)[0] not in {"keras", "tf_keras", "tensorflow"}
    return is_known(layer_class) and ">" not in registered and not foreign


def _is_layer_list(value: Json) -> bool:
    return bool(as_list(value)) and all(as_mapping(item).get("class_name") for item in as_list(value))


def _members(model: Layer, depth: int) -> Iterator[Layer]:
    for item in as_list(model.config.get("layers")):
        node = as_mapping(item)
        # Functional configs also list stateless operations (x * 2), which are not layers.
        if ".ops." in f".{as_text(node.get('module'))}.":
            continue
        layer = _layer(node, trainable=model.trainable, depth=depth + 1)
        if layer is not None:
            yield layer


def _parts(layer: Layer, depth: int) -> Iterator[Layer]:
    """Yield the layers that a composite layer holds by attributes."""
    config = layer.config
    if layer.layer_class in RECURRENT_CELLS:
        cell = RECURRENT_CELLS[layer.layer_class]
        yield Layer(snake(cell), cell, config, ("cell",), trainable=layer.trainable, builtin=layer.builtin)
    elif layer.layer_class in ATTENTION:
        yield from _projections(layer)
    elif layer.layer_class == "StackedRNNCells":
        yield from _members(replace(layer, config={"layers": config.get("cells")}), depth)
    elif layer.layer_class == "Bidirectional":
        yield from _directions(layer, depth)
    else:
        cells = config.get("cell")
        stacked = {"class_name": "StackedRNNCells", "config": {"name": "stacked_rnn_cells", "cells": cells}}
        parts = {"layer": config.get("layer"), "cell": stacked if isinstance(cells, list) else cells}
        for attribute, node in parts.items():
            part = _layer(as_mapping(node), trainable=layer.trainable, depth=depth + 1)
            if part is not None:
                yield replace(part, attributes=(attribute,))


def _directions(layer: Layer, depth: int) -> Iterator[Layer]:
    forward = as_mapping(layer.config.get("layer"))
    backward = as_mapping(layer.config.get("backward_layer"))
    for direction, node in (("forward", forward), ("backward", backward or forward)):
        # Each level doubles the layers; a hostile file must not nest them forty deep.
        part = _layer(node, trainable=layer.trainable, depth=depth + 8)
        if part is None:
            continue
        name = part.name
        if not (direction == "backward" and backward):
            bare = name.removeprefix("forward_")
            name = f"{direction}_{bare}"
        yield replace(part, name=name, attributes=(f"{direction}_layer",))


def _projections(layer: Layer) -> Iterator[Layer]:
    """Yield the four dense layers of an attention layer, which its config only implies."""
    shared = {
        key: value
        for key, value in layer.config.items()
        if key.startswith(("kernel_", "bias_")) or key == "dtype"
    }
    bias_axes = "de" if layer.config.get("use_bias", True) else None
    for name, equation in PROJECTIONS.items():
        if name == "gate" and not layer.config.get("use_gate"):
            continue
        attribute = f"{name.removeprefix('attention_')}_dense"
        config = {**shared, "name": name, "equation": equation, "bias_axes": bias_axes}
        yield Layer(
            name, "EinsumDense", config, (attribute, f"_{attribute}"),
            trainable=layer.trainable, builtin=layer.builtin,
        )  # fmt: skip
