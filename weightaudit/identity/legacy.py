"""Tensors of legacy HDF5 files, which keep the names that the framework gave them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from weightaudit.catalog import Catalog, Defect, Entry, Flaw
from weightaudit.identity.by_path import by_path
from weightaudit.identity.classes import class_of_path
from weightaudit.identity.config import Layer, as_mapping, explains, read_config
from weightaudit.identity.declared import unmapped
from weightaudit.identity.describe import Described, bookkeeping, describe, unknown
from weightaudit.identity.layers import role_of
from weightaudit.identity.lookup import LayerLookup
from weightaudit.identity.names import (
    class_of_owner,
    components,
    is_one_gate,
    keras1_owner,
    keras1_suffix,
    role_by_name,
    variable_of,
)
from weightaudit.identity.optimizer import flat_names, named, positional
from weightaudit.identity.plans import Optimizer, read_optimizer
from weightaudit.identity.quantizing import quantize_layers
from weightaudit.identity.reach import reaching
from weightaudit.tensor import Evidence, Role, TensorInfo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NUMBERED = re.compile(r"^param_(\d+)$")
# The second is how Keras, before it was that of TensorFlow, last numbered the slots of Adam.
_ANONYMOUS = re.compile(r"(?:^|/)(?:Variable(?:_\d+)?|(?:m|v|vhat)_\d+)(?::\d+)?$")


def identify_legacy(catalog: Catalog) -> tuple[list[Described], list[Defect], list[str]]:
    """Identify every tensor of a catalog of the layout KERAS_LEGACY."""
    root = read_config(catalog.documents.get("config"))
    # Of layers that share a name, the first counts.
    outermost = {child.name: child for child in reversed(root.children)} if root else {}
    lookup = LayerLookup(root) if root is not None else None
    tensors: list[Described] = []
    optimizer: list[Entry] = []
    for entry in catalog.entries:
        section = entry.attributes.get("section")
        if section == "optimizer" or (section is None and entry.key.startswith("optimizer_weights/")):
            optimizer.append(entry)
        elif section == "layer":
            tensors.append(_weight(entry, lookup, outermost))
        else:
            tensors.append(_loose(entry))
    tensors = quantize_layers(tensors)
    compiled = as_mapping(catalog.documents.get("training_config"))
    defects = [*_missing(tensors, root), *(reaching(root.walk()) if root else ())]
    kind = read_optimizer(compiled.get("optimizer_config"))
    notes = unmapped(root.walk()) if root else []
    return tensors + _optimizer(optimizer, tensors, kind), defects, notes


def _weight(entry: Entry, lookup: LayerLookup | None, outermost: Mapping[str, Layer]) -> Described:
    group = entry.attributes.get("layer", "")
    parts = components(entry.attributes.get("weight", "")) or components(entry.key) or ("",)
    owner = (group, *parts)[-2]
    variable = variable_of(parts[-1], owner)
    outer = outermost.get(group)
    scope = parts[:-1] or tuple(filter(None, [keras1_owner(parts[-1])]))
    layer = _owner(lookup, outer, group, scope, variable) if lookup and outer else None
    if outer is None and lookup is not None and "" in outermost:
        # Before Keras 2.2.3 a Sequential in a Sequential had no name in the configuration.
        layer = lookup.owner(scope, variable)
    if layer is not None and layer.builtin:
        variable = variable_of(parts[-1], owner, layer.layer_class)
    numbered = _NUMBERED.match(parts[-1])
    if numbered and layer is not None and layer.variables is not None:
        index = int(numbered[1])
        variable = layer.variables[index] if index < len(layer.variables) else variable
    name = _name(parts, group, variable, outer)
    if layer is not None and layer.builtin and explains(layer, variable):
        info, _ = describe(entry, name, variable, layer, Evidence.CONFIG)
        return _gate(info, parts[-1]), entry
    own = layer is outer and (len(parts) == 1 or parts[-2] == group)
    custom = layer is not None and not layer.builtin and own
    known = Layer(group, layer.layer_class, builtin=False) if layer and custom else None
    return _by_name(entry, name, parts, variable, known)


def _gate(info: TensorInfo, component: str) -> TensorInfo:
    """Return what is known of a weight, of one gate alone if that is what its name says."""
    if not is_one_gate(component):
        return info
    fan_out = info.shape[-1] if info.fan_out is not None else None
    return replace(info, gates=1, fan_out=fan_out)


def _by_name(entry: Entry, name: str, parts: Sequence[str], variable: str, layer: Layer | None) -> Described:
    """Describe a weight of which only the framework's name is known."""
    owner = parts[-2] if len(parts) > 1 else entry.attributes.get("layer", "")
    # Keras 1 put the layer's name before the variable's: "dense_1_W".
    keras1 = keras1_owner(parts[-1])
    if layer is None and not keras1:
        return by_path(entry, name, [*(parts[:-1] or [owner]), parts[-1]], variable)
    layer_class = class_of_owner(keras1, variable) or class_of_owner(owner, variable)
    # Whether Keras 1 put the output axis of a kernel first or last stands in the config alone.
    known = layer or Layer(owner, layer_class, {"dim_ordering": "unknown"})
    role = role_by_name(variable, keras1) if layer is None else role_of(variable)
    if role is Role.UNKNOWN:
        return unknown(entry, name, known.layer_class)
    info, _ = describe(entry, name, variable, known, Evidence.NAME, role=role)
    return _gate(info, parts[-1]), entry


