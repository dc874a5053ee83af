"""Which projections are found, and what is refused."""

from __future__ import annotations

import itertools
from importlib.metadata import EntryPoint
from inspect import getdoc
from typing import TYPE_CHECKING

import pytest

from weightaudit import projections
from weightaudit.errors import RuleError, UsageError
from weightaudit.plugins import load_rules
from weightaudit.projections import load_projections
from weightaudit.projections.catalogue import parameters_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Plugin = Callable[[str], str]

NUMBERS = itertools.count()
HEAD = """
from dataclasses import dataclass
from weightaudit.projections import Phase, Projection
from weightaudit.rule import Rule, Severity
"""
PROJECTION = """
@dataclass(frozen=True)
class Halve(Projection):
    "Does nothing."
    name = "halve"
    phase = Phase.NORM

    def project(self, values, *, dtype=None):
        return values
"""
RULE = """
@dataclass(frozen=True)
class One(Rule):
    "Finds nothing."
    code = "ZZ101"
    name = "one"
    severity = Severity.NOTE
"""
GOOD = HEAD + PROJECTION


@pytest.fixture
def make_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plugin:
    """Write a module and return its name, which no other test uses."""

    def make(text: str) -> str:
        name = f"projections_under_test_{next(NUMBERS)}"
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        return name

    return make


def test_built_in_projections() -> None:
    """Every projection has its pure function of the same name beside it, documented with all parameters."""
    found = load_projections()
    assert list(found) == sorted(found)
    assert len(found) == 14
    for name, projection in found.items():
        function = getattr(projections, name)
        assert {name, projection.__name__} <= set(projections.__all__)
        text = getdoc(projection) or ""
        for parameter in parameters_of(projection):
            assert f"{parameter.option.name}: " in text
            assert name == "restore_from" or f"{parameter.option.name}: " in (getdoc(function) or "")


def test_plugins_and_entry_points(make_plugin: Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    """A named module and an installed one are found alike, also when both name the same."""
    plugin = make_plugin(GOOD)
    assert load_projections([plugin, plugin])["halve"].__name__ == "Halve"
    point = EntryPoint("mine", plugin, "weightaudit.projections")
    monkeypatch.setattr(
        "weightaudit.projections.catalogue.entry_points", lambda group: {point.group: [point]}[group]
    )
    assert load_projections()["halve"].__name__ == "Halve"


def test_a_plugin_may_hold_either_kind(make_plugin: Plugin) -> None:
    """Modules with rules, projections or both serve --plugin; neither kind misses the other."""
    rules, both, neither = make_plugin(HEAD + RULE), make_plugin(GOOD + RULE), make_plugin("x = 1")
    mine = make_plugin(GOOD)
    assert "halve" not in load_projections([rules])
    assert "ZZ101" not in {rule.code for rule in load_rules([mine])}
    assert "halve" in load_projections([both])
    assert "ZZ101" in {rule.code for rule in load_rules([both])}
    with pytest.raises(RuleError, match="defines neither a projection nor a rule"):
        load_projections([neither])
    with pytest.raises(RuleError, match="defines no rule"):
        load_rules([neither])


def test_bases_and_private_classes_are_left_out(make_plugin: Plugin) -> None:
    """A base without a name, and a class that begins with an underscore, are no projections to name."""
    base = "class Base(Projection):\n    pass\n"
    private = PROJECTION.replace("Halve", "_Halved")
    assert "halve" in load_projections([make_plugin(GOOD + base + private)])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("raise ValueError('broken')", "cannot be imported (ValueError: broken)."),
        (GOOD + PROJECTION.replace("Halve", "Other"), "halve is claimed by two projections"),
        (GOOD.replace('"halve"', '"max_norm"'), "max_norm is claimed by two projections"),
        (GOOD.replace('"halve"', '"Halve It"'), "needs a name in snake_case"),
        (GOOD.replace("phase = Phase.NORM", ""), "needs a phase"),
        (GOOD.replace("def project(", "def other("), "does not implement project()"),
        (GOOD.replace("frozen=True", ""), "must be a frozen dataclass"),
        (GOOD.replace("@dataclass(frozen=True)", ""), "must be a frozen dataclass"),
        (GOOD.replace('    "Does nothing."\n', ""), "needs a docstring"),
        (
            GOOD.replace("    name", "    what: list\n    name"),
            "an option cannot have the type <class 'list'>",
        ),
        (GOOD.replace("    name", "    what: 'Nowhere'\n    name"), "name 'Nowhere' is not defined"),
    ],
)
def test_a_bad_plugin_is_an_error(make_plugin: Plugin, text: str, expected: str) -> None:
    """A projection that is not well made stops everything with one sentence."""
    with pytest.raises(RuleError) as caught:
        load_projections([make_plugin(text)])
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_plugin_that_is_not_there_is_an_error() -> None:
    """A plugin that cannot be found is named in the error, which is one of usage."""
    with pytest.raises(UsageError, match="no_such_plugin"):
        load_projections(["no_such_plugin"])
