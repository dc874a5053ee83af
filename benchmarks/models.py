"""Writes the models to be audited, a stretch of a weight at a time.

``python -m benchmarks.models KIND SIZE FOLDER`` does so in a process of its own and prints the path.
"""

from __future__ import annotations

import argparse
import json
import zipfile
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.architecture import (
    layers_of,
    model_config,
    pieces_of,
    small_layers,
    weights_of,
    with_giant,
)
from benchmarks.formats import ALL, DTYPES, MANY
from benchmarks.many import write_many

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.architecture import Layer

SHARD_BYTES = 64 << 20
"""How many bytes make one data file of a checkpoint; until it is written they are in memory."""

VERSION = "3.8.0"
"""Version of Keras that the files claim to come from."""


def write_model(kind: str, nbytes: int, folder: Path, dtype: str = "float32", *, giant: bool = False) -> Path:
    """Write a model with about `nbytes` bytes of weights.

    Args:
        kind: One of `benchmarks.formats.ALL`, or ``small`` for a `.keras` file of 100 KB.
        nbytes: Bytes of its weights; the model has at most one layer more.
        folder: An empty directory.
        dtype: One of `benchmarks.formats.DTYPES`.
        giant: Whether one tensor has 4 GiB; if `nbytes` is less than 5 GB, the others have 0.1 GB.

    Returns:
        The model's path; for a checkpoint, its prefix.
    """
    layers = layers_of(nbytes * 4 // _itemsize(dtype))
    if giant:
        layers = with_giant(layers_of(max(100_000_000, nbytes - (4 << 30))))
    if kind == "small":
        kind, layers = "keras", small_layers()
    if kind == "saved-model":
        return _write_saved_model(folder / "model", layers)
    if kind == "checkpoint":
        return _write_checkpoint(folder / "model", layers, dtype)
    if kind.startswith("h5"):
        return _write_legacy(folder / "model.h5", layers, dtype, gzip=kind == "h5-gzip")
    weights = _write_weights(folder / "model.weights.h5", layers, dtype)
    if kind.startswith("keras"):
        return _write_archive(folder / "model.keras", weights, layers, deflated=kind == "keras-deflated")
    (folder / "architecture.json").write_text(model_config(layers))
    return weights


def _write_weights(path: Path, layers: Sequence[Layer], dtype: str) -> Path:
    """Write the Keras 3 layout: ``layers/dense_3/vars/0``."""
    with _new_hdf5(path) as file:
        for layer in layers:
            for number, shape in enumerate(layer.shapes.values()):
                name = f"layers/{layer.name}/vars/{number}"
                dataset = file.create_dataset(name, shape, _numpy_type(dtype))
                if dtype == "bfloat16":  # HDF5 has no such type: Keras stores opaque bytes, and names it.
                    dataset.attrs["dtype"] = dtype
        for layer, name, first, rows in pieces_of(layers):
            number = list(layer.shapes).index(name)
            dataset = file[f"layers/{layer.name}/vars/{number}"]
            _fill(dataset, first, rows, dtype)
    return path


def _write_archive(path: Path, weights: Path, layers: Sequence[Layer], *, deflated: bool) -> Path:
    """Pack a weights file, which is removed, with its configuration."""
    metadata = {"keras_version": VERSION, "date_saved": "2025-01-01@00:00:00"}
    method = zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method, compresslevel=1) as archive:
        archive.writestr("metadata.json", json.dumps(metadata))
        archive.writestr("config.json", model_config(layers))
        archive.write(weights, "model.weights.h5")
    weights.unlink()
    return path


