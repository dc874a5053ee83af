"""Tensors of TensorFlow checkpoints and SavedModels, by object graph and Keras metadata, or by name."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from weightaudit.catalog import Catalog, Defect, Entry, Json
from weightaudit.identity.by_path import by_path, nature_or_unknown, of_path
from weightaudit.identity.config import (
    Layer,
    as_mapping,
    as_text,
    explains,
    read_config,
)
from weightaudit.identity.coverage import losses_of_checkpoints, unlisted, unstored
from weightaudit.identity.declared import unmapped
from weightaudit.identity.describe import (
    Described,
    bookkeeping,
    describe,
    tensor,
    unknown,
)
from weightaudit.identity.graph import Graph, distinct_names, read_graph
from weightaudit.identity.layers import ROLES
from weightaudit.identity.lookup import LayerLookup
from weightaudit.identity.names import (
    components,
    is_metric,
    optimizer_role,
    role_by_name,
    variable_of,
)
from weightaudit.identity.optimizer import flat_names, named
from weightaudit.identity.quantizing import quantize_layers, unclear
from weightaudit.identity.reach import reaching
from weightaudit.identity.trainable import with_trainable
from weightaudit.tensor import Evidence, Role

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
_SLOT = "/.OPTIMIZER_SLOT/"
_TF1_SLOT = re.compile(
    r"^(?P<variable>.+)(?:/|_)(?P<slot>(?:Adam|AdaMax|LAMB|Momentum|RMSProp|Adagrad|Adadelta|Ftrl|ExponentialMovingAverage"
    r"|accumulator|slot_(?:v|m|vr|vc))(?:_\d+)?|(?:adam|lamb)_[mv])$"
)
_OPTIMIZER_SCOPE = re.compile(r"(?:^|/)training(?:_\d+)?/|(?:^|/)(?:Adam|Ftrl|Adagrad|RMSprop|SGD)(?:_\d+)?/")

_NEVER_A_LAYERS = frozenset(["beta1_power", "beta2_power", "learning_rate"])
"""Scalars of optimizers, whatever scope they are in."""
_OPTIMIZER_WORD = re.compile("training|Adam|Ftrl|Adagrad|RMSprop|SGD")


def drop_copies(catalog: Catalog) -> tuple[Catalog, dict[str, Entry]]:
    """Leave out the second copy of each variable that Keras 3 ``model.export`` writes.

    A copy has the name, shape, type and checksum of the first; one that differs is a tensor of its own.

    Returns:
        The catalog without the copies, and the copies by the key of the entry that was kept.
    """
    if not any(entry.key.startswith("_all_variables/") for entry in catalog.entries):
        return catalog, {}
    names = read_graph(catalog.graph).names

    def identity(entry: Entry) -> tuple[object, ...]:
        return names.get(entry.key, ""), entry.shape, entry.dtype, entry.checksum

    originals: dict[tuple[object, ...], list[str]] = {}
    for entry in catalog.entries:
        if entry.key.startswith("variables/"):
            originals.setdefault(identity(entry), []).append(entry.key)
    kept: list[Entry] = []
    copies: dict[str, Entry] = {}
    for entry in catalog.entries:
        same = originals.get(identity(entry)) if entry.key.startswith("_all_variables/") else None
        if same and names.get(entry.key):
            copies[same.pop(0)] = entry
        else:
            kept.append(entry)
    return replace(catalog, entries=tuple(kept)), copies


def identify_tensorflow(catalog: Catalog) -> tuple[list[Described], list[Defect], list[str]]:
    """Identify every tensor of a catalog of the layout TENSORFLOW."""
    graph = read_graph(catalog.graph)
    if not graph.names:
        keys = {entry.key for entry in catalog.entries}
        return with_trainable((_by_tf1_name(entry, keys) for entry in catalog.entries), catalog), [], []
    layers = _read_metadata(catalog.documents.get("keras_metadata"))
    root = read_config(catalog.documents.get("config"))
    known = [*(layer for _, layer in layers.values()), *(root.walk() if root else ())]
    notes = unmapped(known)
    if not known and "saved_model" not in catalog.documents:
        notes += losses_of_checkpoints(catalog.entries)
    distinct = distinct_names(catalog.entries, graph)
    lookup = LayerLookup(root) if root is not None else None
    tensors: list[Described] = []
    training: list[Entry] = []
    for entry in catalog.entries:
        is_slot = entry.key in graph.slots or _SLOT in entry.key
        if is_slot or entry.key in graph.training or _is_optimizer(entry.key):
            training.append(entry)
        else:
            tensors.append(_variable(entry, graph, layers, lookup, distinct))
    tensors = _without_hidden_policies(quantize_layers(tensors))
    tensors = with_trainable(tensors, catalog)
    notes += unclear(tensors)
    if training:
        names = {entry.key: info.name for info, entry in tensors}
        flat = flat_names(info for info, _ in tensors)
        tensors += [_training(entry, graph, names, flat) for entry in training]
    defects = [*unlisted(catalog.entries, graph.names), *reaching(known)]
    return tensors, [*defects, *unstored(root, tensors)] if root is not None else defects, notes


def _without_hidden_policies(tensors: list[Described]) -> list[Described]:
    """Forget the policies of projections where the model is quantized.

    ``model.quantize()`` quantizes the layers inside attention without a word in the configuration, and
    the names of their scales do not tell the attention layer.
    """
    if not any(info.role is Role.QUANTIZATION for info, _ in tensors):
        return tensors
    return [
        (replace(info, policy=""), entry)
        if info.layer_class == "EinsumDense" and "_from_" not in info.policy
        else (info, entry)
        for info, entry in tensors
    ]


def _read_metadata(document: Json) -> dict[int, tuple[str, Layer]]:
    """Return each Keras layer of a SavedModel with the path of its names, by its node in the graph."""
    found: dict[int, tuple[str, Layer]] = {}
    paths: dict[str, str] = {}
    for key, value in as_mapping(document).items():
        item = as_mapping(value)
        metadata = as_mapping(item.get("metadata"))
        identifier = as_text(item.get("identifier"))
        if not key.isdigit() or identifier in {"_tf_keras_metric", "_tf_keras_input_layer"}:
            continue
        layer = read_config(metadata)
        if layer is None:
            continue
        # Subclassed models keep a config of their own class only; its name stands beside it.
        layer = replace(layer, name=layer.name or as_text(metadata.get("name")))
        trainable = layer.trainable and metadata.get("trainable") is not False
        path = as_text(item.get("path"))
        outer = path.rpartition(".")[0]
        paths[path] = "/".join(filter(None, [paths.get(outer, ""), layer.name])) if outer else ""
        found[int(key)] = (paths[path], replace(layer, trainable=trainable))
    return found


def _is_optimizer(key: str) -> bool:
    if "optimizer" not in key:
        return False
    parts = key.split("/.ATTRIBUTES", 1)[0].split("/")
    if "optimizer" not in parts[:-1]:
        return False
    # What stands in these lists of an optimizer are the model's variables.
    return "_trainable_variables" not in parts and "_model_variables" not in parts


def _variable(
    entry: Entry, graph: Graph, layers: Mapping[int, tuple[str, Layer]], lookup: LayerLookup | None,
    distinct: Mapping[str, str],
) -> Described:  # fmt: skip
    path = entry.key.removesuffix(_SUFFIX)
    is_ambiguous = distinct.get(entry.key) == ""
    scope = components(distinct.get(entry.key) or graph.names.get(entry.key, ""))
    full = "/".join(scope)
    parts = path.split("/")
    owners = [(node, name) for node, name in graph.owners.get(entry.key, ()) if not name.isdigit()]
    owned = [(layers[node], name) for node, name in owners if node in layers] if layers else []
    special = _special(entry, path, parts, full)
    if not owned and len(scope) < 2 and any(node in graph.normalizations for node, _ in owners):
        known = Layer("", "Normalization", {})
        name = full if full and not is_ambiguous else path
        return describe(entry, name, _variable_name(scope, owners[0][1]), known, Evidence.NAME)
    if special is not None:
        return special
    # Layers that were built outside of a model call their variables "kernel": the graph tells more.
    is_bare = len(scope) == 1 and (bool(owned) or (len(parts) > 1 and not parts[-1].isdigit()))
    usable = bool(full) and not is_ambiguous and not is_bare
    if owned:
        # SpectralNormalization holds the kernel of the layer inside it, too.
        owned.sort(key=lambda each: each[0][1].layer_class == "SpectralNormalization")
        (layer_path, owner), attribute = owned[0]
        name = full if usable else "/".join(filter(None, [layer_path, attribute.lstrip("_")]))
        variable = _variable_name(scope, attribute)
        if explains(owner, variable):
            return describe(entry, name, variable, owner, Evidence.CONFIG)
        custom = replace(owner, config={}, builtin=False)
        role = role_by_name(variable)
        return tensor(entry, name, nature_or_unknown(entry.shape, variable, custom, role))
    variable = _variable_name(scope, owners[0][1] if owners else parts[-1])
    name = full if usable else path
    named_by = scope if usable else components(path)
    layer = lookup.owner(named_by[:-1], variable) if lookup is not None else None
    if layer is not None:
        return describe(entry, name, variable, layer, Evidence.CONFIG)
    return by_path(entry, name, named_by, variable)


def _special(entry: Entry, path: str, parts: Sequence[str], full: str) -> Described | None:
    """Describe what is no weight by its place in the graph: metrics, counters, seeds."""
    if path == "_CHECKPOINTABLE_OBJECT_GRAPH":
        return unknown(entry, path)
    if parts[-1] in {"save_counter", "_save_counter"} or parts[-1].startswith("global_step"):
        return bookkeeping(entry, parts[-1], Role.COUNTER)
    loose_metric = not entry.shape and is_metric(parts[-1]) and full in {"", parts[-1]}
    if "metrics" in parts[:-1] or "_metrics" in parts[:-1] or (loose_metric and "normalization" not in path):
        return bookkeeping(entry, path, Role.METRIC)
    if full.endswith("seed_generator_state") or parts[-1] in {"seed_generator_state", "_state_var"}:
        return bookkeeping(entry, full or path, Role.SEED)
    return None


def _variable_name(scope: Sequence[str], attribute: str) -> str:
    """Return today's name of a variable from its full name, or from the attribute that holds it."""
    own = attribute.lstrip("_")
    return _clearer(scope[-1] if scope else own, own, scope[-2] if len(scope) > 1 else "")


