"""The report as Markdown, for the summary of a job or a comment: verdict first, then a table per model.

Names come from a stranger's file: they cannot become markup, links, mentions or columns of their own.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from weightaudit.render.entries import (
    NOT_AUDITED,
    Entry,
    identified,
    model_entries,
    policy_entries,
    policy_path,
)
from weightaudit.render.escape import printable
from weightaudit.render.summary import VERDICTS, count, plural, size, verdict
from weightaudit.report import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from weightaudit.render.view import View
    from weightaudit.report import ModelReport, Report

ROWS = 100
"""Findings of one model that its table lists; a person reads no more."""
TOTAL = 1000
"""Findings that all tables list, unless there are hundreds of models; each has its share."""
MODELS = 200
"""Models that the first table lists, and of which findings are listed."""
BYTES = 1_000_000
"""Size that the text keeps below: GitHub drops a summary of more than 1 MiB as a whole."""

CELL = 300
"""Characters of a message that a cell has."""

_SIGNS = {ExitCode.PASSED: "✅", ExitCode.FINDINGS: "❌", ExitCode.INCOMPLETE: "⚠️"}
_SPECIAL = re.compile(
    r"[^\w ,;:()/='\".+-]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|:(?! )|(?<=www)\.", re.IGNORECASE
)
"""What could be markup, an emoji, a link or a mention; inside of a word a _ is none, before a space a : ."""


def render(report: Report, view: View) -> str:
    """Return a report as Markdown that fits a job summary; what was cut is said where it is missing."""
    told = {id(model): _wanted(model_entries(report, model, view), view) for model in report.models}
    rows, models = _share(sum(map(bool, told.values()))), MODELS
    text = _document(report, view, told, rows, models)
    while len(text.encode()) > BYTES:
        rows, models = rows // 2, models if rows else models // 2
        text = _document(report, view, told, rows, models)
    return text


def _share(models: int) -> int:
    """Return how many rows each of so many models may have."""
    return max(5, min(ROWS, TOTAL // max(models, 1)))


def _document(report: Report, view: View, told: Mapping[int, Sequence[Entry]], rows: int, models: int) -> str:
    code = report.exit_code
    lines = [f"## {_SIGNS[code]} weightaudit: {VERDICTS[code]}", "", f"{escaped(verdict(report))}.", ""]
    listed = _worst(report.models, models)
    lines += _overview(report, listed)
    for model in listed:
        lines += _findings(model.path, told[id(model)], rows)
        lines += _notes(model, view, rows)
    lines += _findings(policy_path(report), _wanted(policy_entries(report, view), view), rows)
    return "\n".join(lines).rstrip("\n") + "\n"


def _wanted(entries: Sequence[Entry], view: View) -> list[Entry]:
    return [one for one in entries if one.fails or not view.quiet]


def _worst(models: Sequence[ModelReport], most: int) -> Sequence[ModelReport]:
    """Return the models that are listed: all in their order, or where they are too many, the worst."""
    if len(models) <= most:
        return models
    return sorted(models, key=lambda one: (one.is_complete, -(one.worst or 0)))[:most]


def _overview(report: Report, listed: Sequence[ModelReport]) -> Iterator[str]:
    if not report.models:
        return
    yield "| Model | Errors | Warnings | Notes | Suppressed | Tensors audited | Size |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for model in listed:
        errors, warnings, notes = count(model.findings).values()
        covered = f"{model.coverage.audited} of {model.coverage.tensors}"
        yield (
            f"| {named(model.path)} | {errors} | {warnings} | {notes} | {len(model.suppressed)} "
            f"| {covered if model.is_complete else f'**{covered}**'} | {size(model.coverage.nbytes)} |"
        )
    yield ""
    if len(listed) < len(report.models):
        yield f"These are the worst {len(listed)} of {len(report.models)} models; the JSON report has all."
        yield ""


def _findings(path: str, entries: Sequence[Entry], rows: int) -> Iterator[str]:
    if not entries:
        return
    yield f"### {named(path)}"
    yield ""
    if rows:
        yield "| Severity | Rule | Tensor | What was found |"
        yield "|---|---|---|---|"
        yield from (_row(one) for one in entries[:rows])
        yield ""
    if len(entries) > rows:
        left = len(entries) - rows
        yield f"{left} of {plural(len(entries), 'row')} are left out, the mildest; the JSON report has all."
        yield ""


def _row(entry: Entry) -> str:
    severity = entry.severity.label
    if entry.code == NOT_AUDITED:
        severity, rule = "**incomplete**", "not audited"
    else:
        severity = f"**{severity}**" if entry.fails else severity
        rule = escaped(f"{entry.code} {entry.rule}".rstrip())
    tensor = "" if entry.tensor is None else named(entry.tensor)
    return f"| {severity} | {rule} | {tensor} | {escaped(entry.message, CELL)} |"


def _notes(model: ModelReport, view: View, rows: int) -> Iterator[str]:
    if not (view.suppressed and model.suppressed):
        return
    _, suppressed = identified(model)
    title = f"{plural(len(suppressed), 'finding')} suppressed in {named(model.path)}"
    yield f"<details><summary>{title}</summary>"
    yield ""
    for one, _ in suppressed[:rows]:
        tensor = "" if one.finding.tensor is None else f" {named(one.finding.tensor)}"
        why = escaped(f"{one.reason} ({one.source})", CELL)
        yield f"- {escaped(one.finding.code)}{tensor}: {why}"
    if len(suppressed) > rows:
        yield f"- and {len(suppressed) - rows} more"
    yield ""
    yield "</details>"
    yield ""


def named(name: str) -> str:
    """Return a name from the file, set apart; there GitHub looks for no mentions and no links."""
    return f"<code>{escaped(name)}</code>"


def escaped(text: str, limit: int = 240) -> str:
    """Return a text on one line that Markdown and HTML take for nothing but a text.

    Args:
        text: Any string.
        limit: Characters to keep.
    """
    return _SPECIAL.sub(_entity, printable(text, limit))


def _entity(found: re.Match[str]) -> str:
    # GitHub looks for mentions and issues after it has resolved the entities; an invisible space breaks them.
    break_it = "&#8203;" if found[0] in "@#" else ""
    return f"&#{ord(found[0])};{break_it}"
