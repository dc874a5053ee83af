"""Markdown: the verdict first, small enough for a job's summary, and no markup by a model."""

from __future__ import annotations

import html
import re
from dataclasses import replace

import pytest

from tests.render.conftest import HOSTILE, crowd
from weightaudit.render.escape import printable
from weightaudit.render.markdown import BYTES, MODELS, ROWS, escaped, render
from weightaudit.render.view import View
from weightaudit.report import Coverage, ModelReport, Report, Skipped
from weightaudit.rule import Finding, Severity


def rows(text: str) -> list[list[str]]:
    """Return the cells of all rows of tables, headings left out."""
    found = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found if "---" not in line]


def test_the_verdict_comes_first(report: Report, view: View) -> None:
    """The first line has the outcome, then come the sentence, a table of models and their findings."""
    lines = render(report, view).splitlines()
    assert lines[0] == "## ⚠️ weightaudit: incomplete"
    assert lines[2].startswith("incomplete (exit 3): 2 of 4 models could not be audited whole;")
    table = rows("\n".join(lines))
    assert table[1] == ["<code>sick.keras</code>", "1", "1", "1", "0", "1 of 1", "24 bytes"]
    assert table[3][5] == "**1 of 2**"
    assert table[6] == [
        "**error**",
        "WA101 nan-values",
        "<code>head/kernel</code>",
        "1 of 6 elements is NaN.",
    ]
    assert table[-1] == ["**incomplete**", "not audited", "", "notes.txt is not a saved model."]


def test_a_clean_report_has_no_findings(report: Report, view: View) -> None:
    """A model without findings is a row of the first table, and nothing else."""
    text = render(replace(report, models=report.models[1:2]), view)
    assert text.startswith("## ✅ weightaudit: passed\n")
    assert "###" not in text


def test_quiet_keeps_what_fails(report: Report, view: View) -> None:
    """`quiet` lists what decides the verdict."""
    text = render(report, replace(view, quiet=True))
    assert "WA101" in text
    assert "WA401" not in text


def test_suppressed_findings_are_shown_on_request(settled: Report, view: View) -> None:
    """They are counted in any case, and listed with their reasons with --show-suppressed."""
    assert rows(render(settled, view))[1][4] == "1"
    assert "masked" not in render(settled, view)
    text = render(settled, replace(view, suppressed=True))
    assert "- WA101 <code>a/kernel</code>: It is masked. (weightaudit.toml: suppress&#91;0&#93;)" in text
    assert "expired on 2026-01-01" in text


def test_rows_are_capped_and_it_is_said(view: View) -> None:
    """Of 30,000 findings the worst hundred are listed, and the text says how many are not."""
    text = render(crowd(30_000), view)
    assert len(rows(text)) == 2 + 1 + ROWS
    assert "29900 of 30000 rows are left out, the mildest" in text


def test_models_are_capped_and_the_worst_are_kept(view: View) -> None:
    """Of a thousand models those that fail are listed, and the text says how many there are."""
    clean = [ModelReport(f"{index}.h5", coverage=Coverage(1, 1, 0, 4)) for index in range(1000)]
    sick = replace(clean[0], path="sick.h5", findings=(Finding("WA101", Severity.ERROR, "k", "NaN."),))
    text = render(Report((*clean, sick)), view)
    assert "<code>sick.h5</code>" in text
    assert len(rows(text)) == 1 + MODELS + 2
    assert f"These are the worst {MODELS} of 1001 models" in text


@pytest.mark.parametrize("character", ["|", "\x1b", "\U000e0001"])
def test_no_report_is_larger_than_a_summary_may_be(view: View, character: str) -> None:
    """However long names and messages are, and however they have to be spelled out, it stays below 1 MB."""
    name = character * 2000
    findings = [Finding("WA101", Severity.ERROR, f"{index}{name}", name) for index in range(20)]
    models = [
        ModelReport(f"{index}{name}", name, findings, [Skipped(name, name)], coverage=Coverage(1, 2, 0, 4))
        for index in range(300)
    ]
    text = render(Report(models), view)
    assert len(text.encode()) <= BYTES
    assert "of 300 models; the JSON report has all" in text


def test_names_are_text(hostile: Report, view: View) -> None:
    """Every row keeps its columns, and no name becomes markup, a link, a mention or an emoji."""
    text = render(hostile, view)
    assert {len(row) for row in rows(text)} == {4, 7}
    bare = re.sub(
        r"</?code>|^#{2,3} |\*\*(error|incomplete|[0-9]+ of [0-9]+)\*\*|^\|[-:|]+\|$",
        "",
        text,
        flags=re.MULTILINE,
    )
    assert not re.search(
        r"[<>`*\[\]~$@!\\{}]|https?:|www\.|:\w+:|(?<!&)#|\b_|_\b", bare.replace("&#8203;", "")
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_is_lost(text: str) -> None:
    """A reader sees the name as the other formats show it."""
    assert html.unescape(escaped(text)).replace("\u200b", "") == printable(text)


def test_a_report_without_models_says_so(view: View) -> None:
    """There is a verdict and no table."""
    assert "there was no model to audit" in render(Report(()), view)
