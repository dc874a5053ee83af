"""SARIF: true to the official schema, and to what GitHub's code scanning asks for beyond it."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jsonschema
import pytest

from tests.render.conftest import HOSTILE, crowd, sample
from weightaudit.render import sarif
from weightaudit.render.entries import NOT_AUDITED
from weightaudit.render.sarif import RUNS, compressed, render, uri
from weightaudit.render.view import View
from weightaudit.report import ModelReport, Report
from weightaudit.rule import Finding, Severity

DATA = Path(__file__).resolve().parents[1] / "data"


@cache
def validator() -> Any:
    """Return a validator for the official schema, formats included."""
    schema = json.loads((DATA / "sarif-schema-2.1.0.json").read_text("utf-8"))
    return jsonschema.Draft4Validator(schema, format_checker=jsonschema.Draft4Validator.FORMAT_CHECKER)


def parsed(report: Report, view: View) -> list[dict[str, Any]]:
    """Render a report, hold it to the official schema and to GitHub's demands, and return its runs."""
    text = render(report, view)
    assert text.isascii()
    document = json.loads(text)
    runs: list[dict[str, Any]] = document["runs"]
    sampled = [run | {"results": sample(run["results"])} for run in runs]
    validator().validate(document | {"runs": sampled})
    assert 1 <= len(runs) <= RUNS
    assert "security-severity" not in text
    assert len({run["automationDetails"]["id"] for run in runs}) == len(runs)
    for run in runs:
        accepted(run)
    return runs


def accepted(run: dict[str, Any]) -> None:
    """Hold one run to what GitHub refuses otherwise, and to what it shows."""
    assert run["automationDetails"]["id"].endswith("/")
    rules = run["tool"]["driver"]["rules"]
    assert all(rule["help"]["text"] and len(rule["fullDescription"]["text"]) <= 1024 for rule in rules)
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        (location,) = result["locations"]
        place = location["physicalLocation"]
        assert not place["artifactLocation"]["uri"].startswith(("/", "file:"))
        assert place["region"] == {"startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": 1}
        assert result["message"]["text"]
        assert result["partialFingerprints"]["primaryLocationLineHash"].endswith(":1")


def test_every_model_is_a_run(report: Report, view: View) -> None:
    """Each model has a category of its own, also one without findings: an empty run closes old alerts."""
    runs = parsed(report, view)
    assert [run["automationDetails"]["id"] for run in runs] == [
        "weightaudit/sick.keras/",
        "weightaudit/good.h5/",
        "weightaudit/partial.h5/",
        "weightaudit/notes.txt/",
    ]
    assert runs[1]["results"] == []
    assert [result["level"] for result in runs[0]["results"]] == ["error", "warning", "note"]


def test_the_category_tells_audits_apart(settled: Report, view: View) -> None:
    """Audits of other models under the same policy do not replace each other's results of the policy."""
    marks = [run["automationDetails"]["id"] for run in parsed(settled, replace(view, category="gpu jobs"))]
    assert marks == ["gpu%20jobs/models/settled.keras/", "gpu%20jobs/weightaudit.toml/"]


def test_a_result_names_model_and_tensor(report: Report, view: View) -> None:
    """The file is the artifact, the tensor the logical location, and the message names it for GitHub."""
    result = parsed(report, view)[0]["results"][0]
    (location,) = result["locations"]
    assert location["physicalLocation"]["artifactLocation"] == {
        "uri": "sick.keras",
        "uriBaseId": "%SRCROOT%",
        "index": 0,
    }
    assert location["logicalLocations"] == [
        {"name": "kernel", "fullyQualifiedName": "head/kernel", "kind": "variable"}
    ]
    assert result["message"]["text"] == "head/kernel: 1 of 6 elements is NaN."
    assert result["properties"]["values"] == {"ok": False, "share": "NaN"}


def test_all_active_rules_are_described(report: Report, view: View) -> None:
    """Every rule that judged is there with its help, with or without results; so is an unknown one."""
    rules = {rule["id"]: rule for rule in parsed(report, view)[0]["tool"]["driver"]["rules"]}
    assert list(rules) == ["WA101", "WA210", "WA202", "WA401"]
    assert rules["WA101"]["name"] == "nan-values"
    assert rules["WA101"]["shortDescription"]["text"] == "The tensor holds NaN."
    assert "How to mend:" in rules["WA101"]["help"]["text"]
    assert "Attributes:" not in rules["WA210"]["help"]["text"]


