"""`weightaudit rules`, `weightaudit explain`, and rules of third parties."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import environment
from weightaudit.rule import Rule, Severity

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import CommandLine


def test_rules_lists_every_rule(cli: CommandLine) -> None:
    """One line per rule, and a mark on those that need options."""
    result = cli("rules")
    assert result.code == 0
    assert result.err == ""
    lines = result.out.splitlines()
    assert any(line.startswith("WA101") and "nan-values" in line for line in lines)
    assert any(line.startswith("WA301") and "norm-bound*" in line for line in lines)


def test_rules_as_json(cli: CommandLine) -> None:
    """The same list for machines, with every option, its type and its default."""
    rules = {rule["code"]: rule for rule in json.loads(cli("rules", "--format", "json").out)}
    assert rules["WA101"]["active_by_default"] is True
    assert rules["WA301"]["active_by_default"] is False
    assert {option["name"] for option in rules["WA301"]["options"]} >= {"max", "axis"}
    assert all(rule["summary"] for rule in rules.values())


def test_explain_shows_the_page(cli: CommandLine) -> None:
    """The page of a rule, found by code or by name, holds its text, options and examples."""
    by_code, by_name = cli("explain", "WA203"), cli("explain", "extreme-value")
    assert by_code.code == 0
    assert by_code.out == by_name.out
    for word in ("WA203 extreme-value (error)", "How to mend", "[rules.WA203]", "Examples:"):
        assert word in by_code.out


def test_explain_shows_the_page_of_a_projection(cli: CommandLine) -> None:
    """A projection is explained by name: how it is written, what it does, and its parameters."""
    page = cli("explain", "max_norm")
    assert page.code == 0
    assert page.out.startswith("--project 'max_norm(max_value=2.0, axis=0)'\n\nEuclidean norms of at most")
    assert "  max_value: a number; default 2.0\n      Largest norm allowed." in page.out
    assert "Attributes" not in page.out
    assert "  target: " in cli("explain", "fit_dtype").out
    assert "required" in cli("explain", "fit_dtype").out
    assert "Parameters" not in cli("explain", "non_neg").out
    unknown = cli("explain", "max_nrom")
    assert unknown.code == 2
    assert "no rule and no projection 'max_nrom' (did you mean 'max_norm'?)" in unknown.err


def test_pages_say_what_repair_can_mend(cli: CommandLine) -> None:
    """The page of a rule, and the list for machines, say whether it knows a projection."""
    assert "`weightaudit repair` can mend what it finds" in cli("explain", "WA301").out
    assert "`weightaudit repair`" not in cli("explain", "WA204").out
    rules = {rule["code"]: rule for rule in json.loads(cli("rules", "--format", "json").out)}
    assert rules["WA301"]["mended_by_repair"] is True
    assert rules["WA101"]["mended_by_repair"] is False


def test_explain_says_each_option_once(cli: CommandLine) -> None:
    """An option's type, default and meaning stand together, as a policy writes them."""
    page = cli("explain", "WA301").out
    assert "Attributes" not in page
    assert '  max: a number or "none"; default "none"\n      Largest norm allowed' in page
    assert page.count("Largest norm allowed") == 1
    assert "layer-classes:" in page
    assert "layer_classes:" not in page


def test_pages_fit_the_terminal() -> None:
    """A page and the list of rules are filled at the terminal's width, between words."""
    from weightaudit.cli.pages import rule_page, rules_text
    from weightaudit.registry import load_registry

    registry = load_registry()
    for rule in registry.rules:
        for width in (50, 72):
            narrow = rule_page(rule, width)
            assert max(map(len, narrow.splitlines())) <= width, rule.code
            assert narrow.split() == rule_page(rule).split()
    for width in (40, 80):
        assert max(map(len, rules_text(registry.rules, width).splitlines())) <= width + 8
    assert rules_text(registry.rules, 60).split() == rules_text(registry.rules).split()


