"""The page of people, from each command that writes one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.html.pages import commands_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import CommandLine

_REPAIR = ("--project", "max_norm(0.4, axis=(0, 1, 2))", "--on", "stem/kernel")


@pytest.fixture
def model(cli: CommandLine, fixtures_dir: Path) -> str:
    """A model in the directory of the command line."""
    shutil.copy(fixtures_dir / "healthy.keras", cli.cwd / "model.keras")
    return "model.keras"


def test_check_writes_a_page_beside_its_text(cli: CommandLine, model: str) -> None:
    """The page goes into its file, the text to standard output, and the exit code is that of the audit."""
    done = cli("check", model, "-f", "text", "-f", "html=report.html")
    page = (cli.cwd / "report.html").read_text("utf-8")
    assert done.code == 0
    assert "verdict: passed" in done.out
    assert page.startswith("<!DOCTYPE html>")
    assert "histogram" in page
    assert str(cli.cwd) not in page


def test_a_page_of_cached_statistics_is_the_same(cli: CommandLine, model: str, tmp_path: Path) -> None:
    """What was measured for an earlier page is not measured again, and gives the same bytes."""
    env = {"WEIGHTAUDIT_CACHE": str(tmp_path / "cache")}
    for name in ("one", "other"):
        assert cli("check", model, "-f", f"html={name}.html", env=env).code == 0
    assert (cli.cwd / "one.html").read_bytes() == (cli.cwd / "other.html").read_bytes()


def test_repair_writes_the_page_of_its_plan(cli: CommandLine, model: str) -> None:
    """A dry run writes the page and nothing else; the outcome is told on standard error."""
    done = cli("repair", model, *_REPAIR, "--dry-run", "-f", "html=plan.html")
    page = (cli.cwd / "plan.html").read_text("utf-8")
    assert done.code == 0
    assert done.out == ""
    assert "would change" in done.err
    assert "Planned" in page
    assert "stem/kernel" in page
    assert not (cli.cwd / ".weightaudit").exists()


def test_repair_writes_text_and_page_of_what_it_did(cli: CommandLine, model: str) -> None:
    """Both formats tell of the version that was made; the page has the command that undoes it."""
    done = cli("repair", model, *_REPAIR, "--in-place", "-f", "text", "-f", "html=done.html")
    page = (cli.cwd / "done.html").read_text("utf-8")
    assert done.code == 0
    assert "model.keras@2" in done.out
    assert "Repaired" in page
    (undo,) = commands_of(page)
    assert undo.startswith("weightaudit versions restore model.keras@1")


def test_a_report_of_a_repair_must_not_replace_the_model(cli: CommandLine, model: str) -> None:
    """A place where the report cannot go is refused before anything is mended."""
    before = (cli.cwd / model).read_bytes()
    done = cli("repair", model, *_REPAIR, "--in-place", "-f", f"html={model}")
    assert done.code == 2
    assert "belongs to one of the models" in done.err
    assert (cli.cwd / model).read_bytes() == before
    assert not (cli.cwd / ".weightaudit").exists()


def test_diff_and_versions_diff_write_a_page(cli: CommandLine, model: str) -> None:
    """Two models, and a version and its parent, are each a page with the exit code of a comparison."""
    assert cli("repair", model, *_REPAIR).code == 0
    for name, command in (
        ("a.html", ("diff", model, f"{model}@2")),
        ("b.html", ("versions", "diff", f"{model}@2")),
    ):
        assert cli(*command, "-f", f"html={name}").code == 1
        page = (cli.cwd / name).read_text("utf-8")
        assert "Different" in page
        assert "stem/kernel" in page


def test_a_format_that_a_command_lacks_is_refused(cli: CommandLine, model: str) -> None:
    """A comparison is no SARIF; the sentence names the formats that there are."""
    done = cli("diff", model, model, "-f", "sarif")
    assert done.code == 2
    assert "text, json, html" in done.err


def test_nothing_but_a_page_imports_the_template_engine(fixtures_dir: Path) -> None:
    """A plain check starts without jinja2."""
    script = (
        "import sys; from weightaudit.__main__ import main\n"
        f"sys.argv = ['weightaudit', 'check', {str(fixtures_dir / 'healthy.keras')!r}]\n"
        "main(); sys.exit('jinja2' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False, capture_output=True).returncode == 0