@lru_cache(maxsize=4096)
def _clearer(last: str, own: str, owner: str) -> str:
    """Return today's form of the name of a variable, or of the attribute `own` where that tells more."""
    unclear = role_by_name(last) is Role.UNKNOWN and own in ROLES
    return variable_of(own if unclear else last, owner)


def _training(entry: Entry, graph: Graph, names: Mapping[str, str], flat: Mapping[str, str]) -> Described:
    """Describe a tensor of an optimizer by the graph, by its key, or by its name."""
    variable, slot = graph.slots.get(entry.key, ("", ""))
    path = entry.key.removesuffix(_SUFFIX)
    if not variable and _SLOT in path:
        owner, _, slot = path.partition(_SLOT)
        variable, slot = owner + _SUFFIX, slot.rpartition("/")[2]
    if variable:
        name = f"optimizer/{names.get(variable, variable.removesuffix(_SUFFIX))}/{slot}"
        return bookkeeping(entry, name, Role.OPTIMIZER_SLOT, Evidence.CONFIG)
    attribute = path.rpartition("/")[2].lstrip("_")
    role = optimizer_role(attribute, entry.shape)
    if role is not None:
        return bookkeeping(entry, _scalar_name(path), role)
    return named(entry, graph.names.get(entry.key) or path, flat)


