"""GitLab's code quality report: the fields that it asks for, and fingerprints that it can compare."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import jsonschema

from tests.render.conftest import crowd, sample
from weightaudit.render.gitlab import render
from weightaudit.render.view import View
from weightaudit.report import Report

SCHEMA = {
    "type": "array",
    "items": {
        "type": "object",
        "additionalProperties": False,
        "required": ["description", "check_name", "fingerprint", "severity", "location"],
        "properties": {
            "description": {"type": "string", "minLength": 1},
            "check_name": {"type": "string", "minLength": 1},
            "fingerprint": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
            "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
            "location": {
                "type": "object",
                "additionalProperties": False,
                "required": ["path", "lines"],
                "properties": {
                    "path": {"type": "string", "pattern": "^(?!\\./|/)"},
                    "lines": {"const": {"begin": 1}},
                },
            },
        },
    },
}
"""What GitLab's manual says of the format."""


def parsed(report: Report, view: View) -> list[dict[str, Any]]:
    """Render a report, check it, and return its issues."""
    text = render(report, view)
    assert text.isascii()
    issues: list[dict[str, Any]] = json.loads(text)
    jsonschema.Draft202012Validator(SCHEMA).validate(sample(issues))
    marks = [one["fingerprint"] for one in issues]
    assert len(marks) == len(set(marks))
    return issues


def test_every_severity_has_its_word(report: Report, view: View) -> None:
    """Findings are critical, minor or info; what was not audited is a blocker."""
    issues = parsed(report, view)
    assert [one["severity"] for one in issues] == ["critical", "minor", "info", "blocker", "blocker"]
    assert issues[0]["check_name"] == "WA101 nan-values"
    assert issues[0]["description"] == "head/kernel: 1 of 6 elements is NaN."
    assert issues[3]["description"] == "body/bias: not audited: Its chunk is damaged."


def test_quiet_leaves_nothing_out(report: Report, view: View) -> None:
    """What is left out would be shown as mended, so `quiet` changes nothing."""
    assert render(report, replace(view, quiet=True)) == render(report, view)


def test_suppressed_findings_are_no_issues(settled: Report, view: View) -> None:
    """Only what counts is there, and what is wrong with the policy."""
    names = [one["check_name"] for one in parsed(settled, view)]
    assert names == ["WA210 low-precision-overflow", "WA901 expired-suppression"]


def test_a_clean_report_is_an_empty_list(report: Report, view: View) -> None:
    """A model without findings has no issues; no model at all has one."""
    assert parsed(replace(report, models=report.models[1:2]), view) == []
    assert parsed(Report(()), view)[0]["severity"] == "blocker"


def test_thousands_and_hostile_names(hostile: Report, view: View) -> None:
    """All of 30,000 findings are there, and names from files stay text."""
    assert len(parsed(crowd(30_000), view)) == 30_000
    assert all(one["description"].isprintable() for one in parsed(hostile, view))
