"""What the documentation says of the command line is so, and every command is told of."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer.main

from weightaudit.cli import COMMANDS, application

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / ".github/actions/audit/audit.sh", *(ROOT / "docs").glob("*.md")])

_LINE = re.compile(r"(?<![\w./-])weightaudit (?!\d)([a-z-][^`\n|]*)")
"""A command line in a block, in code within a sentence, or behind a pipe."""


@cache
def tree() -> dict[str, frozenset[str]]:
    """Return the options of every command, by its words."""
    return dict(_below(typer.main.get_command(application(())), ()))


def _below(command: Any, words: tuple[str, ...]) -> list[tuple[str, frozenset[str]]]:
    options = {name for one in command.params for name in (*one.opts, *one.secondary_opts) if name[0] == "-"}
    found = [(" ".join(words), frozenset({*options, "--help"}))]
    for name, sub in getattr(command, "commands", {}).items():
        found += _below(sub, (*words, name))
    return found


def lines(page: Path) -> list[list[str]]:
    """Return the words of the command lines on a page that begin with a command of ours."""
    found: list[list[str]] = []
    for match in _LINE.finditer(page.read_text("utf-8").replace("\\\n", " ")):
        try:
            words = shlex.split(match[1], comments=True)
        except ValueError:  # a sentence with an apostrophe
            continue
        if words and (words[0] in COMMANDS or words[0].startswith("-")):
            found.append(words)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_option_that_a_page_shows_exists(page: Path) -> None:
    """Each option of a command line on the page is one that its command has."""
    for words in lines(page):
        command = (
            words[0] if f"{words[0]} {words[1] if words[1:] else ''}" not in tree() else " ".join(words[:2])
        )
        known = tree()[command if command in tree() else ""]
        for word in words:
            if re.match(r"--?[a-z]", word):
                option = word.split("=", 1)[0]
                assert option in known, f"{page.name}: weightaudit {' '.join(words)}"


def test_every_command_is_told_of() -> None:
    """README shows each command, and a page or README each command of a command."""
    readme = (ROOT / "README.md").read_text("utf-8")
    everything = "\n".join(page.read_text("utf-8") for page in PAGES)
    for words in filter(None, tree()):
        assert words.split()[-1] in (readme if " " not in words else everything), words
        if " " not in words:
            assert f"weightaudit {words}" in readme
