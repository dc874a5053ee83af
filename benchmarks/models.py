"""Writes the models to be audited, weight by weight.

``python -m benchmarks.models FORMAT MEGABYTES FOLDER`` does so in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import zipfile
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.architecture import layers_of, model_config, weights_of
from benchmarks.formats import ALL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.architecture import Layer

SHARD_BYTES = 64 << 20
"""How many bytes make one data file of a checkpoint; until it is written they are in memory."""

VERSION = "3.8.0"
"""Version of Keras that the files claim to come from."""


def write_model(kind: str, nbytes: int, folder: Path) -> Path:
    """Write a model with about `nbytes` bytes of float32 weights.

    Args:
        kind: One of `benchmarks.formats.ALL`.
        nbytes: Bytes of its weights; the model has at most one layer more.
        folder: An empty directory.

    Returns:
        The model's path; for a checkpoint, its prefix.
    """
    layers = layers_of(nbytes)
    if kind == "checkpoint":
        return _write_checkpoint(folder / "model", layers)
    if kind.startswith("h5"):
        return _write_legacy(folder / "model.h5", layers, gzip=kind == "h5-gzip")
    weights = _write_weights(folder / "model.weights.h5", layers)
    if kind.startswith("keras"):
        return _write_archive(folder / "model.keras", weights, layers, deflated=kind == "keras-deflated")
    (folder / "architecture.json").write_text(model_config(layers))
    return weights


def _write_weights(path: Path, layers: Sequence[Layer]) -> Path:
    """Write the Keras 3 layout: ``layers/dense_3/vars/0``."""
    with _new_hdf5(path) as file:
        for layer, name, values in weights_of(layers):
            number = list(layer.shapes).index(name)
            file.create_dataset(f"layers/{layer.name}/vars/{number}", data=values)
    return path


def _write_archive(path: Path, weights: Path, layers: Sequence[Layer], *, deflated: bool) -> Path:
    """Pack a weights file, which is removed, with its configuration."""
    metadata = {"keras_version": VERSION, "date_saved": "2025-01-01@00:00:00"}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED) as archive:
        archive.writestr("metadata.json", json.dumps(metadata))
        archive.writestr("config.json", model_config(layers))
        archive.write(weights, "model.weights.h5")
    weights.unlink()
    return path


def _write_legacy(path: Path, layers: Sequence[Layer], *, gzip: bool) -> Path:
    """Write the layout of Keras 1 and 2, with the configuration of Keras 3, as Keras 3 itself does."""
    packing: dict[str, Any] = {"chunks": True, "compression": "gzip"} if gzip else {}
    with _new_hdf5(path) as file:
        file.attrs.update(keras_version=VERSION, backend="tensorflow", model_config=model_config(layers))
        root = file.create_group("model_weights")
        root.attrs.update(
            keras_version=VERSION, backend="tensorflow", layer_names=[layer.name.encode() for layer in layers]
        )
        for layer in layers:
            names = [f"{layer.name}/{name}".encode() for name in layer.shapes]
            root.create_group(layer.name).attrs["weight_names"] = names
        for layer, name, values in weights_of(layers):
            root[layer.name].create_dataset(f"{layer.name}/{name}", data=values, **packing)
    return path


def _write_checkpoint(prefix: Path, layers: Sequence[Layer]) -> Path:
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
        waiting[f"{layer.name}/{name}"] = values
        if sum(value.nbytes for value in waiting.values()) >= SHARD_BYTES:
            save()
    if waiting:
        save()
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=shards, destination_prefix=str(prefix))
    return prefix


def _new_hdf5(path: Path) -> Any:
    h5py: Any = import_module("h5py")
    return h5py.File(path, "w")


def main() -> None:
    """Write one model and print its path."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.models", description=__doc__)
    parser.add_argument("format", choices=ALL)
    parser.add_argument("megabytes", type=float)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    print(write_model(options.format, int(options.megabytes * 1e6), options.folder))


if __name__ == "__main__":
    main()
