"""JSON Lines: every line true to the shipped schema, and understood without the others."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import jsonschema

from tests.render.conftest import crowd, sample
from tests.render.test_json import refuse
from weightaudit.render.json import render_json
from weightaudit.render.json import schema as report_schema
from weightaudit.render.jsonl import render, schema
from weightaudit.render.view import View
from weightaudit.report import Report


def parsed(report: Report, view: View) -> list[dict[str, Any]]:
    """Render a report, check every line against the schema, and return them."""
    text = render(report, view)
    assert text.isascii()
    assert "##" not in text
    lines = [json.loads(line, parse_constant=refuse) for line in text.split("\n")[:-1]]
    validator = jsonschema.Draft202012Validator(schema())
    for line in sample(lines):
        validator.validate(line)
    return lines


def test_the_schema_is_one() -> None:
    """The shipped schema is itself valid under draft 2020-12."""
    jsonschema.Draft202012Validator.check_schema(schema())


def test_the_lines_are_those_of_the_report(report: Report, view: View) -> None:
    """The run comes first, each model before what is about it, and the summary last."""
    lines = parsed(report, view)
    assert [line["type"] for line in lines] == [
        "run", "model", "finding", "finding", "finding", "model", "model", "skipped", "model", "summary",
    ]  # fmt: skip
    assert lines[0]["rules"] == ["WA101", "WA210", "WA901"]
    assert (lines[2]["model"], lines[2]["code"]) == ("sick.keras", "WA101")
    assert (lines[-1]["exit_code"], lines[-1]["models"]) == (3, 4)


def test_a_line_says_what_the_report_says(settled: Report, view: View) -> None:
    """Findings, suppressed ones and those of the policy are the same objects as in the JSON report."""
    document = json.loads(render_json(settled, names=view.names))
    found = {line.pop("type"): line for line in parsed(settled, view)}
    (model,) = document["models"]
    assert found["finding"] == {"model": model["path"]} | model["findings"][0]
    assert found["suppressed"] == {"model": model["path"]} | model["suppressed"][0]
    assert found["policy_finding"] == {"policy": "weightaudit.toml"} | document["policy"]["findings"][0]
    assert [found["left_out"]] == document["left_out"]


def test_tensors_come_on_request(report: Report, view: View) -> None:
    """With verbose there is a line for each tensor, with what was measured."""
    tensors = [line for line in parsed(report, replace(view, verbose=True)) if line["type"] == "tensor"]
    assert [line["name"] for line in tensors] == ["head/kernel", "label"]
    assert tensors[0]["statistics"]["nan"] == 1


def test_both_schemas_say_the_same() -> None:
    """A field of a finding, a tensor or the totals is described alike for the report and for its lines."""
    whole, lines = report_schema(), schema()["$defs"]
    for name in ("finding", "suppressed", "tensor"):
        fields = set(whole["$defs"][name]["properties"])
        assert set(lines[name]["properties"]) == fields | {"type", "model"}
    totals = set(whole["properties"]["summary"]["properties"])
    assert set(lines["summary"]["properties"]) == totals | {"type", "exit_code", "verdict", "fail_on"}


def test_hostile_names_are_data(hostile: Report, view: View) -> None:
    """Names stay in their line and their field."""
    lines = parsed(hostile, replace(view, verbose=True))
    assert Counter(line["type"] for line in lines)["finding"] == len(hostile.models)


def test_thousands_and_none(view: View) -> None:
    """All of 30,000 findings have a line; a report without models has its first and its last."""
    assert len(parsed(crowd(30_000), view)) == 30_003
    assert [line["type"] for line in parsed(Report(()), view)] == ["run", "summary"]
