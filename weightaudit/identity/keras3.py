"""Tensors of Keras 3 files (``.keras``, ``.weights.h5``, shards): numbered variables in numbered layers."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from weightaudit.catalog import Catalog, Defect, Entry, Flaw
from weightaudit.identity.classes import class_of_path, path_name, snake
from weightaudit.identity.config import Layer, as_mapping, as_text, quantization_mode, read_config
from weightaudit.identity.declared import unmapped
from weightaudit.identity.describe import Described, bookkeeping, describe, unknown
from weightaudit.identity.layers import QUANTIZABLE, RECURRENT_CELLS, quantized_variables
from weightaudit.identity.names import guess, quantized_fits
from weightaudit.identity.optimizer import positional
from weightaudit.identity.plans import Optimizer, read_optimizer
from weightaudit.identity.quantizing import (
    quantize,
    quantize_layers,
    unclear,
    usual_mode,
    without_zero_points,
)
from weightaudit.identity.reach import reaching
from weightaudit.tensor import Evidence, Role, TensorInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Group = dict[int, Entry]
Groups = dict[str, Group]

_VARIABLE = re.compile(r"^(?:(?P<group>.*)/)?vars/(?P<index>\d{1,9})$")
_LAYERS = ("layers", "_layer_checkpoint_dependencies")
_METRICS = frozenset(
    {"metrics", "_metrics", "compile_metrics", "_compile_metrics", "_loss_tracker", "loss_tracker"}
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a configured layer is in the file, and what its variables are called.

    Attributes:
        layer: The layer.
        path: Path of its variables' names, such as ``encoder/dense_1``.
        certain: Whether it is surely built and stored at this place.
    """

    layer: Layer
    path: str
    certain: bool


@dataclass(frozen=True, slots=True)
class _File:
    groups: Groups
    folders: frozenset[str]
    names: Mapping[str, str]
    keras2: bool
    mode: str = "int8"

    def has(self, path: str) -> bool:
        """Say whether anything is stored at or below a path."""
        return path in self.groups or path in self.folders


def identify_keras3(catalog: Catalog) -> tuple[list[Described], list[Defect], list[str]]:
    """Identify every tensor of a catalog of the layout KERAS3."""
    documents = catalog.documents
    groups, loose = _group(catalog.entries)
    folders = frozenset(path[: slash.start()] for path in groups for slash in re.finditer("/", path))
    names = as_mapping(documents.get("names")).items()
    version = as_text(as_mapping(documents.get("metadata")).get("keras_version"))
    root = read_config(documents.get("config"))
    layers = list(root.walk()) if root else []
    file = _File(
        groups=groups,
        folders=folders,
        names={path.replace("\\", "/"): as_text(name) for path, name in names},
        keras2=version.startswith("2."),
        mode=usual_mode(quantization_mode(layer.config) for layer in layers),
    )
    places = dict(_locate(root, "", "", file, certain=True)) if root else {}
    tensors = [described for path, place in places.items() for described in _placed(path, place, file)]
    rest = {path: group for path, group in groups.items() if path not in places}
    training = set(_training_groups(rest))
    scope = _root_scope(root, file)
    for path, group in rest.items():
        if path not in training:
            tensors += _unplaced(path, group, scope, file)
    if training:
        trained = [info for info, _ in tensors if info.trainable is not False]
        orders, optimizer = [trained, sorted(trained, key=_natural)], _optimizer(documents, file)
        for path in filter(training.__contains__, rest):
            tensors += _training(path, rest[path], orders, optimizer)
    tensors += [unknown(entry, entry.key) for entry in loose]
    lost, notes = without_zero_points(tensors)
    defects = [*_missing(places, groups, file), *lost, *reaching(layers)]
    return tensors, defects, [*unmapped(layers), *_forgetful(layers, version), *notes, *unclear(tensors)]


