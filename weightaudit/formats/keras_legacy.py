"""HDF5 as Keras 1 and 2 (and Keras 3 under ``.h5``) write it: groups per layer, weights by name."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from weightaudit.catalog import Catalog, Defect, Entry, Flaw, Layout
from weightaudit.errors import ReadError
from weightaudit.formats.documents import parse_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from weightaudit.formats.hdf5 import Listing
    from weightaudit.limits import Limits


def catalog_keras_legacy(listing: Listing, label: str, limits: Limits) -> Catalog:
    """Tie every dataset to the layer and weight name that list it.

    Weights that are listed and not there become defects; datasets that nothing lists are
    kept, without attributes.
    """
    entries = {entry.key: entry for entry in listing.entries}
    defects: list[Defect] = []
    listed: dict[str, Entry] = {}
    for key, attributes in _listed_weights(listing):
        entry = entries.get(key)
        if entry is None:
            message = f"{label} lists the weight {attributes['weight']} and does not hold it."
            defects.append(Defect(Flaw.MISSING_TENSOR, message, key))
        else:
            listed[key] = replace(entry, attributes=attributes)
    for layer in missing_layers(listing):
        message = f"{label} lists the layer {layer} and does not hold it."
        defects.append(Defect(Flaw.MISSING_TENSOR, message, layer))
    loose = {key: entry for key, entry in entries.items() if key not in listed}
    return Catalog(
        "Keras HDF5",
        Layout.KERAS_LEGACY,
        (*listed.values(), *loose.values()),
        defects=tuple(defects),
        documents=_documents(listing, label, limits),
    )


def _layers(listing: Listing) -> tuple[str, list[str]]:
    """Return the group that holds the layers, and their names."""
    top = "model_weights" if "layer_names" in listing.groups.get("model_weights", {}) else ""
    return top, list(listing.groups.get(top, {}).get("layer_names", []))


def missing_layers(listing: Listing) -> list[str]:
    """Return the layers that are listed and have no group; every group lists its weights, if none."""
    top, order = _layers(listing)
    return [layer for layer in order if f"{top}/{layer}".lstrip("/") not in listing.groups]


def _listed_weights(listing: Listing) -> Iterator[tuple[str, dict[str, str]]]:
    groups = listing.groups
    top, order = _layers(listing)
    for layer in order:
        path = f"{top}/{layer}".lstrip("/")
        for weight in groups.get(path, {}).get("weight_names", []):
            yield f"{path}/{weight}", {"section": "layer", "layer": layer, "weight": weight}
    for section, name in (("top_level", "top_level_model_weights"), ("optimizer", "optimizer_weights")):
        for path in (f"{top}/{name}".lstrip("/"), name):
            if path in groups:
                for weight in groups[path].get("weight_names", []):
                    yield f"{path}/{weight}", {"section": section, "weight": weight}
                break


def _documents(listing: Listing, label: str, limits: Limits) -> dict[str, Any]:
    root = listing.groups.get("", {})
    nested = listing.groups.get("model_weights", {})
    documents: dict[str, Any] = {}
    for name, key in (("model_config", "config"), ("training_config", "training_config")):
        text = root.get(name)
        documents[key] = parse_json(text, f"{label}: {name}", limits) if isinstance(text, str) else None
    for name in ("keras_version", "backend"):
        documents[name] = root.get(name) or nested.get(name)
    if documents["config"] is not None and not isinstance(documents["config"], dict):
        raise ReadError(f"{label}: model_config is not a JSON object.")
    return documents
