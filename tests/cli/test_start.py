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


def test_an_interruption_during_the_start() -> None:
    """Ctrl-C while modules are still imported ends the program as later: exit 130, and not a word."""
    script = (
        "import os, signal, sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'typer': os.kill(os.getpid(), signal.SIGINT)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "from weightaudit.__main__ import main\n"
        "sys.argv = ['weightaudit', '--version']\n"
        "sys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")
