"""Small catalogs, written by hand as the format modules would make them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from weightaudit.catalog import Catalog, Entry, Fill, Layout, ObjectGraph
from weightaudit.identity import Identified, identify

if TYPE_CHECKING:
    from weightaudit.tensor import TensorInfo

Stored = Mapping[str, tuple[int, ...]]


def keras3(stored: Stored, config: Any = None, **documents: Any) -> Catalog:
    """Return a catalog of numbered variables, float32 unless the key ends in ``@dtype``."""
    return Catalog(
        "Keras archive", Layout.KERAS3, _entries(stored), documents={"config": config, **documents}
    )


def legacy(
    weights: Mapping[tuple[str, str], tuple[int, ...]], config: Any = None, **documents: Any
) -> Catalog:
    """Return a catalog of weights by (layer group, weight name); the group ``optimizer`` is special."""
    entries: list[Entry] = []
    for (group, weight), shape in weights.items():
        section = "optimizer" if group == "optimizer" else "layer"
        attributes = {"section": section, "layer": group if section == "layer" else "", "weight": weight}
        entries.append(Entry(f"{group}/{weight}", shape, "float32", Fill(), attributes=attributes))
    documents = {"config": config, **documents}
    return Catalog("Keras HDF5", Layout.KERAS_LEGACY, tuple(entries), documents=documents)


def tensorflow(stored: Stored, graph: ObjectGraph | None = None, **documents: Any) -> Catalog:
    """Return a catalog of a checkpoint or SavedModel."""
    return Catalog("checkpoint", Layout.TENSORFLOW, _entries(stored), documents=documents, graph=graph)


def by_name(catalog: Catalog) -> dict[str, TensorInfo]:
    """Identify a catalog and return its tensors by name."""
    return {info.name: info for info, _ in result(catalog).tensors}


def result(catalog: Catalog) -> Identified:
    """Identify a catalog and check what holds for all: each entry once, names unique."""
    identified = identify(catalog)
    names = [info.name for info, _ in identified.tensors]
    assert len(set(names)) == len(names)
    assert all(info.key == entry.key for info, entry in identified.tensors)
    return identified


def layer(layer_class: str, name: str, **config: Any) -> dict[str, Any]:
    """Return the serialized form of a built-in layer of Keras 3."""
    return {"module": "keras.layers", "class_name": layer_class, "config": {"name": name, **config}}


def functional(*layers: dict[str, Any], name: str = "model", **more: Any) -> dict[str, Any]:
    """Return the serialized form of a functional model."""
    return {"class_name": "Functional", "config": {"name": name, "layers": list(layers)}, **more}


def max_norm(limit: float) -> dict[str, Any]:
    """Return the serialized form of a MaxNorm constraint."""
    return {"module": "keras.constraints", "class_name": "MaxNorm", "config": {"max_value": limit, "axis": 0}}


def _entries(stored: Stored) -> tuple[Entry, ...]:
    pairs = [(key.partition("@"), shape) for key, shape in stored.items()]
    return tuple(Entry(key, shape, dtype or "float32", Fill()) for (key, _, dtype), shape in pairs)
