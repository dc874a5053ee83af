"""HDF5's filters are undone as libhdf5 undoes them, and damage under them is noticed."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest

from weightaudit.engine.filters import undo
from weightaudit.errors import ReadError

if TYPE_CHECKING:
    from pathlib import Path


def _chunk(path: Path, values: np.ndarray, **options: object) -> tuple[np.ndarray, tuple[str, ...]]:
    with h5py.File(path, "w") as file:
        dataset = file.create_dataset("x", data=values, chunks=values.shape, **options)
        _, raw = dataset.id.read_direct_chunk((0,) * values.ndim)
        names = {1: "deflate", 2: "shuffle", 3: "fletcher32"}
        plist = dataset.id.get_create_plist()
        filters = tuple(names[plist.get_filter(i)[0]] for i in range(plist.get_nfilters()))
    return np.frombuffer(raw, np.uint8), filters


@pytest.mark.parametrize("options", [{"compression": "gzip"}, {"shuffle": True}, {"fletcher32": True}])
@pytest.mark.parametrize("more", [{}, {"shuffle": True, "fletcher32": True, "compression": "gzip"}])
@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", "u1"])
def test_round_trip(tmp_path: Path, options: dict[str, object], more: dict[str, object], dtype: str) -> None:
    """What libhdf5 packed with any mix of filters unpacks to the same bytes."""
    values = (np.random.default_rng(0).normal(size=(7, 13)) * 100).astype(dtype)
    raw, filters = _chunk(tmp_path / "x.h5", values, **(options | more))
    assert undo(raw, filters, values.nbytes, values.itemsize, "x").tobytes() == values.tobytes()


def test_flipped_bit_under_a_checksum(tmp_path: Path) -> None:
    """Every flipped bit of a chunk with a Fletcher-32 checksum is noticed."""
    raw, filters = _chunk(tmp_path / "x.h5", np.arange(50.0), fletcher32=True)
    for byte in range(raw.size):
        damaged = raw.copy()
        damaged[byte] ^= 16
        with pytest.raises(ReadError, match="Fletcher-32"):
            undo(damaged, filters, 400, 8, "x")


def test_deflate_bomb_is_cut_off(tmp_path: Path) -> None:
    """A chunk that inflates to more than its shape allows is refused without inflating all of it."""
    raw, _ = _chunk(tmp_path / "x.h5", np.zeros(1 << 20), compression="gzip")
    with pytest.raises(ReadError, match="does not inflate"):
        undo(raw, ("deflate",), 1000, 8, "x")


def test_damaged_deflate(tmp_path: Path) -> None:
    """A chunk that is not valid deflate data is an error that names the tensor."""
    raw, _ = _chunk(tmp_path / "x.h5", np.arange(100.0), compression="gzip")
    with pytest.raises(ReadError, match=r"^x has a chunk"):
        undo(raw[: raw.size // 2].copy(), ("deflate",), 800, 8, "x")


def test_deflate_without_its_end() -> None:
    """A stream that lost the checksum at its end is refused, though all its numbers are there."""
    packed = zlib.compress(bytes(400))
    for cut in (1, 4):
        with pytest.raises(ReadError, match="does not inflate"):
            undo(np.frombuffer(packed[:-cut], np.uint8), ("deflate",), 400, 4, "x")
