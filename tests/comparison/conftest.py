"""Models made of arrays, without a file: a catalog whose tensors hold their bytes themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from weightaudit.catalog import Catalog, Entry, Inline, Layout, Storage
from weightaudit.checkpoint import Checkpoint
from weightaudit.formats import Kind, Opened
from weightaudit.source import Files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray


def entry(key: str, values: NDArray[Any], dtype: str = "", storage: Storage | None = None) -> Entry:
    """Return a stored tensor of these values; `dtype` names a type that numpy lacks."""
    swapped = values.dtype.byteorder == ">"
    held = Inline(values.tobytes()) if storage is None else storage
    return Entry(key, values.shape, dtype or values.dtype.newbyteorder("=").name, held, swapped)


@dataclass(frozen=True)
class Models:
    """Makes open models, all of them above one open folder that has no files."""

    files: Files

    def __call__(
        self,
        tensors: Mapping[str, NDArray[Any] | Entry],
        layout: Layout = Layout.TENSORFLOW,
        **catalog: Any,
    ) -> Checkpoint:
        """Return an open model with these tensors, by key."""
        entries = tuple(
            value if isinstance(value, Entry) else entry(key, value) for key, value in tensors.items()
        )
        found = Catalog("test model", layout, entries, **catalog)
        return Checkpoint(Opened(self.files, found, Kind.BUNDLE, "model"))


@pytest.fixture
def model(tmp_path: Path) -> Iterator[Models]:
    """Makes open models from arrays."""
    with Files(tmp_path) as files:
        yield Models(files)


def normal(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    """Return seeded noise."""
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
