"""`docs/projections.md` does what it says: its code blocks are run as they stand."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import environment
from tests.pages import code_blocks
from weightaudit.projections import load_projections
from weightaudit.projections.catalogue import ENTRY_POINT_GROUP

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "projections.md").read_text("utf-8")


@pytest.fixture
def here(cli: CommandLine, fixtures_dir: Path) -> dict[str, str]:
    """An environment in which the command line's directory holds the page's modules, and a model."""
    use, projection, test = code_blocks(TEXT, "python")
    (cli.cwd / "use.py").write_text(use)
    (cli.cwd / "team_projections.py").write_text(projection)
    (cli.cwd / "test_team_projections.py").write_text(test)
    shutil.copy(fixtures_dir / "healthy.keras", cli.cwd / "model.keras")
    return {"PYTHONPATH": "."}


def test_the_python_runs(cli: CommandLine, here: dict[str, str]) -> None:
    """The functions do what the page asserts, and the page's projection passes the page's test."""
    code = "import use, test_team_projections as page; page.test_drop_small()"
    subprocess.run([sys.executable, "-c", code], cwd=cli.cwd, env=environment(here), check=True)


def test_the_commands_work(cli: CommandLine, here: dict[str, str]) -> None:
    """The page's command lines plan a repair, and make one with the page's projection."""
    plan, own = code_blocks(TEXT, "sh")
    program, *arguments = shlex.split(plan)
    planned = cli(*arguments)
    assert (program, planned.code) == ("weightaudit", 0), planned.err
    assert "stem/kernel: max_norm(max_value=0.5, axis=(0, 1, 2))" in planned.out
    variable, program, *arguments = shlex.split(own)
    assert (variable, program) == ("PYTHONPATH=.", "weightaudit")
    done = cli(*arguments, env=here)
    assert done.code == 0, done.err
    assert "drop_small(limit=0.01)" in done.out
    assert (cli.cwd / "small.keras").is_file()
    assert "limit: a number; default 0.001" in cli("explain", "drop_small", *arguments[2:4], env=here).out


def test_the_policy_and_the_entry_point_are_valid(cli: CommandLine, here: dict[str, str]) -> None:
    """The page's policy names the projection, and its entry point is in the group that is searched."""
    policy, project = code_blocks(TEXT, "toml")
    (cli.cwd / "weightaudit.toml").write_text(policy)
    done = cli("repair", "model.keras", "--dry-run", env=here)
    assert done.code == 0, done.err
    assert "drop_small(limit=0.01)" in done.out
    points = tomllib.loads(project)["project"]["entry-points"]
    assert points == {ENTRY_POINT_GROUP: {"team": "team_projections"}}


def test_the_table_lists_the_projections() -> None:
    """Every projection that comes with weightaudit is in the table, and nothing else."""
    rows = re.findall(r"^\| (`.*?) \|", TEXT, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == set(load_projections())