def _name(parts: Sequence[str], group: str, variable: str, outer: Layer | None) -> str:
    """Return the canonical name: scopes of a second session ("conv2d_1_1/kernel") are undone."""
    last = keras1_suffix(parts[-1])
    scope = parts[:-1]
    if not scope:
        owner = keras1_owner(parts[-1])
        nested = owner and not owner.startswith(group)
        return f"{group}/{owner}/{last}" if nested else f"{group}/{last}"
    outermost = group if _is_again(scope, group, outer) else scope[0]
    return "/".join([outermost, *scope[1:], variable if _NUMBERED.match(last) else last])


def _is_again(scope: Sequence[str], group: str, outer: Layer | None) -> bool:
    """Say whether a scope begins with that of a layer in a second session.

    In a model, ``conv_1`` may be a layer inside ``conv``; what is inside a wrapper is never called like it.
    """
    wraps = class_of_path(group) == "Bidirectional" if outer is None else outer.builtin and outer.children
    alone = not (outer and outer.is_model) and (len(scope) == 1 or wraps)
    suffix = scope[0].removeprefix(f"{group}_")
    return bool(alone) and suffix != scope[0] and suffix.isdecimal()


def _owner(lookup: LayerLookup, outer: Layer, group: str, scope: Sequence[str], variable: str) -> Layer:
    """Return the configured layer whose variable this is, as far as the path tells."""
    if group in scope:
        scope = scope[scope.index(group) + 1 :]
    layer = outer
    for component in scope:
        inner, direct = lookup.inside(layer, component), lookup.children(layer, component)
        if direct or len(inner) == 1:
            layer = (direct or inner)[0]
    # Wrappers of Keras 2 give no scope of their own to the layer that they wrap.
    while len(layer.children) == 1 and not explains(layer, variable):
        layer = layer.children[0]
    return layer


def _loose(entry: Entry) -> Described:
    weight = entry.attributes.get("weight", "")
    parts = components(weight)
    if not parts:
        return unknown(entry, entry.key)
    *scope, last = parts
    role = role_by_name(last, "".join(scope[-1:]))
    name = "/".join(parts)
    if role is Role.UNKNOWN:
        return unknown(entry, name)
    return describe(entry, name, variable_of(last, "".join(scope[-1:])), None, Evidence.NAME, role=role)


def _optimizer(
    entries: Sequence[Entry], tensors: Sequence[Described], optimizer: Optimizer
) -> list[Described]:
    raw = {entry.key: entry.attributes.get("weight", "") for _, entry in tensors}
    infos = [info for info, _ in tensors]
    paths = [entry.attributes.get("weight") or entry.key.split("/", 1)[-1] for entry in entries]
    trained = [info for info in infos if info.trainable is not False]
    anonymous = [entry for entry, path in zip(entries, paths, strict=True) if _ANONYMOUS.search(path)]
    # Slots carry the scopes of a second session, too.
    own = {"/".join(components(raw[info.key])): info.name for info in infos}
    flat = flat_names(infos) | {path: name for path, name in own.items() if "/" in path}
    described = [
        named(entry, path, flat)
        for entry, path in zip(entries, paths, strict=True)
        if not _ANONYMOUS.search(path)
    ]
    # Keras 2.0 and 2.1 left the names of slots to TensorFlow, and the first sorted variables by name.
    by_name = sorted(trained, key=lambda info: raw.get(info.key, info.key))
    slots = positional(anonymous, [trained, by_name], optimizer)
    return described + [
        bookkeeping(entry, info.name, Role.OPTIMIZER_SLOT, info.evidence) if entry.shape else (info, entry)
        for info, entry in slots
    ]


def _missing(tensors: Sequence[Described], root: Layer | None) -> list[Defect]:
    """Return a defect for each variable that a layer's config promises and its stored siblings lack."""
    if root is None or not root.is_model:
        return []
    stored: dict[str, set[str]] = {}
    for info, entry in tensors:
        if info.evidence is Evidence.CONFIG:
            stored.setdefault(entry.attributes.get("layer", ""), set()).add(
                variable_of(info.name.rpartition("/")[2], layer_class=info.layer_class)
            )
    defects: list[Defect] = []
    for layer in root.children:
        found = stored.get(layer.name, set())
        if layer.children or not layer.variables or layer.layer_class == "SpectralNormalization" or not found:
            continue
        kernels = {"depthwise_kernel": "kernel"} if layer.layer_class.startswith("DepthwiseConv") else {}
        present = {kernels.get(variable, variable) for variable in found}
        if not present <= set(layer.variables):
            continue
        for variable in layer.variables:
            if variable not in present:
                name = f"{layer.name}/{variable}"
                message = (
                    f"The configuration declares {name}, but the file does not hold it; save the model again."
                )
                defects.append(Defect(Flaw.MISSING_TENSOR, message, name))
    return defects
