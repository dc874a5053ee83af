"""Tensors of TensorFlow checkpoints and SavedModels, by object graph and Keras metadata, or by name."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from weightaudit.catalog import Catalog, Defect, Entry, Json, ObjectGraph
from weightaudit.identity.classes import class_of_path, kind_of_name
from weightaudit.identity.config import (
    ATTENTION,
    PROJECTIONS,
    Layer,
    as_mapping,
    as_text,
    configured,
    explains,
    read_config,
)
from weightaudit.identity.coverage import losses_of_checkpoints, unlisted, unstored
from weightaudit.identity.declared import unmapped
from weightaudit.identity.describe import (
    Described,
    Nature,
    bookkeeping,
    bookkeeping_nature,
    describe,
    nature_of,
    tensor,
    unknown,
)
from weightaudit.identity.layers import NEVER_TRAINED, ROLES
from weightaudit.identity.names import (
    class_of_owner,
    components,
    is_metric,
    optimizer_role,
    role_by_name,
    variable_of,
)
from weightaudit.identity.optimizer import flat_names, named
from weightaudit.identity.quantizing import quantize_layers, unclear
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


@dataclass(frozen=True, slots=True)
class _Graph:
    """The object graph: who holds a variable, what it is called, and whose slot it is.

    Attributes:
        names: Full name of each checkpoint key, as the framework wrote it.
        owners: Node and attribute that hold the variable of each key.
        slots: Key of the variable, and name of the slot, for the key of each optimizer slot.
        normalizations: Nodes that hold what only a Normalization layer holds, with whatever else.
    """

    names: Mapping[str, str]
    owners: Mapping[str, Sequence[tuple[int, str]]]
    slots: Mapping[str, tuple[str, str]]
    normalizations: AbstractSet[int] = frozenset()


def drop_copies(catalog: Catalog) -> tuple[Catalog, dict[str, Entry]]:
    """Leave out the second copy of each variable that Keras 3 ``model.export`` writes.

    A copy has the name, shape, type and checksum of the first; one that differs is a tensor of its own.

    Returns:
        The catalog without the copies, and the copies by the key of the entry that was kept.
    """
    if not any(entry.key.startswith("_all_variables/") for entry in catalog.entries):
        return catalog, {}
    names = _read_graph(catalog.graph).names

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
    graph = _read_graph(catalog.graph)
    if not graph.names:
        keys = {entry.key for entry in catalog.entries}
        return [_by_tf1_name(entry, keys) for entry in catalog.entries], [], []
    layers = _read_metadata(catalog.documents.get("keras_metadata"))
    root = read_config(catalog.documents.get("config"))
    known = [*(layer for _, layer in layers.values()), *(root.walk() if root else ())]
    notes = unmapped(known)
    if not known and "saved_model" not in catalog.documents:
        notes += losses_of_checkpoints(catalog.entries)
    ambiguous = _ambiguous(catalog.entries, graph)
    tensors: list[Described] = []
    training: list[Entry] = []
    for entry in catalog.entries:
        if entry.key in graph.slots or _SLOT in entry.key or _is_optimizer(entry.key):
            training.append(entry)
        else:
            tensors.append(_variable(entry, graph, layers, root, ambiguous))
    tensors = _without_hidden_policies(quantize_layers(tensors))
    notes += unclear(tensors)
    if training:
        names = {entry.key: info.name for info, entry in tensors}
        flat = flat_names(info for info, _ in tensors)
        tensors += [_training(entry, graph, names, flat) for entry in training]
    defects = unlisted(catalog.entries, graph.names)
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


def _ambiguous(entries: Sequence[Entry], graph: _Graph) -> set[str]:
    """Return the keys of variables that share their full name with others.

    A variable that only an optimizer still holds gives way: ``model.quantize()`` replaces the
    kernels of a compiled model, and its optimizer keeps those from before under the same names.
    """
    counts = Counter([graph.names.get(entry.key, "") for entry in entries])
    shared: dict[str, list[str]] = {name: [] for name, count in counts.items() if count > 1}
    if not shared:
        return set()
    for entry in entries:
        name = graph.names.get(entry.key, "")
        if name in shared:
            shared[name].append(entry.key)
    ambiguous: set[str] = set()
    for sharing in shared.values():
        held = {key for key in sharing if "optimizer" not in key.split("/")}
        ambiguous |= set(sharing) - (held if len(held) == 1 else set())
    return ambiguous


def _read_graph(graph: ObjectGraph | None) -> _Graph:
    if graph is None:
        return _Graph({}, {}, {})
    variables = [variable for variable in graph.variables if variable.key]
    names = {variable.key: variable.full_name for variable in variables}
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
    held = {"mean", "variance", "count"}
    return _Graph(names, owners, slots, {node for node, its in graph.children.items() if held <= its.keys()})


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
    entry: Entry, graph: _Graph, layers: Mapping[int, tuple[str, Layer]], root: Layer | None,
    ambiguous: AbstractSet[str],
) -> Described:  # fmt: skip
    path = entry.key.removesuffix(_SUFFIX)
    scope = components(graph.names.get(entry.key, ""))
    full = "/".join(scope)
    parts = path.split("/")
    owners = [(node, name) for node, name in graph.owners.get(entry.key, ()) if not name.isdigit()]
    owned = [(layers[node], name) for node, name in owners if node in layers] if layers else []
    special = _special(entry, path, parts, full)
    if not owned and len(scope) < 2 and any(node in graph.normalizations for node, _ in owners):
        known = Layer("", "Normalization", {})
        name = full if full and entry.key not in ambiguous else path
        return describe(entry, name, _variable_name(scope, owners[0][1]), known, Evidence.NAME)
    if special is not None:
        return special
    usable = bool(full) and entry.key not in ambiguous and (len(scope) > 1 or not owned)
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
        return tensor(entry, name, _nature_or_unknown(entry.shape, variable, custom, role))
    variable = _variable_name(scope, owners[0][1] if owners else parts[-1])
    name = full if usable else path
    named_by = scope if usable else components(path)
    layer = configured(root, named_by[:-1], variable) if root is not None else None
    if layer is not None:
        return describe(entry, name, variable, layer, Evidence.CONFIG)
    return _by_path(entry, name, named_by, variable)


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
    return _clearer(scope[-1] if scope else own, own)


@lru_cache(maxsize=4096)
def _clearer(last: str, own: str) -> str:
    """Return today's form of the name of a variable, or of the attribute `own` where that tells more."""
    unclear = role_by_name(last) is Role.UNKNOWN and own in ROLES
    return variable_of(own if unclear else last)


