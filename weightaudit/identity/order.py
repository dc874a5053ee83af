"""The order in which a model's configuration lists its layers, which containers do not keep."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weightaudit.identity.config import Layer, as_mapping, as_text, read_config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from weightaudit.catalog import Catalog, Json


def layer_order(catalog: Catalog) -> tuple[str, ...]:
    """Return the paths of all configured layers, in the order of the configuration.

    Returns:
        Paths such as ``encoder/dense_1``, outer layers first; nothing where no configuration was
        saved, or it is that of a subclassed model and lists no layers.
    """
    root = read_config(configuration(catalog))
    return tuple(dict.fromkeys(_paths(root, ""))) if root else ()


def configuration(catalog: Catalog) -> Json:
    """Return the configuration of the model itself, None where none was saved."""
    return catalog.documents.get("config") or _saved_root(catalog)


def _saved_root(catalog: Catalog) -> Json:
    """Return what the Keras metadata of a SavedModel says about the model itself."""
    items = map(as_mapping, as_mapping(catalog.documents.get("keras_metadata")).values())
    return next((item.get("metadata") for item in items if as_text(item.get("path")) == "root"), None)


def _paths(layer: Layer, prefix: str) -> Iterator[str]:
    for child in layer.children:
        path = f"{prefix}{child.name}"
        yield path
        yield from _paths(child, f"{path}/")
