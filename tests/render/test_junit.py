"""JUnit XML: valid against the schema of Jenkins, and failing exactly where the gate does."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import xmlschema

from tests.render.conftest import crowd
from weightaudit.render.junit import LINES, render
from weightaudit.render.view import View
from weightaudit.report import Report
from weightaudit.rule import Severity

DATA = Path(__file__).resolve().parents[1] / "data"


@cache
def schema() -> xmlschema.XMLSchema:
    """Return the XML Schema that Jenkins' xUnit plugin checks reports with."""
    return xmlschema.XMLSchema(DATA / "junit-10.xsd")


def parsed(report: Report, view: View) -> ET.Element:
    """Render a report, check it against the schema and its own counts, and return its root."""
    text = render(report, view)
    assert "<!" not in text
    schema().validate(text)
    root = ET.fromstring(text)  # noqa: S314  our own output, without a document type
    for suite in root.iter("testsuite"):
        for plural, tag in (("tests", "testcase"), ("failures", "failure"), ("errors", "error")):
            assert int(suite.attrib[plural]) == sum(1 for _ in suite.iter(tag))
    for total in ("tests", "failures", "errors"):
        assert int(root.attrib[total]) == sum(int(one.attrib[total]) for one in root.iter("testsuite"))
    return root


def case(root: ET.Element, suite: str, name: str) -> ET.Element:
    """Return a test by the names of its suite and its own."""
    (found,) = root.findall(f"./testsuite[@name='{suite}']/testcase[@name='{name}']")
    return found


def test_a_model_is_a_suite_and_a_rule_a_test(report: Report, view: View) -> None:
    """Every rule that judged is a test of every model, whether it found something or not."""
    root = parsed(report, view)
    assert [one.attrib["name"] for one in root] == ["sick.keras", "good.h5", "partial.h5", "notes.txt"]
    names = [one.attrib["name"] for one in root[1].findall("testcase")]
    assert names == ["coverage", "WA101 nan-values", "WA210 low-precision-overflow"]
    failure = case(root, "sick.keras", "WA101 nan-values").find("failure")
    assert failure is not None
    assert failure.attrib["message"] == "1 finding"
    assert failure.text == "error: head/kernel: 1 of 6 elements is NaN."


@pytest.mark.parametrize(
    ("fail_on", "failures"),
    [(None, 0), (Severity.ERROR, 1), (Severity.WARNING, 2), (Severity.NOTE, 3)],
)
def test_only_what_fails_the_gate_is_a_failure(
    report: Report, view: View, fail_on: Severity | None, failures: int
) -> None:
    """Findings below the level that fails are output of a test that passes."""
    root = parsed(replace(report, fail_on=fail_on), view)
    assert root.attrib["failures"] == str(failures)
    told = [one.text or "" for one in root.iter("system-out")]
    assert sum(line.startswith(("error:", "warning:", "note:")) for line in told) == 3 - failures


def test_what_is_unread_is_skipped_and_an_error(report: Report, view: View) -> None:
    """A tensor that was not read is a skipped test; the model's coverage is an error, as its exit code."""
    root = parsed(report, view)
    skipped = case(root, "partial.h5", "audit of body/bias").find("skipped")
    assert skipped is not None
    assert skipped.attrib["message"] == "Its chunk is damaged."
    for suite in ("partial.h5", "notes.txt"):
        assert case(root, suite, "coverage").find("error") is not None
    assert case(root, "good.h5", "coverage").find("error") is None


def test_properties_tell_the_coverage(report: Report, view: View) -> None:
    """Each suite has how many tensors there are, were audited and skipped."""
    suite = parsed(report, view)[2]
    told = {one.attrib["name"]: one.attrib["value"] for one in suite.iter("property")}
    assert (told["tensors"], told["audited"], told["skipped"], told["bytes"]) == ("2", "1", "1", "999")


def test_suppressed_findings_are_shown_on_request(settled: Report, view: View) -> None:
    """They never fail; with --show-suppressed they are output. The policy's own findings are a suite."""
    assert "masked" not in render(settled, view)
    root = parsed(settled, replace(view, suppressed=True))
    shown = case(root, "models/settled.keras", "WA101 nan-values").find("system-out")
    assert shown is not None
    assert shown.text == "suppressed: error: a/kernel: 1 of 4 values is NaN."
    assert case(root, "weightaudit.toml", "WA901 expired-suppression").find("failure") is not None


def test_a_report_without_models_is_an_error(view: View) -> None:
    """No model to audit is a test that could not run."""
    assert parsed(Report(()), view).attrib["errors"] == "1"


def test_a_test_lists_only_so_many_findings(view: View) -> None:
    """Of 10,000 failing findings a test lists the worst, and counts the rest."""
    failure = case(parsed(crowd(30_000), view), "big.keras", "WA101 nan-values").find("failure")
    assert failure is not None
    assert failure.attrib["message"] == "10000 findings"
    lines = (failure.text or "").splitlines()
    assert len(lines) == LINES + 1
    assert lines[-1] == f"and {10_000 - LINES} more, which the JSON report has"


def test_hostile_names_are_text(hostile: Report, view: View) -> None:
    """No name opens an element, an entity or a line, or holds what XML cannot."""
    failing = replace(
        hostile, models=[replace(one, failure=None, skipped=one.skipped) for one in hostile.models]
    )
    for report in (hostile, failing):
        root = parsed(report, view)
        assert {one.tag for one in root.iter()} <= {
            "testsuites", "testsuite", "testcase", "properties", "property",
            "failure", "error", "skipped", "system-out",
        }  # fmt: skip
        texts = [text for one in root.iter() for text in (*one.attrib.values(), (one.text or "").strip())]
        assert all(text.isprintable() for text in texts)
