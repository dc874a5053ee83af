"""The report as GitLab's code quality report: a list of what merge requests show as new or mended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from weightaudit.render.entries import NOT_AUDITED, Entry, entries
from weightaudit.render.escape import MESSAGE_LIMIT, printable
from weightaudit.render.plain import json_text, safe_text
from weightaudit.rule import Severity

if TYPE_CHECKING:
    from weightaudit.render.view import View
    from weightaudit.report import Report

SEVERITIES = {Severity.ERROR: "critical", Severity.WARNING: "minor", Severity.NOTE: "info"}
"""GitLab's words; its ``blocker`` is for what could not be audited, its ``major`` for nothing."""


def render(report: Report, view: View) -> str:
    """Return a report as a JSON list with one object for each finding, and for what was not audited.

    `view.quiet` changes nothing: what is left out would count as mended.
    """
    from dataclasses import replace

    return json_text([_issue(one) for one in entries(report, replace(view, quiet=False))])


def _issue(entry: Entry) -> dict[str, Any]:
    missing = entry.code == NOT_AUDITED
    place = "" if entry.tensor is None else f"{printable(entry.tensor)}: "
    head = "not audited: " if missing else ""
    name = f"{entry.code} {entry.rule}".rstrip()
    return {
        "description": place + head + printable(entry.message, MESSAGE_LIMIT),
        "check_name": safe_text(name),
        "fingerprint": entry.fingerprint,
        "severity": "blocker" if missing else SEVERITIES[entry.severity],
        # GitLab leaves out what has no line, and files that it does not find begin with ./
        "location": {"path": safe_text(entry.path.removeprefix("./")), "lines": {"begin": 1}},
    }
