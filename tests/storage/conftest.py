"""Where an old model is, and where a new one comes from."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """The directory that the old model is in."""
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The directory that the new model comes from."""
    (tmp_path / "source").mkdir()
    return tmp_path / "source"
