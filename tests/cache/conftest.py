"""A store and a model for the tests of the cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.cache.models import Model, require_disk, write
from weightaudit.cache import Store

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store, whose directory is not there yet."""
    return Store(tmp_path / "cache")


@pytest.fixture
def model(tmp_path: Path) -> Model:
    """Three tensors: a kernel, a bias of zeros, and one of two million elements."""
    require_disk(tmp_path)
    rng = np.random.default_rng(0)
    arrays = {
        "kernel": rng.normal(0, 0.1, (40, 30)).astype(np.float32),
        "bias": np.zeros(30, np.float32),
        "large": rng.normal(0, 0.1, (2_000, 1_000)).astype(np.float32),
    }
    return write(tmp_path / "model", arrays)
