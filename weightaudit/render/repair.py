"""What a repair changes, for people and for programs.

In text, each tensor is one line, ``tensor: projections: what changes``; the last line says what was
written. JSON is described by ``repair.schema.json``; like every report it holds no clock.
"""

from __future__ import annotations

import json
import shlex
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from weightaudit.numerals import numeral
from weightaudit.render.escape import MESSAGE_LIMIT, printable
from weightaudit.render.json import finding_json, tool_version
from weightaudit.render.plain import change_json, json_text, plain, safe_text
from weightaudit.render.summary import count, ordered, plural
from weightaudit.render.text import finding_text
from weightaudit.versions.layout import DEFAULT_STORE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from weightaudit.change import Change
    from weightaudit.repair.run import Repaired
    from weightaudit.report import ModelReport
    from weightaudit.rule import Finding

SCHEMA_VERSION = 1
"""Raised when a field is removed or changes its meaning; new fields do not raise it."""


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of what `render_repair_json` returns."""
    text = files("weightaudit.render").joinpath("repair.schema.json").read_text("utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def render_repair_text(done: Repaired, names: Mapping[str, str] | None = None) -> str:
    """Return a plan, or what was done, as plain text that ends with a line end.

    Args:
        done: The plan and what came of it.
        names: Names of the rules by code.
    """
    path = printable(done.plan.before.path)
    lines = [f"{path}: {line}" for line in _lines(done, names)]
    return "\n".join([*lines, f"verdict: {conclusion(done)}"]) + "\n"


def _lines(done: Repaired, names: Mapping[str, str] | None) -> Iterator[str]:
    excessive = {change.tensor for change in done.plan.excessive}
    for change in done.plan.changes:
        beyond = f", more than {done.plan.limit}" if change.tensor in excessive else ""
        yield printable(f"{change_text(change)}{beyond}", MESSAGE_LIMIT)
    for finding in done.plan.unmended if done.after is None else ordered(done.after.findings):
        label = _label(finding, done)
        if label:
            yield f"{label}: {finding_text(finding, names)}"
    if done.original and done.version:
        yield f"original kept as {printable(done.original)}, mended model as {printable(done.version)}"
    if done.in_place:
        yield f"to undo: {printable(undo(done), MESSAGE_LIMIT)}"


def _label(finding: Finding, done: Repaired) -> str:
    """Return why a finding is shown: it is left although it is grave, or the repair brought it."""
    if (finding.code, finding.tensor) not in {(one.code, one.tensor) for one in done.plan.before.findings}:
        return "new"
    is_grave = done.fail_on is not None and finding.severity >= done.fail_on
    return "not mended" if is_grave or finding in done.plan.unmended else ""


def undo(done: Repaired) -> str:
    """Return the command that puts the original back."""
    words = ["weightaudit", "versions", "restore"]
    if done.store != DEFAULT_STORE:
        words += ["--store", done.store or ""]
    names = [done.original or "", done.plan.before.path]
    if any(name.startswith("-") for name in names):
        words.append("--")  # or a name would be taken for an option
    return shlex.join(words + names)


def change_text(change: Change) -> str:
    """Return what happens to one tensor as one line."""
    by = f" ({', '.join(change.rules)})" if change.rules else ""
    text = (
        f"{change.tensor}: {', '.join(change.projections)}{by}: {change.elements} of "
        f"{plural(change.size, 'value')} change by {change.extent} "
        f"(norm {numeral(change.before.l2, 6)} to {numeral(change.after.l2, 6)}), each by at most "
        f"{numeral(change.largest)}"
    )
    if change.before.nonfinite != change.after.nonfinite:
        text += f", NaN and Inf {change.before.nonfinite} to {change.after.nonfinite}"
    return text


def conclusion(done: Repaired) -> str:
    """Return what came of a repair, as one sentence without a full stop."""
    tensors = plural(len(done.plan.changes), "tensor")
    left = len(done.plan.unmended)
    rest = f"; {plural(left, 'finding')} cannot be mended by projection" if left else ""
    if done.after is None:
        if not done.plan.changes:
            return f"nothing to change, nothing was written{rest}"
        beyond = len(done.plan.excessive)
        refused = f"; refused, because {beyond} would change by more than --max-change" if beyond else ""
        return f"{tensors} would change, nothing was written{refused}{rest}"
    written = f"{tensors} changed, {printable(done.written)} was written and verified"
    return f"{written}: {_counts(done.after)} (before: {_counts(done.plan.before)}){rest}"


def _counts(report: ModelReport) -> str:
    return ", ".join(plural(number, label) for label, number in count(report.findings).items())


def render_repair_json(done: Repaired, names: Mapping[str, str] | None = None) -> str:
    """Return a plan, or what was done, as a JSON document that ends with a line end."""
    names = names or {}
    after = None if done.after is None else [finding_json(one, names) for one in done.after.findings]
    document = {
        "schema_version": SCHEMA_VERSION,
        "tool": {"name": "weightaudit", "version": tool_version()},
        "exit_code": int(done.exit_code),
        "model": safe_text(done.plan.before.path),
        "container": safe_text(done.plan.before.container),
        "max_change": plain(done.plan.max_change),
        "excessive": [safe_text(change.tensor) for change in done.plan.excessive],
        "changes": [change_json(change) for change in done.plan.changes],
        "unmended": [finding_json(one, names) for one in done.plan.unmended],
        "findings": {
            "before": [finding_json(one, names) for one in done.plan.before.findings],
            "after": after,
        },
        "written": None if done.after is None else safe_text(done.written),
        "version": done.version and safe_text(done.version),
        "original": done.original and safe_text(done.original),
        "store": done.store and safe_text(done.store),
    }
    return json_text(document)
