"""What services of CI are shown: findings and what was not audited, each with a lasting fingerprint."""

from __future__ import annotations

from dataclasses import replace

from tests.render.conftest import HOSTILE, crowd
from weightaudit.fingerprint import fingerprint
from weightaudit.render.entries import NOT_AUDITED, entries, identified
from weightaudit.render.view import View
from weightaudit.report import ModelReport, Report, Suppressed
from weightaudit.rule import Finding, Severity


def test_what_was_not_audited_is_an_entry(report: Report, view: View) -> None:
    """A skipped tensor and a model that cannot be opened fail the gate, so that nothing looks mended."""
    missing = [one for one in entries(report, view) if one.code == NOT_AUDITED]
    assert [(one.path, one.tensor, one.message) for one in missing] == [
        ("partial.h5", "body/bias", "Its chunk is damaged."),
        ("notes.txt", None, "notes.txt is not a saved model."),
    ]
    assert all(one.fails and one.severity is Severity.ERROR for one in missing)


def test_a_report_without_a_model_is_an_entry(view: View) -> None:
    """No model to audit is told, and fails."""
    (one,) = entries(Report(()), view)
    assert one.fails
    assert one.message == "There was no model to audit."


def test_quiet_keeps_what_fails(report: Report, view: View) -> None:
    """`quiet` keeps findings at or above the level that fails, and what was not audited."""
    kept = entries(report, replace(view, quiet=True))
    assert [one.code for one in kept] == ["WA101", NOT_AUDITED, NOT_AUDITED]


def test_findings_about_the_policy_are_entries_of_its_file(settled: Report, view: View) -> None:
    """What is wrong with a policy is told of its file; where there is none, of the usual name."""
    assert entries(settled, view)[-1].path == "weightaudit.toml"
    assert entries(replace(settled, policy=""), view)[-1].path == "weightaudit.toml"


def test_a_fingerprint_outlives_the_numbers(report: Report) -> None:
    """Neither another message nor other measured values make it another finding."""
    model = report.models[0]
    other = replace(model, findings=[replace(one, message="9", values={}) for one in model.findings])
    assert [mark for _, mark in identified(model)[0]] == [mark for _, mark in identified(other)[0]]


def test_what_is_suppressed_does_not_shift_the_others() -> None:
    """Of two findings of a rule on a tensor, suppressing one leaves the other its fingerprint."""
    first, second = (Finding("WA1", Severity.ERROR, "k", message) for message in ("a", "b"))
    both = ModelReport("m.h5", findings=(first, second))
    one = ModelReport("m.h5", findings=(second,), suppressed=(Suppressed(first, "known", "policy"),))
    marks = [mark for _, mark in identified(both)[0]]
    counted, suppressed = identified(one)
    assert [mark for _, mark in counted] == marks[1:] == [fingerprint("WA1", "m.h5", "k", 1)]
    assert [mark for _, mark in suppressed] == marks[:1]


def test_no_two_entries_share_a_fingerprint(hostile: Report, view: View) -> None:
    """Fingerprints tell 30,000 findings apart, and names made to be confused."""
    finding = Finding("WA1", Severity.ERROR, "k", "bad")
    alike = Report([ModelReport(path, findings=(finding,)) for path in ("a/b.h5", "a\\b.h5", *HOSTILE)])
    for report in (crowd(30_000), hostile, alike):
        marks = [one.fingerprint for one in entries(report, view)]
        assert len(marks) == len(set(marks)) >= len(HOSTILE)
