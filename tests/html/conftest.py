"""What tests of pages share: a browser, and pages of real audits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest

from tests.html.chromium import Chromium, find_chromium
from tests.html.pages import HOSTILE, audited

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    """A browser for the whole run; skips the tests that need one where there is none."""
    executable = find_chromium()
    if executable is None:
        pytest.skip("no Chromium or Chrome: install one, or set CHROMIUM to its path")
    with Chromium(executable) as browser:
        yield browser


@pytest.fixture
def browser(chromium: Chromium) -> Chromium:
    """The browser with a desktop's window, a light theme and nothing remembered."""
    chromium.size(1280, 900)
    chromium.prefer("light")
    return chromium


@pytest.fixture(scope="session")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for pages."""
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="session")
def broken(pages: Path, fixtures_dir: Path) -> Path:
    """The page of a model with NaN."""
    return audited(pages / "broken.html", fixtures_dir / "nan.keras")


@pytest.fixture(scope="session")
def overflowing(pages: Path, fixtures_dir: Path) -> Path:
    """The page of a model with a normalization that overflows in float16, and an optimizer."""
    return audited(pages / "overflowing.html", fixtures_dir / "overflow.keras")


@pytest.fixture(scope="session")
def healthy(pages: Path, fixtures_dir: Path) -> Path:
    """The page of a model without findings."""
    return audited(pages / "healthy.html", fixtures_dir / "healthy.keras")


@pytest.fixture(scope="session")
def several(pages: Path, fixtures_dir: Path) -> Path:
    """The page of three models, of which one cannot be read."""
    names = ("nan.keras", "healthy.keras", "notamodel.h5")
    return audited(pages / "several.html", *(fixtures_dir / name for name in names))


@pytest.fixture(scope="session")
def hostile(pages: Path) -> Path:
    """The page of a model whose layers have names that want to be markup, scripts and line ends."""
    path = pages / "hostile.weights.h5"
    kernel = np.random.default_rng(1).normal(0, 0.1, (8, 8)).astype(np.float32)
    kernel[0, 0] = np.nan
    with h5py.File(path, "w") as file:
        for name in HOSTILE:
            file.create_group(f"layers/{name}/vars")["0"] = kernel
    return audited(pages / "hostile.html", path)
