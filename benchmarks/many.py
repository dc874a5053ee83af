"""Models of very many small tensors: pairs of an 8 x 4 kernel and a bias."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

SHAPES = {"kernel": (8, 4), "bias": (4,)}
SHARD_TENSORS = 10_000
"""How many tensors TensorFlow saves with one operation."""


def write_many(kind: str, count: int, folder: Path) -> Path:
    """Write a model with `count` tensors, or one more if it is odd.

    Args:
        kind: One of `benchmarks.formats.MANY`.
        count: Number of tensors.
        folder: An empty directory.

    Returns:
        The model's path; for a checkpoint, its prefix.
    """
    layers = [f"dense_{number}" for number in range((count + 1) // 2)]
    if kind == "many-h5":
        return _write_weights(folder / "model.weights.h5", layers)
    return _write_checkpoint(folder / "model", layers, with_graph=kind == "many-graph")


def _values(generator: np.random.Generator, name: str) -> NDArray[np.float32]:
    return generator.standard_normal(SHAPES[name], dtype=np.float32) * np.float32(0.3)


def _write_weights(path: Path, layers: Sequence[str]) -> Path:
    h5py: Any = import_module("h5py")
    generator = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        for layer in layers:
            group = file.create_group(f"layers/{layer}/vars")
            for number, name in enumerate(SHAPES):
                group.create_dataset(str(number), data=_values(generator, name))
    return path


def _write_checkpoint(prefix: Path, layers: Sequence[str], *, with_graph: bool) -> Path:
    """Save as `tf.train.Checkpoint` does, or under plain names as TensorFlow 1 did."""
    tf: Any = import_module("tensorflow")
    ending = "/.ATTRIBUTES/VARIABLE_VALUE" if with_graph else ""
    generator = np.random.default_rng(0)
    tensors: list[tuple[str, Any]] = [
        (f"{layer}/{name}{ending}", _values(generator, name)) for layer in layers for name in SHAPES
    ]
    if with_graph:
        tensors.append(("_CHECKPOINTABLE_OBJECT_GRAPH", tf.constant(_object_graph(layers, ending))))
    shards: list[str] = []
    for first in range(0, len(tensors), SHARD_TENSORS):
        names, values = zip(*tensors[first : first + SHARD_TENSORS], strict=True)
        shards.append(f"{prefix}-part-{len(shards)}")
        tf.raw_ops.SaveV2(
            prefix=shards[-1], tensor_names=names, shape_and_slices=[""] * len(names), tensors=values
        )
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=shards, destination_prefix=str(prefix))
    return prefix


def _object_graph(layers: Sequence[str], ending: str) -> bytes:
    """Return the message that names the objects of a checkpoint: a root, its layers, their variables."""
    protobuf: Any = import_module("tensorflow.core.protobuf.trackable_object_graph_pb2")
    graph = protobuf.TrackableObjectGraph()
    root = graph.nodes.add()
    for layer in layers:
        root.children.add(node_id=len(graph.nodes), local_name=layer)
        node = graph.nodes.add()
        for name in SHAPES:
            node.children.add(node_id=len(graph.nodes), local_name=name)
            variable = graph.nodes.add().attributes.add()
            variable.name, variable.full_name = "VARIABLE_VALUE", f"{layer}/{name}"
            variable.checkpoint_key = f"{layer}/{name}{ending}"
    return bytes(graph.SerializeToString())
