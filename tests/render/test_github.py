"""Commands of GitHub's workflows: as many as it shows, and none that a model wrote."""

from __future__ import annotations

import re
from dataclasses import replace

from tests.render.conftest import crowd
from weightaudit.render.github import render
from weightaudit.render.view import View
from weightaudit.report import ModelReport, Report

COMMAND = re.compile(r"::(error|warning|notice) (?:file=[^:,\n]+,line=1,)?title=[^:,\n]+::[^\n]+")


def split(text: str) -> tuple[list[str], list[str]]:
    """Return the annotations, and the lines of the group behind them."""
    lines = text.splitlines()
    start = lines.index("::group::weightaudit report")
    assert lines[-1] == "::endgroup::"
    assert all(COMMAND.fullmatch(line) for line in lines[:start])
    return lines[:start], lines[start + 1 : -1]


def test_findings_are_annotations_worst_first(report: Report, view: View) -> None:
    """Each finding and each thing that was not audited is annotated at its file, with its rule."""
    annotations, _ = split(render(report, view))
    assert annotations == [
        "::error file=sick.keras,line=1,title=WA101 nan-values::head/kernel: 1 of 6 elements is NaN.",
        "::error file=partial.h5,line=1,title=not audited::body/bias: Its chunk is damaged.",
        "::error file=notes.txt,line=1,title=not audited::notes.txt is not a saved model.",
        "::warning file=sick.keras,line=1,title=WA202::No scale fits.",
        "::notice file=sick.keras,line=1,title=WA401::head/kernel: 1 of 3 channels is dead.",
    ]


def test_a_long_path_is_whole(view: View) -> None:
    """An annotation at a file deep below has the path of that file, which is longer than names are shown."""
    path = "/".join(["folder" * 10] * 8) + "/m.keras"
    (annotation,), _ = split(render(Report([ModelReport(path, failure="It is empty.")]), view))
    assert f"file={path}," in annotation


def test_the_group_has_the_whole_report(report: Report, view: View) -> None:
    """The text report is in the group, down to the verdict."""
    _, lines = split(render(report, view))
    assert lines[0].startswith("sick.keras: head/kernel: error WA101 nan-values")
    assert lines[-1].startswith("verdict: incomplete (exit 3)")


def test_quiet_annotates_what_fails(report: Report, view: View) -> None:
    """`quiet` leaves what decides the verdict."""
    annotations, _ = split(render(report, replace(view, quiet=True)))
    assert all(line.startswith("::error ") for line in annotations)


def test_no_more_than_github_shows(view: View) -> None:
    """Ten findings of a level are ten annotations; of more, the tenth sums up all that are left."""
    ten, _ = split(render(crowd(30), view))
    assert len(ten) == 30
    assert not any("more of level" in line for line in ten)
    annotations, lines = split(render(crowd(30_000), view))
    assert len(annotations) == 30
    assert annotations[9] == (
        "::error title=9991 more of level error::"
        "In 1 file: WA101 nan-values: 9991. GitHub shows 10 of a level; the log has all."
    )
    assert len(lines) == 30_002


def test_no_name_is_a_command(hostile: Report, view: View) -> None:
    """Names cannot start a command, end one early, or set a property of it."""
    text = render(hostile, replace(view, verbose=True))
    annotations, lines = split(text)
    assert len(annotations) == 10
    assert not any(line.startswith("::") or "##" in line for line in lines)
    assert all(character.isprintable() or character == "\n" for character in text)


def test_percent_signs_arrive(view: View, hostile: Report) -> None:
    """A percent sign is escaped, so that %0A in a name is shown and not a line end."""
    models = [one for one in hostile.models if "%0A" in one.path]
    annotations, _ = split(render(replace(hostile, models=models), view))
    assert "100%25 %250A%250D" in annotations[0]


def test_a_report_without_models_is_an_error(view: View) -> None:
    """That nothing was audited is an annotation."""
    annotations, _ = split(render(Report(()), view))
    assert annotations == ["::error file=.,line=1,title=not audited::There was no model to audit."]
