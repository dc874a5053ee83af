"""What README.md shows is so: its policy is valid, its Python runs, its exit codes and options exist."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tests.cli.conftest import environment
from tests.pages import code_blocks
from tests.versions.keys import write_pair
from weightaudit.report import ExitCode

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine

COMMANDS = ("check", "rules", "explain", "repair", "commit", "diff", "inspect", "init")
FOREIGN = {"--weightaudit"}
"""Options of the pytest plugin."""
VERSIONS = ("list", "show", "diff", "restore", "verify", "sign", "tag", "prune")
_ABOUT_VERSIONS = r"weightaudit (repair|commit|versions|diff) "
_LENIENT = {"repair": ("--max-change", "1")}
"""What the example's model needs besides: its biases change by more than half."""

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
TEXT = (ROOT / "README.md").read_text("utf-8")


def test_the_policy(cli: CommandLine, fixtures_dir: Path) -> None:
    """The policy is accepted as it stands, and judges; so is what the page about repair shows."""
    policy, suppression = code_blocks(TEXT, "toml")
    (repair,) = code_blocks((DOCS / "repair.md").read_text("utf-8"), "toml")
    (cli.cwd / "weightaudit.toml").write_text(policy + repair + suppression)
    assert cli("check", fixtures_dir / "healthy.keras").code == 0
    assert cli("check", fixtures_dir / "nan.keras").code == 1
    (cli.cwd / "weightaudit.toml").write_text(repair)
    assert cli("repair", fixtures_dir / "healthy.keras", "--dry-run").code == 0


def test_the_python(cli: CommandLine, fixtures_dir: Path) -> None:
    """The Python example runs as it stands."""
    shutil.copy(fixtures_dir / "nan.keras", cli.cwd / "model.keras")
    (code,) = code_blocks(TEXT, "python")
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, cwd=cli.cwd, env=environment({}), capture_output=True, text=True, check=True
    )
    assert "error WA101 dense/hidden/kernel 1 of 512 values is NaN" in done.stdout
    assert (cli.cwd / "mended.keras").is_file()


def test_the_exit_codes() -> None:
    """The table has every exit code, and no other."""
    assert [int(code) for code in re.findall(r"^\| (\d) \|", TEXT, re.MULTILINE)] == list(ExitCode)


def test_the_options(cli: CommandLine) -> None:
    """Every option of ours that the text mentions is one that the command line has."""
    commands = [(), *((command,) for command in COMMANDS), *(("versions", command) for command in VERSIONS)]
    known = {option for command in commands for option in words(cli(*command, "--help").out)}
    assert words(TEXT) <= known | FOREIGN


def test_repair_and_versions(cli: CommandLine, fixtures_dir: Path) -> None:
    """Every command line under Repair and Versions is accepted, in the order in which they stand there."""
    for name in ("model.keras", "good.keras"):
        shutil.copy(fixtures_dir / "healthy.keras", cli.cwd / name)
    shutil.copy(fixtures_dir / "healthy.keras", cli.cwd / "broken.keras")
    shutil.copytree(fixtures_dir / "exported", cli.cwd / "exported")
    lines = [line for block in code_blocks(TEXT, "sh") for line in block.splitlines()]
    commands = [shlex.split(line, comments=True) for line in lines if re.match(_ABOUT_VERSIONS, line)]
    assert {command[1] for command in commands} == {"repair", "commit", "versions", "diff"}
    if find_spec("model_signing"):
        write_pair(cli.cwd, "release")
    else:
        commands = [command for command in commands if not {"--key", "--public-key"}.intersection(command)]
    for _, *words_ in commands:
        done = cli(*(word.replace("conv*", "stem") for word in words_), *_LENIENT.get(words_[0], ()))
        assert done.code in ({1} if words_[0] == "diff" else {0}), (words_, done.err)


def words(text: str) -> set[str]:
    """Return the long options in a text."""
    return set(re.findall(r"(?<![\w-])--[a-z]+(?:-[a-z]+)*", text))