def test_a_laid_out_paragraph_stays_as_it_is() -> None:
    """Lists and indented examples of a docstring are not filled; prose is."""
    from weightaudit.cli.pages import rule_page

    @dataclass(frozen=True)
    class Listing(Rule):
        """Lists.

        Prose that
        goes on.

        - one
        - two

        Attributes:
            limit: A bound, of
                two lines.

        Prose after it.
        """

        limit: float = 65519.99
        code = "TT101"
        name = "listing"
        severity = Severity.NOTE

    page = rule_page(Listing)
    assert "\n\nProse that goes on.\n\n- one\n- two\n\nProse after it.\n\nOptions" in page
    assert "  limit: a number; default 65519.99\n      A bound, of two lines.\n" in page


def test_explain_of_every_rule(cli: CommandLine) -> None:
    """Every installed rule can be listed and has a page; a rule without one would crash here."""
    from weightaudit.cli.pages import rule_page
    from weightaudit.registry import load_registry

    del cli
    for rule in load_registry().rules:
        assert rule_page(rule).startswith(f"{rule.code} {rule.name} (")


def test_explain_an_unknown_rule(cli: CommandLine) -> None:
    """A rule that does not exist is wrong usage, with the nearest one that does."""
    result = cli("explain", "nan-value")
    assert (result.code, result.out) == (2, "")
    assert "did you mean 'nan-values'?" in result.err


@pytest.fixture(scope="session")
def installed(team_rules: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which the third party's package is installed by pip, without the network."""
    target = tmp_path_factory.mktemp("site")
    # Building leaves folders beside the sources.
    copy = shutil.copytree(team_rules, tmp_path_factory.mktemp("source") / "package")
    options = ["--no-index", "--no-deps", "--no-build-isolation", "--quiet", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(copy)]
    subprocess.run(command, check=True)
    return {"PYTHONPATH": str(target)}


def test_an_installed_package_adds_its_rules(
    cli: CommandLine, installed: dict[str, str], fixtures_dir: Path
) -> None:
    """One entry-point line is all that a third party's rules need: they are listed, explained, and judge."""
    assert "TEAM101" not in cli("rules").out
    assert "TEAM101  peak-bound" in cli("rules", env=installed).out
    assert "limit: a number; default 1000" in cli("explain", "TEAM101", env=installed).out
    assert cli("check", fixtures_dir / "healthy.keras", env=installed).code == 0
    (cli.cwd / "weightaudit.toml").write_text('select = ["TEAM"]\n[rules.peak-bound]\nlimit = 1e-3\n')
    result = cli("check", fixtures_dir / "healthy.keras", env=installed)
    assert result.code == 1
    assert "error TEAM101 peak-bound: The largest weight is " in result.out


def test_the_installed_package_mends_and_passes_its_own_tests(
    cli: CommandLine, installed: dict[str, str], team_rules: Path, fixtures_dir: Path
) -> None:
    """Its projection is found by name, repair clips what its rule finds, and its tests pass as they are."""
    model = shutil.copy(fixtures_dir / "healthy.keras", cli.cwd / "model.keras")
    dropped = cli("repair", model, "--project", "drop_small(0.01)", "--dry-run", env=installed)
    assert dropped.code == 0, dropped.err
    assert "drop_small(limit=0.01)" in dropped.out
    (cli.cwd / "weightaudit.toml").write_text('select = ["TEAM"]\n[rules.peak-bound]\nlimit = 0.1\n')
    mended = cli("repair", model, "--in-place", "--max-change", "1", env=installed)
    assert mended.code == 0, mended.err
    assert cli("check", model, env=installed).code == 0
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(team_rules / "tests")]
    subprocess.run(tests, cwd=cli.cwd, env=environment(installed), check=True)


def test_a_plugin_module_adds_its_rules(cli: CommandLine, team_rules: Path, fixtures_dir: Path) -> None:
    """--plugin and `plugins` load rules that no package announces."""
    env = {"PYTHONPATH": str(team_rules / "src")}
    arguments = ("check", fixtures_dir / "healthy.keras", "--select", "TEAM101")
    assert cli(*arguments, env=env).code == 2
    assert cli(*arguments, "--plugin", "team_rules", env=env).code == 0
    (cli.cwd / "weightaudit.toml").write_text('plugins = ["team_rules"]\n[rules.TEAM101]\nlimit = 1e-3\n')
    assert cli(*arguments, env=env).code == 1
