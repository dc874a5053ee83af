"""What lies beside a hostile input, as bait: files that it tries to have read or changed."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING

import h5py
import numpy as np

from tests.formats.tensorflow_files import entry, header, masked_crc, write_bundle

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


@cache
def weights(rows: int = 16, columns: int = 16) -> NDArray[np.float32]:
    """Return a kernel as a healthy model has it, the same every time."""
    spread = np.sqrt(2.0 / (rows + columns))
    return np.random.default_rng(7).normal(0.0, spread, (rows, columns)).astype(np.float32)


def make_canary(folder: Path) -> None:
    """Fill a folder with models that are in order, a secret, and a pipe that nobody writes to."""
    folder.mkdir()
    (folder / "secret.txt").write_text("a secret\n" * 100)
    (folder / "secret.bin").write_bytes(weights().tobytes())
    with h5py.File(folder / "secret.h5", "w") as file:
        file["layers/dense/vars/0"] = weights()
        file["x"] = weights()
    data = weights().tobytes()
    item = entry("a", (16, 16), nbytes=len(data), crc=masked_crc(data))
    write_bundle(folder, [header(), item], data)
    os.mkfifo(folder / "pipe")
