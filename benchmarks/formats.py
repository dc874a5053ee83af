"""The formats that are measured. Nothing here imports numpy: see `benchmarks.timing`."""

from __future__ import annotations

DEFAULT = {
    "keras": "`.keras`",
    "h5": "`.h5`",
    "weights.h5": "`.weights.h5`",
    "checkpoint": "TensorFlow checkpoint",
}
"""Formats of every run, with their names in the tables."""

PACKED = {"keras-deflated": "`.keras`, deflated", "h5-gzip": "`.h5`, gzip chunks"}
"""Formats that take long to write and to unpack."""

ALL = DEFAULT | PACKED