def _by_path(entry: Entry, name: str, parts: Sequence[str], variable: str) -> Described:
    """Describe a variable by the names that the framework wrote for it and for its layer.

    Args:
        entry: The stored tensor.
        name: Its canonical name.
        parts: Components of that name.
        variable: Today's name of the variable.
    """
    owner = parts[-2] if len(parts) > 1 else ""
    inside = owner in PROJECTIONS and len(parts) > 2 and class_of_path(parts[-3]) in ATTENTION
    kind = kind_of_name(owner)
    return tensor(entry, name, _nature_by_path(kind, variable, entry.shape, is_projection=inside))


@lru_cache(maxsize=4096)
def _nature_by_path(owner: str, variable: str, shape: tuple[int, ...], *, is_projection: bool) -> Nature:
    """Return the nature of a variable by its own name and that of its layer."""
    layer_class = class_of_owner(owner, variable)
    config: dict[str, str] = {}
    if is_projection or (owner in PROJECTIONS and len(shape) == 3):
        layer_class, config = "EinsumDense", {"equation": PROJECTIONS[owner]}
    layer = Layer(owner, layer_class, config)
    role = role_by_name(variable, owner)
    if not shape and not layer_class and role is not Role.QUANTIZATION:
        # Variables called "a", "b" and "w" without any axis are no layer's.
        role = Role.UNKNOWN
    return _nature_or_unknown(shape, variable, layer, role)


def _nature_or_unknown(shape: tuple[int, ...], variable: str, layer: Layer, role: Role) -> Nature:
    if role is Role.UNKNOWN:
        return Nature(layer_class=layer.layer_class)
    if role in {Role.COUNTER, Role.SEED} and layer.layer_class != "Normalization":
        return bookkeeping_nature(role)
    nature = nature_of(shape, variable, layer, Evidence.NAME, role)
    if layer.layer_class and not layer.trainable and role not in NEVER_TRAINED:
        nature = nature._replace(trainable=False)
    return nature


def _training(entry: Entry, graph: _Graph, names: Mapping[str, str], flat: Mapping[str, str]) -> Described:
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
    return _by_path(entry, entry.key, own, variable_of(parts[-1]))


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
    info, _ = _by_path(entry, name, components(name), variable_of(parts[-1]))
    return replace(info, name=entry.key), entry
