"""`docs/output-formats.md` shows what the commands print: each is run, and its output compared."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.cli.conftest import CommandLine, cli, folder, run
from weightaudit.render import github, junit, markdown, sarif
from weightaudit.render.csv import COLUMNS
from weightaudit.render.formats import ReportFormat

__all__ = ["cli", "folder", "run"]  # fixtures

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "output-formats.md").read_text("utf-8")
EXAMPLES = re.findall(r"^```console\n\$ weightaudit ([^\n]*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def pattern(shown: str) -> str:
    """Return a pattern for an output in which ``...`` stands for anything that is left out."""
    return ".*".join(re.escape(part) for part in re.split(r"\.\.\.\n?", shown))


@pytest.mark.parametrize(("command", "shown"), EXAMPLES, ids=[command for command, _ in EXAMPLES])
def test_an_example_is_what_is_printed(run: CommandLine, command: str, shown: str) -> None:
    """The command of an example prints what the page shows."""
    done = run(*shlex.split(command))
    assert done.code == 1
    assert re.fullmatch(pattern(shown), done.out.replace("\r\n", "\n"), re.DOTALL), done.out


def test_every_format_has_an_example_or_a_place() -> None:
    """Each format is in the table, and each but html, which is for the eye, has an example."""
    table = set(re.findall(r"^\| \[?`(\w+)`", TEXT.partition("## What all")[0], re.MULTILINE))
    assert table == set(ReportFormat)
    shown = {(re.findall(r"-f (\w+)", command) or ["text"])[0] for command, _ in EXAMPLES}
    assert shown == set(ReportFormat) - {ReportFormat.HTML}


def test_the_limits_are_those_of_the_code() -> None:
    """Every limit that the page states is the one that is kept."""
    for limit in (sarif.RESULTS, markdown.BYTES):
        assert f"{limit:,}" in TEXT
    assert f"A file may have {sarif.RUNS} runs" in TEXT
    assert f"{sarif.COMPRESSED // 1_000_000} MB under gzip" in TEXT
    assert f"\n{junit.LINES} of them tensor by tensor" in TEXT
    assert f"At most {markdown.ROWS} findings of a model and {markdown.MODELS} models" in TEXT
    assert github.SHOWN == 10
    assert "GitHub shows ten annotations" in TEXT


def test_the_columns_are_those_of_the_code() -> None:
    """The heading in the example has every column."""
    assert ",".join(COLUMNS) in TEXT
