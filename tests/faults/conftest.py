"""The process that runs scenarios, and a fast place for their worlds."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.harness import ForkServer
from tests.faults.models import CHECKOUT

_INSIDE = "WEIGHTAUDIT_TEST_HAS_OWN_MOUNTS"


@pytest.fixture(scope="session")
def server() -> Iterator[ForkServer]:
    """The process that forks for each run."""
    with ForkServer() as server:
        yield server


@pytest.fixture
def worlds() -> Iterator[Path]:
    """An empty directory, in memory where that is possible: hundreds of worlds are made in it."""
    memory = Path("/dev/shm")  # noqa: S108 - a directory of a random name is made in it
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        os.chmod(folder, 0o755)  # noqa: S103, PTH101 - runs of other users look into it
        yield Path(folder)


@pytest.fixture
def has_own_mounts(request: pytest.FixtureRequest) -> Callable[[], bool]:
    """Says whether this process may mount what it likes, which nobody else sees.

    If it may not, the test is run again by one that may, and there is nothing left to do.
    """

    def run_again() -> bool:
        if _INSIDE in os.environ:
            return True
        unshare = shutil.which("unshare")
        probe = [unshare or "", "-m", "mount", "-t", "tmpfs", "none", "/mnt"]
        if unshare is None or subprocess.run(probe, capture_output=True, check=False).returncode:
            pytest.skip("needs unshare, and the right to mount")
        test = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", request.node.nodeid]
        done = subprocess.run(
            [unshare, "-m", *test],
            cwd=CHECKOUT,
            env={**os.environ, _INSIDE: "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout
        return False

    return run_again
