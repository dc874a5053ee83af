"""What a shell is offered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import CommandLine


def offered(cli: CommandLine, line: str) -> list[str]:
    """Return what bash is offered for the last word of a line."""
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    done = cli(env={"_WEIGHTAUDIT_COMPLETE": "complete_bash", **words})
    assert done.code == 0, done.err
    assert done.err == ""
    return done.out.split()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("weightaudit che", ["check"]),
        ("weightaudit check --select WA10", ["WA101", "WA102", "WA103"]),
        ("weightaudit check --ignore WA101,nan-", ["WA101,nan-values"]),
        ("weightaudit check -f js", ["json", "jsonl"]),
        ("weightaudit inspect m.keras --role kernel,moving_m", ["kernel,moving_mean"]),
        ("weightaudit explain max", ["max_norm"]),
        ("weightaudit explain nan", ["nan-values"]),
        ("weightaudit explain nothing-like-that", []),
    ],
)
def test_a_beginning_is_completed(cli: CommandLine, line: str, words: list[str]) -> None:
    """A beginning is completed to all that begin so, and a list after its last comma."""
    assert offered(cli, line) == words


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_each_shell_is_printed(cli: CommandLine, shell: str) -> None:
    """--show-completion prints a script for the program's own name, and exits with 0."""
    done = cli("--show-completion", shell)
    assert done.code == 0, done.err
    assert "_WEIGHTAUDIT_COMPLETE" in done.out


def test_tensors_of_the_model_are_offered(cli: CommandLine, fixtures_dir: Path) -> None:
    """A beginning of a tensor's name is completed from the model that the line names, and from no other."""
    line = f"weightaudit inspect {fixtures_dir / 'healthy.keras'}"
    assert offered(cli, f"{line} stem/") == ["stem/kernel", "stem/bias"]
    assert offered(cli, "weightaudit inspect nowhere.keras stem/") == []


def test_a_name_that_a_shell_would_run_is_not_offered(cli: CommandLine) -> None:
    """Shells put what is offered on the command line as it is, so commands in a file's names stay there."""
    names = ["plain", "$(rm x)", "\\$(rm x)", "x;rm x", "`rm x`", "x y", "x\ny", "x*", "-x", 'x"', "x'"]
    with h5py.File(cli.cwd / "model.h5", "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in names]
        for name in names:
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{name}/kernel:0".encode()]
            group[f"{name}/kernel:0"] = np.ones((2, 2), np.float32)
    assert offered(cli, "weightaudit inspect model.h5 ") == ["plain/kernel"]
