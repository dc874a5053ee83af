"""What a page tells to do: parts of a rule's documentation, and a command that can be run as it stands."""

from __future__ import annotations

import shlex

import pytest

from tests.html.pages import view
from weightaudit.html.guidance import command, guidance
from weightaudit.rule import Finding, Severity

_RULES = view().rules


@pytest.mark.parametrize("code", sorted(_RULES))
def test_every_rule_says_why_and_how_to_mend(code: str) -> None:
    """No built-in rule leaves its reader without a summary, a reason and a remedy; none is cut off."""
    told = guidance(_RULES[code])
    for part in (told.summary, told.why, told.mend):
        assert part.endswith((".", ".)"))
        assert part[:1].isupper() or not part[:1].isalpha() or part[:1] == "`"


def test_a_rule_with_a_projection_is_mended_by_repair() -> None:
    """The command selects the rule, and names the level where that is not an error."""
    mendable = next(rule for rule in _RULES.values() if rule.name == "non-negativity")
    found = Finding(mendable.code, Severity.WARNING, "a/kernel", "x")
    words = shlex.split(command(mendable, "my model.keras", found))
    assert words[:3] == ["weightaudit", "repair", "my model.keras"]
    assert words[3:] == ["--select", mendable.code, "--fail-on", "warning", "--dry-run"]


def test_what_no_projection_mends_takes_a_donor() -> None:
    """An error without a projection is mended from a good model; a warning gets no command."""
    rule = _RULES["WA101"]
    assert "--donor GOOD_MODEL" in command(rule, "m.keras", Finding("WA101", Severity.ERROR, "a", "x"))
    assert command(rule, "m.keras", Finding("WA101", Severity.WARNING, "a", "x")) == ""


@pytest.mark.parametrize("path", ["m\u202e.keras", "m\n.keras"])
def test_a_path_that_cannot_be_shown_as_it_is_gets_no_command(path: str) -> None:
    """A command with another path than the one that is meant would be worse than none."""
    assert command(_RULES["WA101"], path, Finding("WA101", Severity.ERROR, "a", "x")) == ""


def test_a_finding_about_the_model_gets_no_command() -> None:
    """There is no tensor to repair; nor is there for a rule that is not known."""
    assert command(_RULES["WA101"], "m.keras", Finding("WA101", Severity.ERROR, None, "x")) == ""
    assert command(None, "m.keras", Finding("X1", Severity.ERROR, "a", "x")) == ""
