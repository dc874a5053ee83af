"""A configuration that the user supplies for weights that were saved without one."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weightaudit.errors import ReadError, UnsupportedFormatError, UsageError
from weightaudit.identity.config import Layer, as_mapping, as_text, read_config
from weightaudit.tensor import Evidence

if TYPE_CHECKING:
    from collections.abc import Iterable

    from weightaudit.catalog import Catalog, Json
    from weightaudit.limits import Limits
    from weightaudit.tensor import TensorInfo

# Which argument of a class is the length of the last axis of a variable; of Conv2D, its class is Conv.
_SIZES = {
    ("Dense", "kernel"): "units",
    ("Embedding", "embeddings"): "output_dim",
    ("Conv", "kernel"): "filters",
    ("SeparableConv", "pointwise_kernel"): "filters",
}


def read_supplied(path: str | os.PathLike[str], limits: Limits) -> Json:
    """Read a configuration from a JSON file, or from a model that was saved with one.

    Args:
        path: The ``config.json`` of a ``.keras`` archive, what ``model.to_json()`` gives, or a whole model.
        limits: Bounds on its size.

    Raises:
        UsageError: It cannot be read, or describes no layers.
    """
    label = os.fspath(path)
    if not label:
        raise UsageError("The name of the configuration is empty; name a file, or leave it out.")
    try:
        document = _read(Path(path), label, limits)
    except (OSError, ReadError, UnsupportedFormatError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UsageError(f"{label} cannot be used as a configuration: {reason}") from None
    root = read_config(document)
    if root is None or not root.children:
        raise UsageError(
            f"{label} describes no layers; give the config.json of a .keras file, or what model.to_json() "
            "writes, of a functional or sequential model."
        )
    return document


def with_supplied(catalog: Catalog, document: Json, label: str) -> Catalog:
    """Return a catalog with the configuration that it lacks.

    Args:
        catalog: Tensors and documents of a file.
        document: The configuration.
        label: What the configuration is called in messages.

    Raises:
        UsageError: The file has a configuration of its own.
    """
    if catalog.documents.get("config") or catalog.documents.get("keras_metadata"):
        raise UsageError(
            f"The {catalog.container} has a configuration of its own; leave out {label}, which is for "
            "weights that were saved without one."
        )
    documents: dict[str, Any] = {**catalog.documents, "config": document}
    if not documents.get("metadata"):
        documents["metadata"] = {"keras_version": "2." if _is_keras2(document) else "3."}
    return replace(catalog, documents=documents)


def check_supplied(tensors: Iterable[TensorInfo], document: Json, label: str) -> None:
    """Raise UsageError if a supplied configuration is surely that of another model.

    Args:
        tensors: What was identified with it.
        document: The configuration.
        label: What it is called in messages.
    """
    weights = [info for info in tensors if not info.is_bookkeeping]
    explained = [info for info in weights if info.evidence is Evidence.CONFIG]
    if weights and not explained:
        raise UsageError(
            f"{label} describes none of these tensors, such as {weights[0].name} of shape "
            f"{weights[0].shape}; give the configuration of this model."
        )
    root = read_config(document)
    named = {layer.name: layer for layer in root.walk()} if root else {}
    counts = Counter(layer.name for layer in root.walk()) if root else Counter[str]()
    for info in explained:
        name = info.layer.rpartition("/")[2]
        size = _declared_size(named[name], info) if counts[name] == 1 else None
        if size is not None and info.shape[-1] != size:
            raise UsageError(
                f"{label} declares {size} outputs for {name}, but {info.name} has shape {info.shape}; "
                "give the configuration of this model."
            )


def _declared_size(layer: Layer, info: TensorInfo) -> int | None:
    """Return the length that a layer's configuration declares for the last axis of a tensor."""
    if (
        layer.layer_class != info.layer_class
        or "int" in info.dtype
        or layer.layer_class.endswith("Transpose")
    ):
        return None
    key = _SIZES.get((layer.layer_class.rstrip("123D"), info.name.rpartition("/")[2]), "")
    size = layer.config.get(key)
    return size if isinstance(size, int) else None


def _read(path: Path, label: str, limits: Limits) -> Json:
    from weightaudit.formats import open_catalog, sniff
    from weightaudit.formats.documents import parse_json

    if sniff(path) is None or path.suffix == ".json":
        with path.open("rb") as file:
            return parse_json(file.read(limits.max_metadata + 1), label, limits)
    opened = open_catalog(path, limits)
    try:
        return opened.catalog.documents.get("config")
    finally:
        opened.files.close()


def _is_keras2(document: Json) -> bool:
    """Say whether Keras 2 wrote a configuration, which names and stores a few variables in its own way."""
    version = as_text(as_mapping(document).get("keras_version"))
    if version:
        return version.startswith("2.")
    root = read_config(document)
    # Only Keras 2 calls the shape of an input so; ``config.json`` does not tell the version.
    return root is not None and any(_declares_batch_input_shape(layer) for layer in root.walk())


def _declares_batch_input_shape(layer: Layer) -> bool:
    return "batch_input_shape" in layer.config
