"""The report as commands of GitHub's workflows: annotations beside the log, the whole report in a group."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from weightaudit.render.entries import NOT_AUDITED, Entry, entries
from weightaudit.render.escape import MESSAGE_LIMIT, printable
from weightaudit.render.summary import plural
from weightaudit.render.text import render_text
from weightaudit.rule import Severity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from weightaudit.render.view import View
    from weightaudit.report import Report

SHOWN = 10
"""Annotations of one level that GitHub shows of one step; it drops the others without a word."""

COMMANDS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "notice"}


def render(report: Report, view: View) -> str:
    """Return a report as lines for the log of a workflow.

    Of each level the first nine entries, and the tenth if there are no more, are annotations; otherwise
    the tenth sums up the rest. The group has everything as the format ``text`` has it.
    """
    found = entries(report, view)
    lines: list[str] = []
    for severity in sorted(COMMANDS, reverse=True):
        lines += _annotations(severity, [one for one in found if one.severity is severity])
    body = render_text(report, verbose=view.verbose, quiet=view.quiet, names=view.names)
    return "\n".join([*lines, "::group::weightaudit report", f"{body}::endgroup::"]) + "\n"


def _annotations(severity: Severity, found: Sequence[Entry]) -> list[str]:
    if len(found) <= SHOWN:
        return [_annotation(one) for one in found]
    rest = found[SHOWN - 1 :]
    return [*(_annotation(one) for one in found[: SHOWN - 1]), _rest(severity, rest)]


def _annotation(entry: Entry) -> str:
    place = "" if entry.tensor is None else f"{printable(entry.tensor)}: "
    message = place + printable(entry.message, MESSAGE_LIMIT)
    title = "not audited" if entry.code == NOT_AUDITED else f"{entry.code} {entry.rule}".rstrip()
    # A path that is cut would be that of no file.
    path = printable(entry.path.removeprefix("./"), MESSAGE_LIMIT)
    facts = f"file={_value(path)},line=1,title={_value(printable(title))}"
    return f"::{COMMANDS[entry.severity]} {facts}::{_data(message)}"


def _rest(severity: Severity, rest: Sequence[Entry]) -> str:
    counts = Counter(f"{printable(one.code)} {printable(one.rule)}".rstrip() for one in rest)
    told = ", ".join(f"{name}: {number}" for name, number in sorted(counts.items()))
    models = plural(len({one.path for one in rest}), "file")
    title = f"{len(rest)} more of level {severity.label}"
    message = f"In {models}: {told}. GitHub shows {SHOWN} of a level; the log has all."
    return f"::{COMMANDS[severity]} title={_value(title)}::{_data(message)}"


def _data(text: str) -> str:
    """Escape what stands behind a command, as GitHub's own toolkit does."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _value(text: str) -> str:
    """Escape the value of a command's property."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")
