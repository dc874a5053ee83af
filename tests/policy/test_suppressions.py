"""What a policy may say under [[suppressions]], and what is suppressed."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from weightaudit.errors import PolicyError
from weightaudit.policy import parse_policy
from weightaudit.registry import RuleSet, configure, load_registry
from weightaudit.rule import Finding, Severity
from weightaudit.suppressing import suppress

TODAY = date(2026, 6, 15)


def rules_of(today: date | None = TODAY, **said: Any) -> RuleSet:
    """Configure a policy with one suppression."""
    return configure(load_registry(), parse_policy({"suppressions": [said]}, "p.toml"), today)


def finding(tensor: str | None, code: str = "WA402") -> Finding:
    """Return a finding."""
    return Finding(code, Severity.WARNING, tensor, "It is odd.")


def kept(path: str, found: list[Finding], today: date | None = TODAY, **said: Any) -> list[str | None]:
    """Return the tensors of the findings that count."""
    return [one.tensor for one in suppress(found, path, rules_of(today, **said).excuses)[0]]


def test_the_finding_is_kept_with_its_reason() -> None:
    """What is suppressed goes aside with the reason and the place in the policy, and nothing else goes."""
    found = [finding("a/dw_1"), finding("a/kernel"), finding("b/dw_2", "WA204"), finding(None)]
    rules = rules_of(rule="dead-channels", tensors=["*/dw_*"], reason=" pruned on purpose ")
    counted, suppressed = suppress(found, "m.keras", rules.excuses)
    assert counted == (found[1], found[2], found[3])
    assert [(one.finding, one.reason, one.source) for one in suppressed] == [
        (found[0], "pruned on purpose", "p.toml: suppressions[0]")
    ]


def test_without_globs_every_finding_of_the_rule_is_meant() -> None:
    """A suppression without tensors also covers findings about the model as a whole."""
    assert kept("m.keras", [finding("a"), finding(None)], rule="WA402", reason="known") == []


@pytest.mark.parametrize(
    ("glob", "path", "is_meant"),
    [
        ("m.keras", "m.keras", True),
        ("m.keras", "runs/7/m.keras", True),
        ("m.keras", "runs\\7\\m.keras", True),
        ("7/m.keras", "runs/7/m.keras", True),
        ("m.keras", "runs/am.keras", False),
        ("runs/*/*", "runs/7/m.keras", True),
        ("runs/**", "a/runs/7/m.keras", True),
        ("runs/**/m.keras", "runs/m.keras", True),
        ("./runs//7/m.keras", "runs/7/m.keras", True),
        ("runs/*", "runs/7/m.keras", False),
        ("m*.keras", "mobile/7/other.keras", False),
        ("", "m.keras", False),
        ("*.h5", "runs/m.keras", False),
    ],
)
def test_models_are_named_by_their_last_parts(glob: str, path: str, *, is_meant: bool) -> None:
    """A model's glob holds wherever the model lies, part by part: a star does not go on into folders."""
    counted = kept(path, [finding("a")], rule="WA402", reason="known", models=glob)
    assert (counted == []) is is_meant


@pytest.mark.parametrize("expires", [date(2026, 6, 15), "2026-06-15"])
def test_the_last_day_counts(expires: object) -> None:
    """A suppression holds on the day it names, written as a date or a string, and not on the next."""
    found, said = [finding("a")], {"rule": "WA402", "reason": "known", "expires": expires}
    assert kept("m", found, date(2026, 6, 15), **said) == []
    assert kept("m", found, date(2026, 6, 16), **said) == ["a"]


def test_the_day_is_today_in_utc() -> None:
    """Where nobody names a day, it is that of the clock."""
    today = datetime.now(UTC).date()
    assert kept("m", [finding("a")], None, rule="WA402", reason="x", expires=today + timedelta(9)) == []
    assert kept("m", [finding("a")], None, rule="WA402", reason="x", expires=today - timedelta(9)) == ["a"]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"rule": "WA402"}, "suppressions[0] must say why: give it a reason"),
        ({"reason": "known"}, "suppressions[0] must say which rule"),
        ({"rule": "WA402", "reason": "  "}, "suppressions[0].reason is blank"),
        ({"rule": "WA402", "reason": 1}, "reason must be a string, not an integer"),
        ({"rule": "WA402", "reason": "x", "expires": "soon"}, "a date such as 2027-01-31, not 'soon'"),
        ({"rule": "WA402", "reason": "x", "expires": 2027}, "2027-01-31, not an integer"),
        (
            {"rule": "WA402", "reason": "x", "expires": datetime(2027, 1, 1, tzinfo=UTC)},
            "2027-01-31, not a date with a time",
        ),
        ({"rule": "WA402", "reason": "x", "tensor": "a"}, "unknown key 'tensor' (did you mean 'tensors'?)"),
        ({"rule": "WA4", "reason": "x"}, "suppressions[0].rule: 'WA4' is no code and no name of a rule"),
        ({"rule": "WA901", "reason": "x"}, "WA901 expired-suppression is about the policy itself"),
    ],
)
def test_wrong_suppressions_are_refused(said: dict[str, Any], expected: str) -> None:
    """Every mistake is one sentence with the place of the entry."""
    with pytest.raises(PolicyError) as caught:
        rules_of(**said)
    assert expected in str(caught.value)
    assert str(caught.value).startswith("p.toml: suppressions[0]")
