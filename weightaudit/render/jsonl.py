"""The report as JSON Lines, as ``jsonl.schema.json`` describes them: one line per fact, for log systems.

Every line can be understood without the others: it has a type, and the model that it is about.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from weightaudit.render.entries import identified, policy_path
from weightaudit.render.json import (
    SCHEMA_VERSION,
    left_out_json,
    marked,
    model_json,
    outcome,
    policy_findings_json,
    reference_json,
    summary_json,
    suppressed_json,
    tensors_json,
    tool_version,
)
from weightaudit.render.plain import safe_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from weightaudit.render.view import View
    from weightaudit.report import ModelReport, Report


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of one line of what `render` returns."""
    text = files("weightaudit.render").joinpath("jsonl.schema.json").read_text("utf-8")
    document: dict[str, Any] = json.loads(text)
    return document


def render(report: Report, view: View) -> str:
    """Return a report as lines of JSON; tensors only with `view.verbose`, and with what was measured.

    The first line is the run, the last one its summary: a log without it is not complete.
    """
    return "".join(f"{_line(fact)}\n" for fact in _facts(report, view))


def _line(fact: dict[str, Any]) -> str:
    text = json.dumps(fact, allow_nan=False, separators=(",", ":"))
    # Azure, TeamCity and GitHub look for commands that start with ## anywhere in a line.
    return text.replace("##", r"#\u0023")


def _facts(report: Report, view: View) -> Iterator[dict[str, Any]]:
    yield {
        "type": "run",
        "schema_version": SCHEMA_VERSION,
        "tool": {"name": "weightaudit", "version": tool_version()},
        "policy": safe_text(report.policy) or None,
        "rules": [safe_text(code) for code in view.active],
        "reference": reference_json(report.reference),
    }
    for model in report.models:
        yield from _model(model, view)
    path = safe_text(policy_path(report))
    for finding in policy_findings_json(report, view.names):
        yield {"type": "policy_finding", "policy": path} | finding
    for one in report.left_out:
        yield {"type": "left_out"} | left_out_json(one)
    yield {"type": "summary"} | outcome(report) | summary_json(report)


def _model(model: ModelReport, view: View) -> Iterator[dict[str, Any]]:
    path = safe_text(model.path)
    yield {"type": "model"} | model_json(model)
    counted, suppressed = identified(model)
    for finding, mark in counted:
        yield {"type": "finding", "model": path} | marked(finding, mark, view.names)
    for one, mark in suppressed:
        yield {"type": "suppressed", "model": path} | suppressed_json(one, mark, view.names)
    for skip in model.skipped:
        yield {
            "type": "skipped",
            "model": path,
            "tensor": safe_text(skip.tensor),
            "reason": safe_text(skip.reason),
        }
    if view.verbose:
        for tensor in tensors_json(model, verbose=True):
            yield {"type": "tensor", "model": path} | tensor