def _forgetful(layers: Sequence[Layer], version: str) -> list[str]:
    """Return a warning where a version of Keras that leaves out layers may have done so (keras#20598)."""
    major, _, minor = version.partition(".")
    before = major == "3" and minor.partition(".")[0].isdigit() and int(minor.partition(".")[0]) < 15
    if not before or all(layer.builtin for layer in layers):
        return []
    warning = (
        f"Keras {version} saved this model. Before 3.15 layers that a class of its own holds in lists of "
        "lists were left out, and nothing in the file tells whether there were any."
    )
    return [warning]


def _group(entries: Sequence[Entry]) -> tuple[Groups, list[Entry]]:
    groups: Groups = {}
    loose: list[Entry] = []
    for entry in entries:
        # Files written on Windows join their groups with backslashes.
        match = _VARIABLE.match(entry.key.replace("\\", "/"))
        if match is None:
            loose.append(entry)
            continue
        path, index = match["group"] or "", int(match["index"])
        if index in groups.setdefault(path, {}):
            loose.append(entry)
        else:
            groups[path][index] = entry
    return {path: dict(sorted(group.items())) for path, group in groups.items()}, loose


def _locate(
    layer: Layer, path: str, scope: str, file: _File, *, certain: bool
) -> Iterator[tuple[str, Place]]:
    """Yield the place of a layer and of all inside it, in the model's order."""
    variable_path = _variable_path(layer, path, scope, file)
    yield path, Place(layer, variable_path, certain)
    inner = _inner_scope(layer, variable_path, keras2=file.keras2)
    certain = certain and layer.is_model and layer.builtin
    for child, child_path in _children(layer, path, file):
        yield from _locate(child, child_path, inner, file, certain=certain)


def _variable_path(layer: Layer, path: str, scope: str, file: _File) -> str:
    name = file.names.get(path) or layer.name
    if file.keras2 and layer.attributes == ("backward_layer",) and not name.startswith("backward_"):
        name = f"backward_{name}"
    if file.keras2 and (layer.attributes == ("layer",) or layer.layer_class == "ConvLSTMCell"):
        return scope
    first = layer.children[0].layer_class if layer.children else ""
    built_alone = layer.layer_class == "Sequential" and first == "InputLayer"
    return name if built_alone or not scope else f"{scope}/{name}"


def _inner_scope(layer: Layer, variable_path: str, *, keras2: bool) -> str:
    """Return what stands before the names of inner layers: models whose layers exist before add nothing."""
    plain = layer.is_model and layer.builtin and (keras2 or layer.layer_class != "Sequential")
    return "" if plain else variable_path


def _children(layer: Layer, path: str, file: _File) -> Iterator[tuple[Layer, str]]:
    prefix = f"{path}/" if path else ""
    listed = [child for child in layer.children if not child.attributes]
    if layer.layer_class == "Sequential" and listed and listed[0].layer_class == "InputLayer":
        listed = listed[1:]
    folder = "cells" if layer.layer_class == "StackedRNNCells" else _LAYERS[file.has(prefix + _LAYERS[1])]
    by_name = {(path_name(child.layer_class), child.name): child for child in listed}
    used: dict[str, int] = {}
    for child in listed:
        kind = path_name(child.layer_class)
        child_path = f"{prefix}{folder}/{_numbered(kind, used)}"
        if folder == _LAYERS[1] and file.has(child_path):
            # TensorFlow 2.12 lists a layer with weights twice, and counts it twice.
            _numbered(kind, used)
        yield by_name.get((kind, file.names.get(child_path, "")), child), child_path
    for child in layer.children:
        if child.attributes:
            paths = [prefix + attribute for attribute in child.attributes]
            yield child, next(filter(file.has, paths), paths[0])


def _numbered(name: str, used: dict[str, int]) -> str:
    count = used.get(name, 0)
    used[name] = count + 1
    return f"{name}_{count}" if count else name


