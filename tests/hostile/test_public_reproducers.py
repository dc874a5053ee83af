"""Public files that crash or hang libhdf5: none of them does more than end its own listing."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT
from tests.hostile.case import Case, Outcome
from tests.hostile.running import run


@pytest.fixture(scope="module")
def reproducers() -> list[Path]:
    """The HDF Group's reproducers; skips the test where there are none."""
    beside = CHECKOUT.parent / "shared" / "hdf5-cve"
    folder = Path(os.environ.get("WEIGHTAUDIT_HDF5_CVE") or beside)
    if not folder.is_dir():
        pytest.skip("no reproducers: set WEIGHTAUDIT_HDF5_CVE to a copy of github.com/HDFGroup/cve_hdf5")
    return sorted(
        path for path in folder.rglob("*") if path.is_file() and path.suffix in {".h5", ".hdf5", ""}
    )


SOUND = {"cve-2024-32607-1.h5": "3 of 3 tensors"}
"""Models that are whole but for an attribute that is never read."""


def test_public_reproducers(reproducers: list[Path], tmp_path: Path) -> None:
    """Each ends within 5 s of processor time and 300 MB, without a traceback, and is refused or whole."""
    case = Case("reproducer", lambda folder: folder / "x.h5", Outcome.REFUSED, "not audited")
    for number, path in enumerate(reproducers):
        place = tmp_path / str(number)
        place.mkdir()

        def copy(folder: Path, path: Path = path) -> Path:
            return Path(shutil.copyfile(path, folder / "x.h5"))

        mine = dataclasses.replace(case, make=copy)
        if path.name in SOUND:
            mine = dataclasses.replace(mine, outcome=Outcome.READ, says=SOUND[path.name])
        result = run(mine, place)
        assert not list(result.faults(mine)), f"{path.name}: {result.report}{result.errors}"
