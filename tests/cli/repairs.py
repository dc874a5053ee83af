"""What tests of `weightaudit repair` share: models, a projection, and a look at the outcome."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from weightaudit import open_checkpoint
from weightaudit.digests import tensor_digests

PROJECT = ("--project", "max_norm(0.4, axis=(0, 1, 2))", "--on", "stem/kernel")
MODELS = (
    "healthy.keras",
    "deflated.keras",
    "hdf5.keras",
    "legacy.h5",
    "gzip.h5",
    "plain.weights.h5",
    "sharded.weights.json",
)
"""Models with the layer ``stem``; further kinds are in `OTHERS`."""

OTHERS = ("bfloat16.keras", "exported", "checkpoint/ckpt-1")


def digests(path: Path) -> dict[str, str | None]:
    """Return the digest of every tensor of a model."""
    with open_checkpoint(path) as checkpoint:
        return tensor_digests(checkpoint)


def norms(path: Path) -> Any:
    """Return the norms of the filters of the first convolution."""
    with open_checkpoint(path) as checkpoint:
        kernel = checkpoint.read("stem/kernel").astype(np.float64)
    return np.sqrt((kernel**2).sum(axis=(0, 1, 2)))
