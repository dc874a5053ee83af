"""What Keras 2 writes into a SavedModel about its layers: class, configuration, constraints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from weightaudit.errors import ReadError
from weightaudit.formats.documents import parse_json
from weightaudit.formats.graph_nodes import Ahead
from weightaudit.formats.meta_graph import SavedObject
from weightaudit.formats.object_graph import walk_children
from weightaudit.limits import Limits
from weightaudit.source import ByteSource

_KERAS = "_tf_keras_"

Metadata = dict[str, dict[str, Any]]
"""By the number of the object, as text: its ``path``, ``identifier`` and parsed ``metadata``."""


def read_keras_metadata(source: ByteSource, limits: Limits) -> Metadata:
    """Return what keras_metadata.pb says (TensorFlow 2.5 to 2.15, tf_keras).

    Source of the format: keras/protobuf/saved_metadata.proto.

    Raises:
        ReadError: The file is damaged or too large.
    """
    saved = Ahead(source, limits).message((0, 0, source.size), limits.max_metadata)
    if len(saved.chunks(1)) > limits.max_tensors:
        raise ReadError(
            f"{source.label} describes more than {limits.max_tensors} objects, "
            "which is the limit (--max-tensors)."
        )
    return {
        str(node.integer(2)): _described(node.text(3), node.text(4), node.text(5), source.label, limits)
        for node in saved.messages(1)
    }


def from_objects(objects: Sequence[SavedObject], label: str, limits: Limits) -> Metadata:
    """Return the same from the objects of saved_model.pb itself, where TensorFlow up to 2.4 puts it.

    Raises:
        ReadError: An object's metadata is malformed.
    """
    children = [item.children for item in objects]
    return {
        str(number): _described(path, objects[number].identifier, objects[number].metadata, label, limits)
        for number, path in walk_children(children)
        if objects[number].identifier.startswith(_KERAS) and objects[number].metadata
    }


def _described(path: str, identifier: str, text: str, label: str, limits: Limits) -> dict[str, Any]:
    metadata: Any = parse_json(text, f"{label}: {path}", limits) if text else dict[str, Any]()
    if not isinstance(metadata, dict):
        raise ReadError(f"{label} is damaged: the metadata of {path} is no JSON object.")
    return {"path": path, "identifier": identifier, "metadata": cast("dict[str, Any]", metadata)}
