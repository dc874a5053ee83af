"""Which commands are built: the one that is named, and all where help or a mistake needs them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.cli.conftest import environment
from weightaudit.cli import COMMANDS, application


def names(*arguments: str) -> set[str]:
    """Return the names of the commands that are built for a command line."""
    app = application(arguments)
    commands = {one.callback.__name__ for one in app.registered_commands if one.callback}
    return commands | {str(group.name) for group in app.registered_groups}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_named_command_is_the_only_one(command: str) -> None:
    """Where the first word is a command, no other is built."""
    assert names(command, "--help") == {command}


@pytest.mark.parametrize("arguments", [[], ["--help"], ["--version"], ["chekc"], ["--help", "check"]])
def test_all_commands_otherwise(arguments: list[str]) -> None:
    """Help, options of the program itself and misspelt commands find all commands."""
    assert names(*arguments) == set(COMMANDS)


def test_other_commands_are_not_imported() -> None:
    """The module of another command is not even imported."""
    script = (
        "import sys; from weightaudit.cli import application; application(['check'])\n"
        "print({'weightaudit.cli.versions', 'weightaudit.cli.repair'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment({}), capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
