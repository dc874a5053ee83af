"""What our parser of HDF5 and libhdf5 list, in one form, and HDF5 files to compare them on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from weightaudit.formats import hdf5_native, lister
from weightaudit.formats.zip_archive import STORED, list_members
from weightaudit.limits import DEFAULT_LIMITS
from weightaudit.source import LocalFile

if TYPE_CHECKING:
    from pathlib import Path

    from weightaudit.limits import Limits


def ours(path: Path, limits: Limits = DEFAULT_LIMITS) -> Any:
    """Return what our parser lists; raises whatever it raises."""
    file = LocalFile(path)
    try:
        base, size = _place(file)
        reader = hdf5_native.Reader(file.read, base, size, limits.max_metadata, limits.timeout)
        # The other process answers in JSON, which knows no tuples.
        return json.loads(json.dumps(hdf5_native.list_natively(reader, limits)))
    finally:
        file.close()


def theirs(path: Path, limits: Limits = DEFAULT_LIMITS) -> Any:
    """Return what the confined process lists with libhdf5, or its error."""
    file = LocalFile(path)
    try:
        return lister.ask_lister(file, *_place(file), limits)
    finally:
        file.close()


def _place(file: LocalFile) -> tuple[int, int]:
    """Return where the HDF5 data of a file begins, and its length."""
    if file.read(0, 4) != b"PK\x03\x04":
        return 0, file.size
    weights = list_members(file)["model.weights.h5"]
    assert weights.method == STORED
    return weights.offset, weights.size


def write_sample(path: Path) -> None:
    """Write an HDF5 file with something of everything that our parser knows."""
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = "2.1"
        file.attrs["model_config"] = "{}" * 100
        file.attrs["layer_names"] = [b"a", b"bc"]
        for number in range(12):
            group = file.create_group(f"layers/d{number}/vars")
            group.attrs["name"] = f"dense_{number}"
            group["0"] = np.ones((2, 3), "f4")
            group["1"] = np.ones(2, ">f8")
        file["bool"] = np.ones(3, bool)
        file["text"] = ["x", "yy"]
        file["opaque"] = np.zeros(3, "V2")
        file["opaque"].attrs["dtype"] = "bfloat16"
        options = {"compression": "gzip", "shuffle": True, "fillvalue": 2.0}
        file.create_dataset("chunks", data=np.ones((9, 9)), chunks=(2, 2), **options)
        file.create_dataset("unwritten", shape=(3,), dtype="i4", fillvalue=7)
