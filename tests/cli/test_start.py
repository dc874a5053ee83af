"""What the command line loads, and when: it must start at once, and never with TensorFlow."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import environment

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import CommandLine


def loaded(cwd: Path, *arguments: str) -> set[str]:
    """Return the top-level modules that a command imports, as the interpreter itself reports them."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "weightaudit", *arguments],
        cwd=cwd,
        env=environment({}),
        capture_output=True,
        text=True,
        check=True,
    )
    lines = (line.rpartition("|")[2].strip() for line in done.stderr.splitlines())
    modules = {line.partition(".")[0] for line in lines}
    assert "weightaudit" in modules
    return modules


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["check", "--help"], ["repair", "--help"], ["versions", "restore", "--help"], ["--version"]],
)
def test_help_loads_nothing_heavy(tmp_path: Path, arguments: list[str]) -> None:
    """Help and version need neither numpy nor Rich, let alone a reader of models."""
    assert not loaded(tmp_path, *arguments) & {"numpy", "h5py", "rich", "tensorflow", "keras"}


def test_a_check_loads_neither_tensorflow_nor_rich(fixtures_dir: Path) -> None:
    """A piped check reads a model without TensorFlow, Keras or h5py in its own process."""
    heavy = {"tensorflow", "keras", "tf_keras", "h5py", "rich"}
    assert not loaded(fixtures_dir, "check", "healthy.keras") & heavy


def test_version(cli: CommandLine) -> None:
    """--version names the program and its version."""
    result = cli("--version")
    assert result.code == 0
    assert result.out.startswith("weightaudit 0.")


def test_help_lists_the_commands(cli: CommandLine) -> None:
    """--help names every command; without arguments the help is shown too."""
    result = cli("--help")
    assert result.code == 0
    for command in ("check", "rules", "explain", "repair", "commit", "versions", "diff"):
        assert command in result.out
    assert "..." not in result.out.partition("Commands:")[2], "a summary does not fit its line"