def _scalar_name(path: str) -> str:
    """Return the name of an optimizer's scalar without what stands before the optimizer in the graph."""
    before, found, after = path.replace("/_", "/").partition("optimizer/")
    name = found + after if not before or before.endswith("/") else path.replace("/_", "/")
    return name[:-1] if name.endswith("/iterations") else name


def _by_tf1_name(entry: Entry, keys: AbstractSet[str]) -> Described:
    """Describe a variable of a checkpoint without an object graph: its key is all there is."""
    own = components(entry.key)
    parts = list(own) or [entry.key]
    while len(parts) > 1 and parts[-1].startswith("part_") and re.fullmatch(r"part_\d+", parts[-1]):
        parts.pop()
    role = optimizer_role(parts[-1], entry.shape)
    is_own = len(parts) == 1 or parts[-1] in _NEVER_A_LAYERS or _is_in_optimizer(entry.key)
    if role is Role.COUNTER or (role and is_own):
        return bookkeeping(entry, entry.key, role)
    slot = _TF1_SLOT.match("/".join(parts)) if _ends_as_slot(parts[-1]) else None
    averaged = slot is not None and slot["slot"].startswith("ExponentialMovingAverage")
    if slot is not None and not (averaged and slot["variable"] not in keys):
        return bookkeeping(entry, f"{slot['variable']}/{slot['slot']}", Role.OPTIMIZER_SLOT)
    if not slot and _is_in_optimizer(entry.key):
        return named(entry, entry.key, {})
    if slot is not None:
        return _averaged(entry, slot["variable"].split("/"))
    return by_path(entry, entry.key, own, of_path(parts))


@lru_cache(maxsize=4096)
def _ends_as_slot(component: str) -> bool:
    """Say whether a key can be that of a slot, by its last component; there are few of these."""
    return _TF1_SLOT.match(f"_/{component}") is not None


def _is_in_optimizer(key: str) -> bool:
    # Looking for plain words first takes half as long, and few keys have one.
    return _OPTIMIZER_WORD.search(key) is not None and _OPTIMIZER_SCOPE.search(key) is not None


def _averaged(entry: Entry, parts: Sequence[str]) -> Described:
    """Describe an average that is stored in place of the variable, for inference."""
    name = "/".join(parts)
    info, _ = by_path(entry, name, components(name), of_path(parts))
    return replace(info, name=entry.key), entry