def _placed(path: str, place: Place, file: _File) -> list[Described]:
    """Describe the variables of a layer that the config describes."""
    layer, group = place.layer, file.groups.get(path, {})
    if not group:
        return []
    mode, variables = _expected(layer, group, file.mode)
    if variables is None or any(index >= len(variables) for index in group):
        return _guessed(path, group, place.path, layer)
    if layer.layer_class == "SpectralNormalization" and layer.children and 0 in group:
        return _spectral(place, group, layer.children[0])
    # Keras 2 called a depthwise kernel so; Keras 3 calls it a kernel.
    renamed = file.keras2 and layer.layer_class.startswith("DepthwiseConv")
    described = [
        describe(
            entry,
            f"{place.path}/{'depthwise_' * (renamed and not index)}{variables[index]}",
            variables[index],
            layer,
            Evidence.CONFIG,
        )
        for index, entry in group.items()
    ]
    return quantize(described, mode)


def _spectral(place: Place, group: Group, inner: Layer) -> list[Described]:
    """Describe what SpectralNormalization stores: the kernel of the layer inside once more, and its own."""
    variable = "embeddings" if inner.layer_class == "Embedding" else "kernel"
    copy = describe(group[0], f"{place.path}/{variable}_copy", variable, inner, Evidence.CONFIG)
    own = [
        describe(entry, f"{place.path}/vector_u", "vector_u", place.layer, Evidence.CONFIG)
        for index, entry in group.items()
        if index == 1
    ]
    return [copy, *own]


def _expected(layer: Layer, group: Group, usual: str) -> tuple[str, tuple[str, ...] | None]:
    """Return the quantization mode of a layer and the names of its stored variables.

    Where its own configuration does not tell the mode, the one that is `usual` in the model comes first.
    """
    plain = layer.variables
    mode = quantization_mode(layer.config)
    if plain is None or layer.layer_class not in QUANTIZABLE:
        return "", plain
    count = len(group)
    if mode:
        return mode, quantized_variables(layer.layer_class, layer.config, mode, count)
    if any("int8" in entry.dtype for entry in group.values()):
        # model.quantize() quantizes the layers inside an attention layer without a word in the config.
        shapes = [entry.shape for entry in group.values()]
        for guessed in (usual, "int8", "int4", "gptq", "awq"):
            names = quantized_variables(layer.layer_class, layer.config, guessed, count)
            if names and quantized_fits(names, shapes, guessed):
                return guessed, names
    if count >= len(plain) + 6:
        return "float8", quantized_variables(layer.layer_class, layer.config, "float8", count)
    return "", plain


def _guessed(path: str, group: Group, variable_path: str, layer: Layer | None) -> list[Described]:
    """Describe variables whose order is not known."""
    if layer is not None and layer.layer_class == "TFSMLayer":
        return [unknown(entry, f"{variable_path}/{i}", "TFSMLayer") for i, entry in group.items()]
    outer, _, last = path.rpartition("/")
    cell = RECURRENT_CELLS.get(class_of_path(outer.rpartition("/")[2]), "") if last == "cell" else ""
    hints = [snake(cell) or last, variable_path.rpartition("/")[2]]
    hint = next((hint for hint in hints if class_of_path(hint)), hints[0])
    shapes = [entry.shape for entry in group.values()]
    found = guess(hint, shapes, [entry.dtype for entry in group.values()])
    if layer is not None and not layer.builtin:
        found = None if class_of_path(hints[0]) == "" else found
    layer_class = layer.layer_class if layer is not None else ""
    if found is None or list(group) != list(range(len(shapes))):
        return [unknown(entry, f"{variable_path}/{i}", layer_class) for i, entry in group.items()]
    described: list[Described] = []
    for index, (entry, variable) in enumerate(zip(group.values(), found.variables, strict=True)):
        name = f"{variable_path}/{variable or index}"
        described.append(describe(entry, name, variable, found.layer, Evidence.GUESS))
    return quantize_layers(described)