def test_what_was_not_audited_is_a_result(report: Report, view: View) -> None:
    """A model that cannot be read is an alert of its own; the run counts as done, or GitHub refuses it."""
    partial, unreadable = parsed(report, view)[2:]
    assert [result["ruleId"] for result in (*partial["results"], *unreadable["results"])] == [NOT_AUDITED] * 2
    assert partial["results"][0]["message"]["text"] == "body/bias: Not audited: Its chunk is damaged."
    assert unreadable["invocations"][0]["executionSuccessful"] is True
    assert unreadable["invocations"][0]["exitCode"] == 3


def test_what_is_suppressed_is_left_out(settled: Report, view: View) -> None:
    """A suppressed finding is no result; what is wrong with the policy is one of the policy's own run."""
    model, policy = parsed(settled, replace(view, suppressed=True))
    assert [result["ruleId"] for result in model["results"]] == ["WA210"]
    assert policy["automationDetails"]["id"] == "weightaudit/weightaudit.toml/"
    assert [result["ruleId"] for result in policy["results"]] == ["WA901"]
    assert [rule["id"] for rule in policy["tool"]["driver"]["rules"]] == ["WA901"]
    assert parsed(replace(settled, policy_findings=()), view)[1]["results"] == []


def test_a_report_without_models_is_a_log(view: View) -> None:
    """There is one run, and it says that nothing was audited."""
    (run,) = parsed(Report(()), view)
    assert run["results"][0]["ruleId"] == NOT_AUDITED


def test_many_models_share_a_run(view: View) -> None:
    """More models than a file may have runs share one, each result keeps its file, and it is said."""
    finding = Finding("WA101", Severity.ERROR, "k", "NaN.")
    models = [ModelReport(f"{index}.h5", findings=(finding,)) for index in range(RUNS + 1)]
    (run,) = parsed(Report(models), view)
    found = [result for result in run["results"] if result["ruleId"] == "WA101"]
    assert len({result["partialFingerprints"]["primaryLocationLineHash"] for result in found}) == RUNS + 1
    assert found[3]["locations"][0]["physicalLocation"]["artifactLocation"]["index"] == 3
    (said,) = run["invocations"][0]["toolExecutionNotifications"]
    assert "share one category" in said["message"]["text"]


def test_the_worst_results_are_kept(view: View) -> None:
    """Of 30,000 results 25,000 are there, the mildest are cut, and both limits are said."""
    told: list[str] = []
    (run,) = parsed(crowd(30_000), replace(view, tell=told.append))
    levels = [result["level"] for result in run["results"]]
    assert len(levels) == sarif.RESULTS
    assert (levels.count("error"), levels.count("warning"), levels.count("note")) == (10_000, 10_000, 5_000)
    cut, shown = run["invocations"][0]["toolExecutionNotifications"]
    assert "Only the worst 25000 of 30000 results" in cut["message"]["text"]
    assert "shows the worst 5000" in shown["message"]["text"]
    assert told == [one["message"]["text"].removesuffix(".") for one in (cut, shown)]


def test_the_file_stays_below_the_limit_of_its_size(view: View, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where 1,000 results are too many bytes under gzip, fewer are written, and that is said."""
    monkeypatch.setattr(sarif, "COMPRESSED", 30_000)
    text = render(crowd(1000), view)
    assert compressed(text) <= 30_000
    (run,) = json.loads(text)["runs"]
    assert 100 < len(run["results"]) < 1000
    assert "of 1000 results" in run["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"]


def test_hostile_names_are_data(hostile: Report, view: View) -> None:
    """No name makes a link, a placeholder, a control or an absolute place of itself."""
    for model, run in zip(hostile.models, parsed(hostile, view), strict=True):
        for result in run["results"]:
            text = result["message"]["text"]
            assert all(character.isprintable() for character in text)
            assert "](" not in text
            assert "{" not in text.replace("{{", "")
            place = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
            assert unquote(place, errors="surrogatepass") == model.path
    assert len({uri(text) for text in HOSTILE}) == len(HOSTILE)
