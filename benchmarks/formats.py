"""The models that are measured. Nothing here imports numpy: see `benchmarks.timing`."""

from __future__ import annotations

FLOAT32 = {
    "saved-model": "SavedModel",
    "checkpoint": "TensorFlow checkpoint",
    "keras": "`.keras`",
    "h5": "`.h5`",
}
"""Formats whose audit is compared to reading, with their names in the tables."""

HALF = ("keras", "h5", "checkpoint")
"""Formats that are measured in float16 and bfloat16 too."""

USUAL = FLOAT32 | {"weights.h5": "`.weights.h5`"}
"""Formats that are compared to the usual ways of looking at them."""

PACKED = {"h5-gzip": "`.h5`, gzip chunks", "keras-deflated": "`.keras`, deflated"}
"""Formats whose audit is compared to inflating; they take longest to write."""

MANY = {
    "many-graph": "checkpoint, object graph",
    "many-names": "checkpoint, plain names",
    "many-h5": "`.weights.h5`",
}
"""Models of many small tensors; their size is a number of tensors."""

ALL = USUAL | PACKED
DTYPES = ("float32", "float16", "bfloat16")