def _unplaced(path: str, group: Group, outermost: Sequence[str], file: _File) -> list[Described]:
    """Describe the variables of a group that no configured layer explains."""
    parts = path.split("/")
    if "seed_generator" in parts[-1]:
        return [bookkeeping(entry, f"{path}/{i}", Role.SEED) for i, entry in group.items()]
    scope = list(outermost)
    if not path:
        # What the outermost model itself holds: its name is in the scope already, or nowhere.
        return _guessed(path, group, "/".join(filter(None, scope)) or "vars", None)
    if path in file.folders and not class_of_path(parts[-1]):
        # A layer of the user's own, with layers inside: its variables may be anything.
        own = file.names.get(path) or parts[-1]
        return [unknown(entry, "/".join([*scope, own, str(i)])) for i, entry in group.items()]
    for depth in range(1, len(parts) + 1):
        prefix = "/".join(parts[:depth])
        name = file.names.get(prefix)
        # Keras 2, and 3 before 3.6, did not store names: then places in the file stand for them.
        plain = parts[depth - 1] if not file.names and parts[depth - 1] not in _LAYERS else ""
        if class_of_path(parts[depth - 1]) in {"Functional", "Model"} and depth < len(parts):
            scope = []
        elif name or plain:
            scope.append(name or plain)
    return _guessed(path, group, "/".join(filter(None, scope)) or path, None)


def _root_scope(root: Layer | None, file: _File) -> list[str]:
    """Return what the name of the outermost model adds to names: functional models add nothing."""
    name = file.names.get("", "")
    if root is not None:
        plain = root.is_model and root.builtin and root.layer_class != "Sequential"
        return [] if plain else [name or root.name]
    # Without a configuration, layers held by attributes show a subclassed model.
    attributes = {path.split("/", 1)[0] for path in file.groups} - {"optimizer", *_LAYERS, *_METRICS}
    return [name] if name and (attributes or class_of_path(name) == "Sequential") else []


def _training_groups(groups: Groups) -> list[str]:
    return [path for path in groups if path.split("/", 1)[0] in {"optimizer", *_METRICS}]


def _training(
    path: str, group: Group, orders: Sequence[Sequence[TensorInfo]], optimizer: Optimizer
) -> list[Described]:
    if path.split("/", 1)[0] == "optimizer":
        # A loss scaler lists what the optimizer inside it keeps, and that lists it again.
        return positional(list(group.values()), orders, optimizer, path)
    return [bookkeeping(entry, f"{path}/{index}", Role.METRIC) for index, entry in group.items()]


def _natural(info: TensorInfo) -> list[tuple[bool, int, str]]:
    """Return a sort key by which ``dense_2`` stands before ``dense_10``: the usual order of creation."""
    parts = re.split(r"[/_]", info.key)
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]


def _optimizer(documents: Mapping[str, object], file: _File) -> Optimizer:
    compiled = as_mapping(as_mapping(documents.get("config")).get("compile_config"))
    if compiled.get("optimizer"):
        return read_optimizer(compiled["optimizer"], keras2=file.keras2)
    named = file.names.get("optimizer/inner_optimizer") or file.names.get("optimizer", "")
    return Optimizer(re.sub(r"_\d+$", "", named).replace("_", ""), keras2=file.keras2)


def _missing(places: Mapping[str, Place], groups: Groups, file: _File) -> list[Defect]:
    """Return a defect for each variable that the config promises and the file surely lacks."""
    twins = Counter((place.layer.layer_class, place.layer.name) for place in places.values())
    stored = any(path in groups for path in places)
    defects: list[Defect] = []
    for path, place in places.items():
        group, variables = groups.get(path, {}), place.layer.variables or ()
        if (
            not variables
            or quantization_mode(place.layer.config)
            or any("int8" in e.dtype for e in group.values())
        ):
            continue
        # A layer that is shared with another model is stored only where it is met first.
        shared = twins[place.layer.layer_class, place.layer.name] > 1
        if not group and (shared or not stored or not (place.certain or path in file.names)):
            continue
        for index, variable in enumerate(variables):
            if index not in group and max(group, default=0) < len(variables):
                name = f"{place.path}/{variable}"
                message = (
                    f"The configuration declares {name}, but {path}/vars/{index} is not in the file; "
                    "save the model again."
                )
                defects.append(Defect(Flaw.MISSING_TENSOR, message, name))
    return defects