def _write_legacy(path: Path, layers: Sequence[Layer], dtype: str, *, gzip: bool) -> Path:
    """Write the layout of Keras 1 and 2, with the configuration of Keras 3, as Keras 3 itself does."""
    packing: dict[str, Any] = {"chunks": True, "compression": "gzip", "compression_opts": 1} if gzip else {}
    with _new_hdf5(path) as file:
        file.attrs.update(keras_version=VERSION, backend="tensorflow", model_config=model_config(layers))
        root = file.create_group("model_weights")
        root.attrs.update(
            keras_version=VERSION, backend="tensorflow", layer_names=[layer.name.encode() for layer in layers]
        )
        for layer in layers:
            names = [f"{layer.name}/{name}".encode() for name in layer.shapes]
            group = root.create_group(layer.name)
            group.attrs["weight_names"] = names
            for name, shape in layer.shapes.items():
                group.create_dataset(f"{layer.name}/{name}", shape, _numpy_type(dtype), **packing)
        for layer, name, first, rows in pieces_of(layers):
            _fill(root[f"{layer.name}/{layer.name}/{name}"], first, rows, dtype)
    return path


def _write_checkpoint(prefix: Path, layers: Sequence[Layer], dtype: str) -> Path:
    """Save with TensorFlow's own operations, shard by shard, and merge the shards' indexes."""
    tf: Any = import_module("tensorflow")
    shards: list[str] = []
    waiting: dict[str, Any] = {}

    def save() -> None:
        shards.append(f"{prefix}-part-{len(shards)}")
        tf.raw_ops.SaveV2(
            prefix=shards[-1],
            tensor_names=list(waiting),
            shape_and_slices=[""] * len(waiting),
            tensors=list(waiting.values()),
        )
        waiting.clear()

    for layer, name, values in weights_of(layers):
        waiting[f"{layer.name}/{name}"] = values.astype(_numpy_type(dtype), copy=False)
        if sum(value.nbytes for value in waiting.values()) >= SHARD_BYTES:
            save()
    if waiting:
        save()
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=shards, destination_prefix=str(prefix))
    return prefix


def _write_saved_model(folder: Path, layers: Sequence[Layer]) -> Path:
    """Save a module with a module for each layer; TensorFlow needs all of them in memory."""
    tf: Any = import_module("tensorflow")
    root = tf.Module()
    for layer in layers:
        setattr(root, layer.name, tf.Module())
    for layer, name, values in weights_of(layers):
        setattr(getattr(root, layer.name), name, tf.Variable(values, name=f"{layer.name}/{name}"))
    tf.saved_model.save(root, str(folder))
    return folder


def write_resnet50(folder: Path) -> Path:
    """Let Keras build ResNet50 and save it: 25.6 million weights in 320 tensors."""
    keras: Any = import_module("keras")
    keras.utils.set_random_seed(0)
    path = folder / "resnet50.keras"
    keras.applications.ResNet50(weights=None).save(path)
    return path


def _fill(dataset: Any, first: int, rows: Any, dtype: str) -> None:
    dataset[first : first + len(rows)] = rows.astype(_numpy_type(dtype), copy=False)


def _numpy_type(dtype: str) -> Any:
    return getattr(import_module("ml_dtypes" if dtype == "bfloat16" else "numpy"), dtype)


def _itemsize(dtype: str) -> int:
    return 4 if dtype == "float32" else 2


def _new_hdf5(path: Path) -> Any:
    h5py: Any = import_module("h5py")
    return h5py.File(path, "w")


def main() -> None:
    """Write one model and print its path."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.models", description=__doc__)
    parser.add_argument("kind", choices=[*ALL, *MANY, "resnet50", "small"])
    parser.add_argument("size", type=float, help="MB; for many tensors, their number")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    parser.add_argument("--giant", action="store_true", help="one tensor has 4 GiB")
    options = parser.parse_args()
    if options.kind == "resnet50":
        path = write_resnet50(options.folder)
    elif options.kind in MANY:
        path = write_many(options.kind, int(options.size), options.folder)
    else:
        nbytes = int(options.size * 1e6)
        path = write_model(options.kind, nbytes, options.folder, options.dtype, giant=options.giant)
    print(path)


if __name__ == "__main__":
    main()
