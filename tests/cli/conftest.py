"""Runs the command line as users do: as a process of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Result:
    """What a process left behind."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class CommandLine:
    """Runs `python -m weightaudit` in a directory."""

    cwd: Path

    def __call__(self, *arguments: str | Path, env: Mapping[str, str] | None = None) -> Result:
        """Run it, with further environment variables; a path of modules is put before the one inherited."""
        done = subprocess.run(
            [sys.executable, "-m", "weightaudit", *map(str, arguments)],
            cwd=self.cwd,
            env=environment(env or {}),
            capture_output=True,
            check=False,
            timeout=120,
        )
        return Result(done.returncode, done.stdout.decode(), done.stderr.decode())


def environment(changes: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a test's process."""
    env = {**os.environ, **changes}
    env.pop("FORCE_COLOR", None)
    paths = [changes.get("PYTHONPATH", ""), os.environ.get("PYTHONPATH", "")]
    return {**env, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}


@pytest.fixture
def cli(tmp_path: Path) -> CommandLine:
    """The command line, in an empty directory."""
    return CommandLine(tmp_path)


@pytest.fixture
def plugin(tmp_path: Path) -> dict[str, str]:
    """An environment in which modules of `tmp_path/plugins` can be imported."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    return {"PYTHONPATH": str(folder)}


@pytest.fixture(scope="session")
def team_rules() -> Path:
    """A third party's package of rules and projections, as the documentation has it."""
    return Path(__file__).resolve().parents[2] / "docs/example-package"


@pytest.fixture
def folder(cli: CommandLine, fixtures_dir: Path) -> Path:
    """A copy of the small models, which is the working directory."""
    shutil.copytree(fixtures_dir, cli.cwd, dirs_exist_ok=True)
    return cli.cwd


@pytest.fixture
def run(cli: CommandLine, folder: Path) -> CommandLine:
    """CommandLines the command line in that folder."""
    assert cli.cwd == folder
    return cli


@pytest.fixture
def model(cli: CommandLine, fixtures_dir: Path) -> Path:
    """A model in a directory of its own; the command line runs in the directory above."""
    (cli.cwd / "models").mkdir()
    return Path(shutil.copy(fixtures_dir / "healthy.keras", cli.cwd / "models" / "m.keras"))
