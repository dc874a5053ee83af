"""Saving a model in every container of its framework."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

Save = Callable[[Any, Path], Path]
"""Saves a model below a directory and returns the path to audit."""


def _whole(suffix: str) -> Save:
    def save(model: Any, folder: Path) -> Path:
        model.save(folder / f"model{suffix}")
        return folder / f"model{suffix}"

    return save


def _weights(model: Any, folder: Path) -> Path:
    model.save_weights(folder / "model.weights.h5")
    return folder / "model.weights.h5"


def _sharded(model: Any, folder: Path) -> Path:
    # The unit is GB: shards of 16 kB.
    model.save_weights(folder / "sharded.weights.json", max_shard_size=1.6e-5)
    return folder / "sharded.weights.json"


def _export(model: Any, folder: Path) -> Path:
    model.export(folder / "exported", verbose=False)
    return folder / "exported"


def _checkpoint(model: Any, folder: Path) -> Path:
    import tensorflow as tf

    tf.train.Checkpoint(model=model).write(str(folder / "checkpoint"))
    return folder / "checkpoint"


def _saved_model(model: Any, folder: Path) -> Path:
    model.save(folder / "saved", save_format="tf")
    return folder / "saved"


KERAS3: dict[str, Save] = {
    ".keras": _whole(".keras"),
    ".h5": _whole(".h5"),
    ".weights.h5": _weights,
    "sharded": _sharded,
    "export": _export,
    "checkpoint": _checkpoint,
}
LEGACY: dict[str, Save] = {
    ".keras": _whole(".keras"),
    ".h5": _whole(".h5"),
    ".weights.h5": _weights,
    "SavedModel": _saved_model,
    "checkpoint": _checkpoint,
}


def write_config(archive: Path) -> Path:
    """Write the configuration of an archive beside it, and return its path."""
    path = archive.with_name("config.json")
    with zipfile.ZipFile(archive) as members:
        path.write_bytes(members.read("config.json"))
    return path
