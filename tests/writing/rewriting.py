"""Writes copies of models with new values, and says which bytes of a file became other ones."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.catalog import Extent, Tiles
from weightaudit.checkpoint import Checkpoint, open_checkpoint
from weightaudit.digests import tensor_digests
from weightaudit.dtypes import itemsize, kind_of
from weightaudit.writing import Edit, ModelFiles, write_model

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from weightaudit.tensor import TensorInfo

    Values = Mapping[str, NDArray[Any]]


def edit(values: NDArray[Any], step: int = 1000) -> Edit:
    """Give the bytes of an array in pieces of some elements."""
    flat = np.ascontiguousarray(values).reshape(-1)

    def pieces() -> Iterator[tuple[int, NDArray[np.uint8]]]:
        for first in range(0, flat.size, step):
            yield first, flat[first : first + step].view(np.uint8)

    return pieces


def rewrite(path: Path, into: Path, values: Values, **options: Any) -> ModelFiles:
    """Write a copy of a model in which some tensors, given by name, have other values."""
    into.mkdir(exist_ok=True)
    with open_checkpoint(path) as checkpoint:
        return write_model(checkpoint, {name: edit(new) for name, new in values.items()}, into, **options)


def random_values(info: TensorInfo, generator: np.random.Generator) -> NDArray[Any]:
    """Return finite values that fit a tensor; for types that numpy lacks, words of random bits."""
    if kind_of(info.dtype) == "float" and info.dtype.startswith("float") and "_" not in info.dtype:
        return generator.normal(size=info.shape).astype(info.dtype)
    if kind_of(info.dtype) in {"int", "uint"}:
        return generator.integers(0, 100, info.shape).astype(info.dtype)
    if info.dtype == "bfloat16":
        return (generator.normal(size=info.shape).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    return generator.integers(0, 2, (*info.shape, itemsize(info.dtype)), np.uint8)


def numbers(checkpoint: Checkpoint) -> list[TensorInfo]:
    """Return the tensors that can be changed and have elements."""
    return [info for info in checkpoint if info.is_numeric and info.size]


def assert_only_changed(before: Path, after: Path, values: Values) -> None:
    """Assert that our reader finds the new values, and every other tensor as it was."""
    with open_checkpoint(before) as old, open_checkpoint(after) as new:
        assert [info.name for info in new] == [info.name for info in old]
        assert new.defects == old.defects
        digests, expected = tensor_digests(new), tensor_digests(old)
        assert {name: digest for name, digest in digests.items() if name not in values} == {
            name: digest for name, digest in expected.items() if name not in values
        }
        for name, wanted in values.items():
            assert new.read_stored(name) == wanted.tobytes(), name


def other_bytes(before: bytes, after: bytes) -> set[int]:
    """Return the positions at which two files of one length differ."""
    assert len(before) == len(after)
    left, right = np.frombuffer(before, np.uint8), np.frombuffer(after, np.uint8)
    return {int(place) for place in np.flatnonzero(left != right)}


def stored_at(checkpoint: Checkpoint, name: str) -> set[int]:
    """Return the positions of the stored bytes of a tensor in its file."""
    places: set[int] = set()
    for entry in checkpoint.entries(checkpoint[name]):
        storage = entry.storage
        tiles = [tile.extent for tile in storage.tiles] if isinstance(storage, Tiles) else [storage]
        for extent in tiles:
            assert isinstance(extent, Extent)
            places.update(range(extent.offset, extent.offset + extent.nbytes))
    return places


def record_of(message: str) -> bytes:
    """Return what is taken for a record of ours, with a message in it."""
    fields = ("format", "model", "version", "container", "tensors", "changes")
    return json.dumps({**dict.fromkeys(fields), "message": message}).encode()
