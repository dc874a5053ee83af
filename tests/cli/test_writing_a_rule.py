"""`docs/writing-a-rule.md` does what it says: its code blocks are run as they stand."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import environment
from tests.pages import code_blocks
from weightaudit import statistics

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine

PAGE = Path(__file__).resolve().parents[2] / "docs" / "writing-a-rule.md"
TEXT = PAGE.read_text("utf-8")


@pytest.fixture
def here(cli: CommandLine, fixtures_dir: Path) -> dict[str, str]:
    """An environment in which the command line's directory holds the page's modules, and a model."""
    rule, limits, test = code_blocks(TEXT, "python")
    (cli.cwd / "team_rules.py").write_text(rule)
    (cli.cwd / "team_limits.py").write_text(limits)
    (cli.cwd / "test_team_rules.py").write_text(test)
    shutil.copy(fixtures_dir / "healthy.keras", cli.cwd / "model.keras")
    return {"PYTHONPATH": "."}


def test_the_rule_passes_its_test(cli: CommandLine, here: dict[str, str]) -> None:
    """The page's test holds for the page's rule."""
    code = "import test_team_rules; test_team_rules.test_one_sided_bias()"
    subprocess.run([sys.executable, "-c", code], cwd=cli.cwd, env=environment(here), check=True)


def test_the_rule_with_a_projection_mends_what_it_finds(cli: CommandLine, here: dict[str, str]) -> None:
    """The rule keeps the contract, its page says that repair can mend it, and repair does."""
    code = "import team_limits, weightaudit.testing as kit; kit.check_rule(team_limits.BiasLimit)"
    subprocess.run([sys.executable, "-c", code], cwd=cli.cwd, env=environment(here), check=True)
    (cli.cwd / "weightaudit.toml").write_text('plugins = ["team_limits"]\nrules.bias-limit.limit = 0.1\n')
    assert "`weightaudit repair` can mend" in cli("explain", "TEAM102", env=here).out
    assert cli("check", "model.keras", env=here).code == 1
    done = cli("repair", "model.keras", "--in-place", env=here)
    assert done.code == 0, done.err
    assert "bias: clip(minimum=-0.1, maximum=0.1) (TEAM102): " in done.out
    assert cli("check", "model.keras", env=here).code == 0


def test_the_command_works(cli: CommandLine, here: dict[str, str]) -> None:
    """The page's command line finds the rule, which has a page of its own."""
    (command,) = code_blocks(TEXT, "sh")
    variable, program, *arguments = command.split()
    assert (variable, program) == ("PYTHONPATH=.", "weightaudit")
    assert cli(*arguments, env=here).code == 0
    page = cli("explain", "TEAM101", "--plugin", "team_rules", env=here).out
    assert "distance: a number; default 1" in page
    assert page.count("distance") == len(["option", "example"])


def test_the_policy_and_the_entry_point_are_valid(cli: CommandLine, here: dict[str, str]) -> None:
    """The page's policy configures the rule, and its entry point is in the group that is searched."""
    from weightaudit.plugins import ENTRY_POINT_GROUP

    policy, project = code_blocks(TEXT, "toml")
    (cli.cwd / "weightaudit.toml").write_text(policy)
    assert cli("check", "model.keras", env=here).code == 0
    assert tomllib.loads(project)["project"]["entry-points"] == {ENTRY_POINT_GROUP: {"team": "team_rules"}}


def test_the_page_lists_the_statistics() -> None:
    """Every statistic that a rule can ask for is on the page, and nothing else."""
    listed = re.search(r"`weightaudit.statistics` has (.*?)\. ", TEXT, re.DOTALL)
    assert listed
    bases = {
        name
        for name in statistics.__all__
        if isinstance(one := getattr(statistics, name), type)
        and issubclass(one, statistics.Statistic)
        and name != "Statistic"
    }
    assert set(re.findall(r"`(\w+)`", listed[1])) == bases
