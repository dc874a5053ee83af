"""When a known finding counts as clearly worse."""

from __future__ import annotations

from math import inf, nan

import pytest

from weightaudit.baseline import Entry
from weightaudit.baseline.worsening import BOUNDED, CENTRES, MORE, numbers, worsening
from weightaudit.plugins import load_rules
from weightaudit.rule import Finding, Severity, Value
from weightaudit.testing import findings_of

SILENT = {
    "WA110", "WA111", "WA112", "WA113", "WA114", "WA115",  # told in words
    "WA123", "WA204", "WA311", "WA312", "WA502", "WA503", "WA510", "WA602", "WA607",
}  # fmt: skip
"""Rules with findings of which no number says how bad they are; for these the severity alone decides."""


def judged(old: dict[str, Value], new: dict[str, Value]) -> str | None:
    """Say how a finding with the new values is worse than one with the old values."""
    before = Finding("WA000", Severity.WARNING, "a", "It is odd.", old)
    after = Finding("WA000", Severity.WARNING, "a", "It is odder.", new)
    entry = Entry("0" * 32, "WA000", "m", "a", Severity.WARNING, numbers(before))
    return worsening(entry, after, 0.25)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"nan": 4}, {"nan": 6}),
        ({"positive": 0}, {"positive": 1}),
        ({"dead": 4, "bound": 1e-6, "largest": 1.0}, {"dead": 6, "bound": 1e-6, "largest": 1.0}),
        ({"gain": 100.0, "bound": 50.0}, {"gain": 126.0, "bound": 50.0}),
        ({"gain": 0.01, "bound": 0.05}, {"gain": 0.0079, "bound": 0.05}),
        ({"value": -4.0, "bound": -3.0}, {"value": -5.1, "bound": -3.0}),
        ({"value": -1.0, "bound": -3.0}, {"value": 0.5, "bound": -3.0}),
        ({"correlation": 0.1, "bound": 0.3}, {"correlation": -0.2, "bound": 0.3}),
        ({"worst": 3.0, "minimum": 0.0, "maximum": 2.0}, {"worst": 4.0, "minimum": 0.0, "maximum": 2.0}),
        ({"worst": 0.8, "minimum": 1.0, "maximum": inf}, {"worst": 0.6, "minimum": 1.0, "maximum": inf}),
        ({"factor": 10.0}, {"factor": 13.0}),
        ({"factor": 0.1}, {"factor": 0.07}),
        ({"log10_growth": -8.0, "bound": 1e6}, {"log10_growth": -11.0, "bound": 1e6}),
        ({"largest": 1e5, "bound": 65520.0}, {"largest": inf, "bound": 65520.0}),
        ({"share": 0.4, "bound": 0.5}, {"share": 0.0, "bound": 0.5}),
        ({"rms": 10.0, "others": 0.1}, {"rms": 13.0, "others": 0.1}),
        (
            {"value": 1.0000001, "minimum": -1.0, "maximum": 1.0},
            {"value": 9.0, "minimum": -1.0, "maximum": 1.0},
        ),
        ({"norm": 3.0000001, "bound": 3.0}, {"norm": 4.0, "bound": 3.0}),
    ],
)
def test_what_is_worse(old: dict[str, Value], new: dict[str, Value]) -> None:
    """More of a count, or further beyond the bound, by more than a quarter; the way back is no worsening."""
    (name,) = [name for name in old if old[name] != new[name]]
    assert (judged(old, new) or "").startswith(f"{name} was ")
    assert judged(new, old) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"nan": 4}, {"nan": 5}),
        ({"nan": 4}, {"nan": 1}),
        ({"gain": 100.0, "bound": 50.0}, {"gain": 124.0, "bound": 50.0}),
        ({"gain": 100.0, "bound": 50.0}, {"gain": 51.0, "bound": 50.0}),
        ({"gain": 0.01, "bound": 0.05}, {"gain": 0.04, "bound": 0.05}),
        ({"value": -4.0, "bound": -3.0}, {"value": -3.1, "bound": -3.0}),
        ({"dead": 4, "bound": 1e-6, "largest": 1.0}, {"dead": 4, "bound": 1e-6, "largest": 9.0}),
        ({"factor": 0.1}, {"factor": 0.5}),
        ({"size": 10, "place": 3}, {"size": 99, "place": 7}),
        (
            {"norm": 4.0, "stable_rank": 1.2, "minimum": 1.5},
            {"norm": 9.0, "stable_rank": 1.2, "minimum": 1.5},
        ),
        ({"largest": inf, "bound": 65520.0}, {"largest": inf, "bound": 65520.0}),
        ({"gain": nan, "bound": 1.0}, {"gain": nan, "bound": 1.0}),
        ({"nan": 1}, {}),
    ],
)
def test_what_is_not_worse(old: dict[str, Value], new: dict[str, Value]) -> None:
    """Within the margin, on the way back, or in a number that does not decide, a finding stays known."""
    assert judged(old, new) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"factor": 10.0}, {"factor": 1e-6}),
        ({"log10_growth": 9.0}, {"log10_growth": -9.0}),
        ({"worst": 5.0, "minimum": 0.5, "maximum": 2.0}, {"worst": 0.4, "minimum": 0.5, "maximum": 2.0}),
        ({"value": 5.0, "bound": 2.0}, {"value": 0.1, "bound": 2.0}),
        ({"value": 5.0, "bound": 2.0}, {"value": nan, "bound": 2.0}),
    ],
)
def test_the_other_side_is_another_fault(old: dict[str, Value], new: dict[str, Value]) -> None:
    """What was too large and is too small, or no number any more, was never known, however near it is."""
    assert judged(old, new) is not None


def test_a_number_that_was_not_there_is_worse() -> None:
    """A rule that finds another fault in the same tensor tells it by other numbers, which nobody knew."""
    assert judged({"negative": 3}, {"non_finite": 1}) == "non_finite was 0 and is 1"
    assert judged({"steps": 4}, {"value": 3.0, "bound": 1.0}) == "there was no value, and it is 3 now"
    assert judged({"negative": 3}, {"negative": 3, "non_finite": 0, "place": 7}) is None


def test_a_graver_finding_is_worse_whatever_was_measured() -> None:
    """A warning that became an error counts again; an error that became a warning does not."""
    entry = Entry("0" * 32, "WA000", "m", "a", Severity.WARNING, {"nan": 4})
    error = Finding("WA000", Severity.ERROR, "a", "It is odd.", {"nan": 4})
    note = Finding("WA000", Severity.NOTE, "a", "It is odd.", {"nan": 4})
    assert worsening(entry, error, 0.25) == "the severity was warning"
    assert worsening(entry, note, 0.25) is None


def test_the_words_do_not_matter() -> None:
    """A message that is worded anew changes nothing: numbers decide."""
    assert judged({"nan": 4}, {"nan": 4, "text": "new"}) is None


def test_every_rule_has_numbers_that_decide() -> None:
    """Of each built-in rule, the bad examples give such a number, unless none could tell how bad it is."""
    without: set[str] = set()
    for rule in load_rules():
        found = [
            one
            for example in rule.examples
            if example.severity is not None
            for one in findings_of(rule(**example.options), example)
        ]
        known = MORE | BOUNDED | CENTRES.keys()
        if found and not any(known & numbers(one).keys() for one in found):
            without.add(rule.code)
    assert without <= SILENT
