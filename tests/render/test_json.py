from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import jsonschema
import numpy as np
import pytest

from weightaudit.fingerprint import fingerprint
from weightaudit.render.json import render_json, schema
from weightaudit.report import ModelReport, Report
from weightaudit.rule import Finding, Severity


def refuse(constant: str) -> None:
    """Fail on NaN and Infinity, which Python reads and JSON does not have."""
    raise AssertionError(constant)


def parsed(report: Report, **options: Any) -> dict[str, Any]:
    """Render a report, read it as strict JSON, and check it against the shipped schema."""
    document: dict[str, Any] = json.loads(render_json(report, **options), parse_constant=refuse)
    jsonschema.Draft202012Validator(schema()).validate(document)
    return document


def test_the_schema_is_one() -> None:
    """The shipped schema is itself valid under draft 2020-12."""
    jsonschema.Draft202012Validator.check_schema(schema())


def test_a_report_says_the_whole_outcome(report: Report) -> None:
    """The head of the document has the verdict, the exit code, and totals over all models."""
    document = parsed(report)
    assert document["schema_version"] == 1
    assert (document["verdict"], document["exit_code"], document["fail_on"]) == ("incomplete", 3, "error")
    assert document["summary"] == {
        "models": 4,
        "complete": 2,
        "tensors": 265,
        "audited": 264,
        "skipped": 1,
        "bytes": 102_401_023,
        "findings": {"error": 1, "warning": 1, "note": 1},
        "suppressed": 0,
    }
    assert [model["failure"] for model in document["models"]] == [
        None,
        None,
        None,
        "notes.txt is not a saved model.",
    ]


def test_a_finding_keeps_what_was_measured(report: Report, names: dict[str, str]) -> None:
    """Findings carry rule, severity, tensor and values; non-finite values are strings."""
    nan, overflow, _ = parsed(report, names=names)["models"][0]["findings"]
    assert nan == {
        "code": "WA101",
        "rule": "nan-values",
        "severity": "error",
        "tensor": "head/kernel",
        "message": "1 of 6 elements is NaN.",
        "values": {"ok": False, "share": "NaN"},
        "fingerprint": fingerprint("WA101", "sick.keras", "head/kernel"),
    }
    assert overflow["tensor"] is None
    assert overflow["values"] == {"low": "-Infinity", "peak": "Infinity", "why": None}


def test_tensors_are_always_listed_and_measured_on_request(report: Report) -> None:
    """Every tensor is listed with its identity; its statistics come with verbose, where there are any."""
    kernel, label = parsed(report)["models"][0]["tensors"]
    assert kernel == {
        "name": "head/kernel",
        "key": "layers/dense/vars/0",
        "shape": [2, 3],
        "dtype": "float32",
        "role": "kernel",
        "evidence": "config",
        "layer": "head",
        "layer_class": "Dense",
    }
    assert label["role"] == "unknown"
    measured, unmeasured = parsed(report, verbose=True)["models"][0]["tensors"]
    assert measured["statistics"]["mean"] == -0.125
    assert (measured["statistics"]["nan"], measured["statistics"]["positive_inf"]) == (1, 1)
    assert "statistics" not in unmeasured


def test_the_same_report_gives_the_same_bytes(report: Report) -> None:
    """Neither the order of findings nor that of their values shows."""
    models = [
        replace(
            model,
            findings=[
                replace(one, values=dict(reversed(list(one.values.items()))))
                for one in reversed(model.findings)
            ],
        )
        for model in report.models
    ]
    assert render_json(replace(report, models=models), verbose=True) == render_json(report, verbose=True)


@pytest.mark.parametrize("fail_on", [None, *Severity])
def test_every_threshold_has_its_name(report: Report, fail_on: Severity | None) -> None:
    """The threshold is a severity's name, or null where findings never fail."""
    expected = None if fail_on is None else fail_on.name.lower()
    assert parsed(replace(report, fail_on=fail_on))["fail_on"] == expected


def test_numbers_of_numpy_are_numbers() -> None:
    """A rule that passes numpy's scalars on still gives valid JSON."""
    values: dict[str, Any] = {"count": np.int64(3), "peak": np.float32("inf"), "mean": np.float64(0.5)}
    model = ModelReport("a.h5", findings=(Finding("X1", Severity.NOTE, None, "m", values),))
    (finding,) = parsed(Report((model,)))["models"][0]["findings"]
    assert finding["values"] == {"count": 3, "peak": "Infinity", "mean": 0.5}


def test_hostile_names_are_data(hostile: Report) -> None:
    """Names survive a round trip, are plain ASCII in the file, and start no CI command."""
    text = render_json(hostile, verbose=True)
    assert text.isascii()
    assert not any(ord(character) < 0x20 for character in text if character != "\n")
    assert "##" not in text
    assert not any(line.lstrip().startswith("::") for line in text.splitlines())
    for model, shown in zip(hostile.models, parsed(hostile)["models"], strict=True):
        expected = model.path.replace("\udc80", r"\udc80")
        assert shown["path"] == shown["tensors"][0]["name"] == expected
        assert shown["findings"][0]["values"] == {"text": expected}


def test_what_does_not_count_is_told_apart(settled: Report) -> None:
    """Suppressed findings, those about the policy, and files that were left out have places of their own."""
    document = parsed(settled)
    (model,) = document["models"]
    assert [one["code"] for one in model["findings"]] == ["WA210"]
    (suppressed,) = model["suppressed"]
    assert (suppressed["reason"], suppressed["source"]) == ("It is masked.", "weightaudit.toml: suppress[0]")
    assert document["policy"]["file"] == "weightaudit.toml"
    assert [one["code"] for one in document["policy"]["findings"]] == ["WA901"]
    assert document["left_out"] == [{"path": "models/notes.txt", "reason": "a text"}]
    assert document["summary"]["findings"] == {"error": 1, "warning": 1, "note": 0}
    assert document["summary"]["suppressed"] == 1
