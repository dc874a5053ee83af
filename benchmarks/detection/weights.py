"""The stored numbers of a clean model, from which faults choose what they hurt."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit import open_checkpoint
from weightaudit.catalog import Extent
from weightaudit.tensor import MATRIX_ROLES, Role
from weightaudit.writing import write_model

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from benchmarks.detection.models import Model
    from weightaudit.checkpoint import Checkpoint
    from weightaudit.tensor import TensorInfo

STORED = {"float16": "<f2", "float32": "<f4", "float64": "<f8", "int8": "<i1", "int32": "<i4", "int64": "<i8"}
"""Storage types that numpy knows; tensors of others, and big-endian ones, are left alone."""

ADDED = frozenset({Role.BIAS, Role.NORM_SCALE, Role.NORM_OFFSET})
"""Roles of vectors that inference reads and training changes."""


@dataclass(frozen=True)
class Weights:
    """What a model stores.

    Attributes:
        infos: Its tensors by name.
        arrays: Their stored numbers, read-only, by name.
        places: Where in its file each one that lies in one piece begins, in bytes.
        early: Numbers from earlier in the same training, by name.
    """

    infos: Mapping[str, TensorInfo]
    arrays: Mapping[str, NDArray[Any]]
    places: Mapping[str, int] = field(default_factory=dict[str, int])
    early: Mapping[str, NDArray[Any]] = field(default_factory=dict[str, Any])

    def named(self, *roles: Role, least: int = 1) -> list[str]:
        """Return the names of floating point tensors of some roles with at least so many elements."""
        return [
            name
            for name, array in self.arrays.items()
            if self.infos[name].role in roles and array.size >= least and array.dtype.kind == "f"
        ]

    def kernels(self, least: int = 64) -> list[str]:
        """Return the names of what is multiplied with activations."""
        return self.named(*sorted(MATRIX_ROLES), least=least)

    def parameters(self, least: int = 1) -> list[str]:
        """Return the names of what training changes and inference reads."""
        return self.named(*sorted(MATRIX_ROLES | ADDED), least=least)

    def pairs(self) -> list[tuple[str, str]]:
        """Return the pairs of kernels of one shape, type and role in different layers."""
        kernels = self.kernels()
        return [
            (one, other)
            for number, one in enumerate(kernels)
            for other in kernels[number + 1 :]
            if self.arrays[one].shape == self.arrays[other].shape
            and self.arrays[one].dtype == self.arrays[other].dtype
            and self.infos[one].role is self.infos[other].role
            and self.infos[one].layer != self.infos[other].layer
        ]

    def siblings(self, name: str) -> list[str]:
        """Return the names of the other tensors of its layer."""
        layer = self.infos[name].layer
        return [
            other for other in self.arrays if layer and other != name and self.infos[other].layer == layer
        ]


def load(model: Model) -> Weights:
    """Read everything that a model stores and numpy can hold."""
    early: dict[str, NDArray[Any]] = {}
    if model.early is not None:
        with open_checkpoint(model.early) as checkpoint:
            early = dict(_arrays(checkpoint))
    with open_checkpoint(model.path) as checkpoint:
        infos = {info.name: info for info in checkpoint}
        places = {
            info.name: storage.offset
            for info in checkpoint
            if isinstance(storage := checkpoint.entry(info).storage, Extent)
        }
        return Weights(infos, dict(_arrays(checkpoint)), places, early)


def _arrays(checkpoint: Checkpoint) -> Iterator[tuple[str, NDArray[Any]]]:
    for info in checkpoint:
        entry = checkpoint.entry(info)
        if entry.dtype in STORED and not entry.big_endian and 0 not in entry.shape:
            stored = np.frombuffer(checkpoint.read_stored(info.name), STORED[entry.dtype])
            yield info.name, stored.reshape(entry.shape)


def write(model: Model, changes: Mapping[str, NDArray[Any]], into: Path) -> Path:
    """Write a copy of a model with other numbers, whose checksums are right, and return its path.

    Args:
        model: The model.
        changes: New numbers by name, of the stored shape and type.
        into: An empty directory.

    Raises:
        WriteError: A tensor cannot be changed.
    """

    def edit(array: NDArray[Any]) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        yield 0, np.frombuffer(array.tobytes(), np.uint8)

    with open_checkpoint(model.path) as checkpoint:
        edits = {name: lambda array=array: edit(array) for name, array in changes.items()}
        return write_model(checkpoint, edits, into).path
