"""Where tests find models: the small ones of this repository, and collections that may lie beside it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]

# The cache of whoever runs the tests is not theirs to fill.
os.environ["WEIGHTAUDIT_CACHE"] = ""

# TensorFlow writes this directory even if nothing is in it, and git does not keep it.
(CHECKOUT / "fixtures" / "models" / "exported" / "assets").mkdir(exist_ok=True)


@pytest.fixture(scope="session")
def fixtures_dir() -> Path:
    """The small models that ``fixtures/make.py`` builds; every checkout has them."""
    folder = CHECKOUT / "fixtures" / "models"
    if not folder.is_dir():
        pytest.skip("fixtures/models is missing; build it with: python fixtures/make.py")
    return folder


@pytest.fixture(scope="session")
def corpus() -> Path:
    """A folder of real models with a ``manifest.tsv``; skips the test where there is none."""
    folder = Path(os.environ.get("WEIGHTAUDIT_CORPUS") or CHECKOUT.parent / "shared" / "models")
    if not (folder / "manifest.tsv").is_file():
        pytest.skip("no folder of real models: set WEIGHTAUDIT_CORPUS to one with a manifest.tsv")
    return folder


@pytest.fixture(scope="session")
def zoo() -> Path:
    """A folder of models saved by many framework versions; skips the test where there is none."""
    folder = CHECKOUT.parent / "shared" / "zoo"
    if not folder.is_dir():
        pytest.skip("no folder of models of many framework versions: ../shared/zoo does not exist")
    return folder
