"""A configuration that the user supplies for weights that were saved without one."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from weightaudit.errors import ReadError, UnsupportedFormatError, UsageError
from weightaudit.identity.config import Layer, as_list, as_mapping, as_text, read_config
from weightaudit.identity.coverage import with_variables
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

_FEW = 3
"""Layers that may be missing from a small model, before it is taken for another one."""


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
        reason = f"{error.strerror or error}." if isinstance(error, OSError) else str(error)
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
        UsageError: The file has another configuration of its own.
    """
    # Weights called as in an archive, with the configuration beside them, are read as one that was unpacked.
    if catalog.documents.get("config") == document:
        return catalog
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
    """Raise UsageError if a supplied configuration is that of another model.

    It is if it describes no tensor, if a tensor has not the size that it declares, or if more layers are
    missing than damage explains: more than a tenth, or some where other tensors belong to no layer.
    A few that are missing are defects of the file.

    Args:
        tensors: What was identified with it.
        document: The configuration.
        label: What it is called in messages.
    """
    weights = [info for info in tensors if info.is_numeric and not info.is_bookkeeping]
    explained = [info for info in weights if info.evidence is Evidence.CONFIG]
    if weights and not explained:
        raise UsageError(
            f"{label} describes none of these tensors, such as {weights[0].name} of shape "
            f"{weights[0].shape}; give the configuration of this model."
        )
    root = read_config(document)
    if root is None or not weights:
        return
    stored = {component for info in explained for component in info.name.split("/")}
    expected = {layer.name: layer for layer in with_variables(root)}
    missing = [layer for layer in expected.values() if layer.name not in stored]
    wrong = _of_another_size(root, explained)
    foreign = _foreign(root, weights)
    problems = list(wrong.values())[:1]
    if len(missing) > max(_FEW, len(expected) // 10) or min(len(missing), len(foreign)) > 1:
        problems.append(_some("the file holds nothing of {}", [layer.name for layer in missing], "layer"))
        if foreign:
            names = sorted(info.name for info in foreign)
            problems.append(_some("nothing in it tells of {}", names, "tensor"))
    if problems:
        fitting = len(expected.keys() - wrong.keys() - {layer.name for layer in missing})
        raise UsageError(
            f"{label} fits {fitting} of the {len(expected)} layers with weights that it describes, but "
            f"{', and '.join(problems)}; give the configuration of this model."
        )


def _of_another_size(root: Layer, explained: Iterable[TensorInfo]) -> dict[str, str]:
    """Return what is wrong with each layer of which a tensor has another size than declared."""
    named = {layer.name: layer for layer in root.walk()}
    counts = Counter(layer.name for layer in root.walk())
    wrong: dict[str, str] = {}
    for info in explained:
        name = info.layer.rpartition("/")[2]
        claim = _wrong_claim(named[name], info) if counts[name] == 1 else ""
        if claim:
            wrong.setdefault(name, f"it declares {claim} for {name}, but {info.name} has shape {info.shape}")
    return wrong


def _wrong_claim(layer: Layer, info: TensorInfo) -> str:
    """Return what a layer's configuration declares and the shape of a tensor contradicts, or nothing."""
    size = _declared_size(layer, info)
    if size is not None and info.shape[-1] != size:
        return f"{size} outputs"
    window = as_list(layer.config.get("kernel_size"))
    is_convolution = "Conv" in layer.layer_class and info.layer_class == layer.layer_class
    is_kernel = info.name.rpartition("/")[2] in {"kernel", "depthwise_kernel"}
    if (
        is_convolution
        and is_kernel
        and len(info.shape) == len(window) + 2
        and tuple(window) != info.shape[:-2]
    ):
        return f"the kernel size {tuple(window)}"
    return ""


def _foreign(root: Layer, weights: Iterable[TensorInfo]) -> list[TensorInfo]:
    """Return the tensors that no layer explains; none where classes of a user may have made them."""
    if not all(layer.builtin for layer in root.walk()):
        return []
    return [info for info in weights if info.evidence is not Evidence.CONFIG]


def _some(sentence: str, names: list[str], kind: str) -> str:
    """Name the first of some things, and count the others."""
    rest = len(names) - 1
    return sentence.format(names[0] + (f" and {rest} more {kind}{'s' * (rest > 1)}" if rest else ""))


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
