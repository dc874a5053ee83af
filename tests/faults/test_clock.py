"""A clock that jumps by decades whenever it is asked changes nothing but the dates in records."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.commands import MEND
from tests.faults.models import CHECKOUT, FIXTURES
from tests.faults.scenarios import look
from weightaudit.storage.staging import SUFFIX


@pytest.fixture
def jumping(tmp_path: Path) -> dict[str, str]:
    """The environment of a process whose clock jumps."""
    compiler, library = shutil.which("cc"), tmp_path / "clock.so"
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs a C compiler, and Linux")
    source = Path(__file__).with_name("clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    paths = os.pathsep.join(map(str, (CHECKOUT, CHECKOUT / "rules")))
    return {**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": paths}


def test_a_clock_that_jumps(jumping: dict[str, str], tmp_path: Path) -> None:
    """Commit, repair, restore, prune, cache and verification do what they do with any other clock."""
    here = tmp_path / "here"
    here.mkdir()
    shutil.copyfile(FIXTURES / "healthy.keras", here / "m.keras")
    before = look(here / "m.keras")

    def run(*arguments: str) -> str:
        command = [sys.executable, "-m", "weightaudit", *arguments]
        done = subprocess.run(
            command, cwd=here, env=jumping, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, (arguments, done.stderr)
        return done.stdout

    shows = [sys.executable, "-c", "import time; print(abs(time.time() - time.time()) > 1e9)"]
    assert subprocess.check_output(shows, env=jumping, text=True) == "True\n"
    run("commit", "m.keras", "-m", "as trained")
    run("repair", "m.keras", "--in-place", *MEND)
    assert look(here / "m.keras") != before
    assert run("check", "m.keras", "--no-progress") == run("check", "m.keras", "--no-progress")
    run("versions", "restore", "m.keras@1", "m.keras")
    assert look(here / "m.keras") == before
    run("versions", "prune", "m.keras", "--keep", "1")
    run("versions", "verify")
    assert not [path for path in here.rglob("*") if SUFFIX in path.name]
    records = (here / ".weightaudit" / "m.keras").glob("*/weightaudit.json")
    assert all(json.loads(path.read_text())["created"].endswith("Z") for path in records)
