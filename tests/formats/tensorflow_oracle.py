"""Compares a catalog with what TensorFlow itself reads from the same checkpoint."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np

from tests.formats.tensorflow_files import stored_array
from weightaudit.catalog import Absent, Catalog, Extent
from weightaudit.formats.object_graph import OBJECT_GRAPH_KEY

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from weightaudit.source import Files


def tensorflow() -> Any:
    """Import TensorFlow without its chatter."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    import tensorflow as tf

    return tf


def save_bundle(prefix: Path, tensors: dict[str, Any], slices: dict[str, str] | None = None) -> None:
    """Save tensors with TensorFlow's own operation; what follows an @ in a name is no part of it."""
    names = list(tensors)
    specs = [(slices or {}).get(name, "") for name in names]
    plain = [name.partition("@")[0] for name in names]
    tensorflow().raw_ops.SaveV2(
        prefix=str(prefix), tensor_names=plain, shape_and_slices=specs, tensors=list(tensors.values())
    )


def assert_equals_tensorflow(
    catalog: Catalog, files: Files, checkpoint: Path | str, get: Callable[[str, str], Any] | None = None
) -> int:
    """Assert that keys, shapes, types and bytes are TensorFlow's; return how many tensors had bytes.

    Args:
        catalog: Our catalog of the checkpoint.
        files: Its open files.
        checkpoint: Its prefix.
        get: Gives a tensor by name and type, where TensorFlow's checkpoint reader cannot.
    """
    # What tf.train.load_checkpoint makes, which takes a prefix that ends in "/" for a directory.
    reader = tensorflow().compat.v1.train.NewCheckpointReader(str(checkpoint))
    shapes: dict[str, list[int]] = dict(reader.get_variable_to_shape_map())
    shapes.pop(OBJECT_GRAPH_KEY, None)
    assert {item.key: list(item.shape) for item in catalog.entries} == shapes
    dtypes = {
        name: dtype.name.removesuffix("_ref") for name, dtype in reader.get_variable_to_dtype_map().items()
    }
    compared = 0
    for item in catalog.entries:
        assert item.dtype == _our_name(dtypes[item.key]), item.key
        if isinstance(item.storage, Absent) or item.dtype == "string":
            continue
        expected = np.asarray(get(item.key, dtypes[item.key]) if get else reader.get_tensor(item.key))
        actual = stored_array(files, item, expected.dtype)
        assert actual.tobytes() == expected.tobytes(), item.key
        if item.checksum and isinstance(item.storage, Extent):
            assert item.checksum.value == google_crc32c.value(expected.tobytes()), item.key
        compared += 1
    return compared


def _our_name(name: str) -> str:
    return {"half": "float16", "float": "float32", "double": "float64"}.get(name, name)
