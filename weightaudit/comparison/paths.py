"""What names and keys say about where a variable belongs, whatever the container puts before them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from weightaudit.identity.classes import path_name
from weightaudit.tensor import Evidence, Role, TensorInfo

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Path = tuple[str, ...]

MOST_PREFIXES = 8
"""Leading components of a path that may be a container's; a stranger's name may have a million."""

_KERAS3 = re.compile(r"^(?:(?P<group>.*)/)?vars/\d+$", re.DOTALL)
_TENSORFLOW = "/.ATTRIBUTES/"
_FOLDERS = frozenset({"layers", "_layer_checkpoint_dependencies"})
_LAYER = re.compile(r"layer_with_weights-\d+")
_OPTIMIZER = "optimizer"
# The same slots and counters under the names of Keras 3, of Keras 2, and of their checkpoints.
_SYNONYMS = {
    "m": "momentum",
    "v": "velocity",
    "vhat": "velocity_hat",
    "iterations": "iteration",
    "iter": "iteration",
}


def name_path(info: TensorInfo) -> Path:
    """Return the components of a tensor's name; those of an optimizer from the word ``optimizer`` on."""
    parts = _plain(info.name.split("/"))
    if info.is_bookkeeping and _OPTIMIZER in parts:
        parts = parts[parts.index(_OPTIMIZER) :]
        return (*parts[:-1], _SYNONYMS.get(parts[-1], parts[-1]))
    return parts


def attribute_path(info: TensorInfo) -> Path:
    """Return the attributes that lead from the model to a variable, empty if the key does not say them.

    Keras 3 and TensorFlow store what a subclassed model holds under the names of its attributes,
    whatever its layers are called. Numbered layers (``layers/dense_1``, ``variables/3``) have none.
    """
    keras3 = _KERAS3.match(info.key)
    if keras3 is not None:
        parts = (keras3["group"] or "").split("/")
        named = not _FOLDERS.intersection(parts) and parts[0] != _OPTIMIZER
        return _plain([*parts, leaf(info)]) if named else ()
    path, tensorflow, _ = info.key.partition(_TENSORFLOW)
    parts = path.split("/")
    if not tensorflow or info.is_bookkeeping or any(part.isdigit() for part in parts):
        return ()
    return _plain(parts)


def is_place(key: str) -> bool:
    """Say whether a key tells a place that means the same in another file: numbers of a graph do not."""
    if _KERAS3.match(key) is not None:
        return True
    path, tensorflow, _ = key.partition(_TENSORFLOW)
    return not tensorflow or not any(part.isdigit() for part in path.split("/"))


def layer_places(infos: Sequence[TensorInfo]) -> set[str]:
    """Return the places of the layers that hold weights, as far as keys tell them."""
    paths = {info.key.partition(_TENSORFLOW)[0] for info in infos if not info.is_bookkeeping}
    return {path.rpartition("/")[0].removesuffix("/vars") for path in paths}


def layer_numbers(infos: Sequence[TensorInfo]) -> set[str]:
    """Return the numbers that a checkpoint of TensorFlow gives to layers in place of names."""
    return {number for info in infos if not info.is_bookkeeping for number in _LAYER.findall(info.key)}


def leaf(info: TensorInfo) -> str:
    """Return what a variable is called in its layer."""
    last = info.name.rpartition("/")[2]
    return _SYNONYMS.get(last, last) if info.is_bookkeeping else last


def owner(info: TensorInfo) -> tuple[str, str]:
    """Return what holds a tensor: a layer, or for a slot ``optimizer/`` and the variable it belongs to."""
    path = info.name.rpartition("/")[0]
    prefix = f"{_OPTIMIZER}/" if info.role is Role.OPTIMIZER_SLOT else ""
    return (prefix, path.removeprefix(prefix)) if path.startswith(prefix) else ("", path)


def only_numbered(infos: Sequence[TensorInfo]) -> bool:
    """Say whether the names of weights are nothing but their groups: Keras numbers those by class.

    Weight files before Keras 3.6 do not hold the names of layers, so ``dense_1`` is the second
    Dense of the model there, and whatever its user called so elsewhere. In a model whose layers
    have default names the two may be the same.
    """
    weights = [info for info in infos if not info.is_bookkeeping]
    return bool(weights) and all(_is_group(info) for info in weights)


def _is_group(info: TensorInfo) -> bool:
    keras3 = _KERAS3.match(info.key)
    if keras3 is None or info.evidence is Evidence.CONFIG:
        return False
    group = (keras3["group"] or "").rpartition("/")[2]
    layer = info.name.partition(" (")[0] if " (" in info.name else info.name.rpartition("/")[0]
    return layer.rpartition("/")[2] == group


def _plain(parts: Sequence[str]) -> Path:
    return tuple(part.lstrip("_") or part for part in parts if part)


def class_ranks(infos: Sequence[TensorInfo], layers: Sequence[str]) -> dict[str, tuple[str, int, int, str]]:
    """Return what numbered groups say of a variable: class of its layer, which of how many, variable.

    Args:
        infos: Tensors of a model.
        layers: Its layers as configured; none for a file whose groups are numbered.

    Returns:
        By name, for the variables of layers that lie in the model itself.
    """
    order = {layer: place for place, layer in enumerate(layers)}
    owners = {info.name: _top_layer(info, order) for info in infos if not info.is_bookkeeping}
    members: dict[str, list[tuple[int, str]]] = {}
    for kind, place, layer in sorted({found for found in owners.values() if found}):
        members.setdefault(kind, []).append((place, layer))
    ranks = {layer: rank for found in members.values() for rank, (_, layer) in enumerate(found)}
    return {
        info.name: (found[0], ranks[found[2]], len(members[found[0]]), leaf(info))
        for info in infos
        if (found := owners.get(info.name))
    }


def _top_layer(info: TensorInfo, order: Mapping[str, int]) -> tuple[str, int, str] | None:
    """Return class, place in the order, and name of the layer that holds a variable directly."""
    if order:
        layer = info.name.rpartition("/")[0]
        known = layer in order and "/" not in layer and info.layer_class
        return (path_name(info.layer_class), order[layer], layer) if known else None
    keras3 = _KERAS3.match(info.key)
    parts = (keras3["group"] or "").split("/") if keras3 else []
    if len(parts) != 2 or parts[0] not in _FOLDERS:
        return None
    kind, _, number = parts[1].rpartition("_")
    numbered = bool(kind) and number.isdecimal() and len(number) < 10
    return (kind, int(number), parts[1]) if numbered else (parts[1], 0, parts[1])
