"""Several formats of one report, and where each goes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from weightaudit.cli.outputs import Output, chosen_outputs
from weightaudit.errors import UsageError
from weightaudit.render.formats import ReportFormat

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import CommandLine


def test_one_audit_writes_every_format_that_is_asked_for(cli: CommandLine, fixtures_dir: Path) -> None:
    """Text goes to stdout and JSON into its file, and both tell the same verdict."""
    done = cli("check", fixtures_dir / "nan.keras", "-f", "text", "-f", "json=report.json")
    document = json.loads((cli.cwd / "report.json").read_text())
    assert done.code == document["exit_code"] == 1
    assert "verdict: failed (exit 1)" in done.out
    assert done.err == ""


def test_output_is_the_file_of_the_format_without_one(tmp_path: Path) -> None:
    """--output goes with the only format that names no file of its own."""
    one, other = tmp_path / "a.json", tmp_path / "b.txt"
    assert chosen_outputs([f"json={one}", "text"], str(other)) == [
        Output(ReportFormat.JSON, one),
        Output(ReportFormat.TEXT, other),
    ]


@pytest.mark.parametrize(
    ("formats", "output", "words"),
    [
        (["jsn"], None, "did you mean 'json'"),
        (["json="], None, "names no file"),
        (["json", "text"], None, "cannot go to one place; write text=FILE"),
        (["json=a"], "b", "--output says nothing here"),
        (["json=a", "text=./a"], None, "Two formats would go to the file a"),
    ],
)
def test_formats_that_make_no_sense_are_refused(formats: list[str], output: str | None, words: str) -> None:
    """An unknown format, a missing file, and two formats for one place are each one clear sentence."""
    with pytest.raises(UsageError, match=words):
        chosen_outputs(formats, output)


def test_nothing_is_written_where_one_place_is_wrong(cli: CommandLine, fixtures_dir: Path) -> None:
    """All places are looked at before the audit: one that is wrong leaves no file behind."""
    done = cli("check", fixtures_dir / "nan.keras", "-f", "json=good.json", "-f", "text=no/such/place.txt")
    assert done.code == 2
    assert not (cli.cwd / "good.json").exists()
