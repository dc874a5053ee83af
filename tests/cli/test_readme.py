"""What README.md shows is so: its policy is valid, its Python runs, its exit codes and options exist."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cli.conftest import environment
from weightaudit.report import ExitCode

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine

TEXT = (Path(__file__).resolve().parents[2] / "README.md").read_text("utf-8")


def block(language: str) -> str:
    """Return the only code block in a language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    return str(found)


def test_the_policy(cli: CommandLine, fixtures_dir: Path) -> None:
    """The policy is accepted as it stands, and judges."""
    (cli.cwd / "weightaudit.toml").write_text(block("toml"))
    assert cli("check", fixtures_dir / "healthy.keras").code == 0
    assert cli("check", fixtures_dir / "nan.keras").code == 1


def test_the_python(cli: CommandLine, fixtures_dir: Path) -> None:
    """The Python example runs as it stands."""
    shutil.copy(fixtures_dir / "nan.keras", cli.cwd / "model.keras")
    command = [sys.executable, "-c", block("python")]
    done = subprocess.run(
        command, cwd=cli.cwd, env=environment({}), capture_output=True, text=True, check=True
    )
    assert "error WA101 dense/hidden/kernel 1 of 512 values are NaN" in done.stdout


def test_the_exit_codes() -> None:
    """The table has every exit code, and no other."""
    assert [int(code) for code in re.findall(r"^\| (\d) \|", TEXT, re.MULTILINE)] == list(ExitCode)


def test_the_options(cli: CommandLine) -> None:
    """Every option of ours that the text mentions is one that the command line has."""
    known = {
        option for command in ("check", "rules", "explain") for option in words(cli(command, "--help").out)
    }
    assert words(TEXT) <= known


def words(text: str) -> set[str]:
    """Return the long options in a text."""
    return set(re.findall(r"(?<![\w-])--[a-z]+(?:-[a-z]+)*", text))
