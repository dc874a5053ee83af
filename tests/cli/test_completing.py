"""What a shell is offered."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import h5py
import numpy as np
import pytest

from tests.cli.conftest import environment

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import CommandLine


def offered(cli: CommandLine, line: str) -> list[str]:
    """Return what bash is offered for the last word of a line; it cuts words at = and :, before and after."""
    cut = [part for word in line.split(" ") for part in re.split("([=:]+)", word) if part or not word]
    words = {"COMP_WORDS": "\n".join(cut), "COMP_CWORD": str(len(cut) - 1)}
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
        ("weightaudit check --ignore=WA101,nan-", ["WA101,nan-values"]),
        ("weightaudit check -f js", ["json", "jsonl"]),
        ("weightaudit check --format=sa", ["sarif"]),
        ("weightaudit check --fail-on=", ["error", "warning", "note", "never"]),
        ("weightaudit check --format=json --ignore=WA10", ["WA101", "WA102", "WA103"]),
        ("weightaudit check --format=json --fail-o", ["--fail-on"]),
        ("weightaudit inspect m.keras --role kernel,moving_m", ["kernel,moving_mean"]),
        ("weightaudit explain max", ["max_norm"]),
        ("weightaudit explain nan", ["nan-values"]),
        ("weightaudit explain nothing-like-that", []),
    ],
)
def test_a_beginning_is_completed(cli: CommandLine, line: str, words: list[str]) -> None:
    """A beginning is completed to all that begin so, and a list after its last comma."""
    assert offered(cli, line) == words


@pytest.mark.parametrize(
    ("shell", "answer"),
    [
        ("fish", "--format=json\n--format=jsonl\n"),
        ("zsh", """compset -P --format=; _arguments '*: :(("json"\n"jsonl"))'\n"""),
    ],
)
def test_shells_that_keep_words_whole_are_offered_the_whole(
    cli: CommandLine, shell: str, answer: str
) -> None:
    """Where a shell compares offers with all of --format=js, they begin so, or it looks behind the =."""
    words = {
        "_TYPER_COMPLETE_ARGS": "weightaudit check --format=js",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    done = cli(env={"_WEIGHTAUDIT_COMPLETE": f"complete_{shell}", **words})
    assert (done.code, done.out, done.err) == (0, answer, "")


@pytest.mark.parametrize("shell", ["bash", "fish"])
@pytest.mark.parametrize(
    ("line", "words"), [("--format=sa", {"sarif"}), ("--ignore=WA101,nan-", {"WA101,nan-values"})]
)
def test_a_real_shell_completes_behind_an_equals_sign(
    cli: CommandLine, tmp_path: Path, shell: str, line: str, words: set[str]
) -> None:
    """Bash and fish, run with the script that is printed for them, complete the value of an option."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    program = tmp_path / "weightaudit"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m weightaudit "$@"\n')
    program.chmod(0o755)
    script = tmp_path / "script"
    script.write_text(cli("--show-completion", shell).out)
    option, _, value = line.partition("=")
    asking = {
        "bash": f"COMP_WORDS=(weightaudit check {option} = {value}); COMP_CWORD=4; "
        '_weightaudit_completion weightaudit; printf "%s\\n" "${COMPREPLY[@]}"',
        "fish": f"complete -C 'weightaudit check {line}'",
    }[shell]
    env = environment({"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)})
    done = subprocess.run(
        [shell, "-c", f"source {script}; {asking}"],
        env=env,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert {one.partition("\t")[0].removeprefix(f"{option}=") for one in done.stdout.splitlines()} == words


@pytest.mark.parametrize(
    ("shell", "own"),
    [("bash", "COMP_WORDS"), ("zsh", "#compdef weightaudit"), ("fish", "complete --command")],
)
def test_the_script_of_each_shell_is_printed(cli: CommandLine, shell: str, own: str) -> None:
    """--show-completion SHELL prints the script of that shell, not of the one that it runs in."""
    done = cli("--show-completion", shell)
    assert done.code == 0, done.err
    assert own in done.out
    assert f"_WEIGHTAUDIT_COMPLETE=complete_{shell}" in done.out


def test_an_unknown_shell_is_refused(cli: CommandLine) -> None:
    """A shell that there is no script for is an error of usage, not another shell's script."""
    done = cli("--show-completion", "tcsh")
    assert (done.code, done.out) == (2, "")
    assert "'tcsh' is not one of" in done.err


def test_a_name_with_a_colon_is_completed_behind_it(cli: CommandLine) -> None:
    """Bash replaces only what stands behind the last colon, so that alone is offered."""
    with h5py.File(cli.cwd / "model.h5", "w") as file:
        file.attrs["layer_names"] = [b"a:b"]
        group = file.create_group("a:b")
        group.attrs["weight_names"] = [b"a:b/kernel:0"]
        group["a:b/kernel:0"] = np.ones((2, 2), np.float32)
    assert offered(cli, "weightaudit inspect model.h5 a:b/k") == ["b/kernel"]


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
