"""Which rules plugins bring, and which plugins are refused."""

from __future__ import annotations

import itertools
import sys
from typing import TYPE_CHECKING

import pytest

from weightaudit.errors import RuleError, UsageError
from weightaudit.plugins import load_rules

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NUMBERS = itertools.count()
HEAD = """
from dataclasses import dataclass
from typing import ClassVar
from weightaudit.rule import Rule, Severity
"""
RULE = """
@dataclass(frozen=True)
class {title}(Rule):
    "Finds nothing."
    code: ClassVar[str] = "{code}"
    name: ClassVar[str] = "{name}"
    severity: ClassVar[Severity] = Severity.NOTE
"""
GOOD = HEAD + RULE.format(title="One", code="ZZ101", name="one")


@pytest.fixture
def make_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], str]:
    """Write a package with those modules and return its name, which no other test uses."""

    def make(modules: dict[str, str]) -> str:
        name = f"plugin_under_test_{next(NUMBERS)}"
        package = tmp_path / name
        package.mkdir()
        for module, text in {"__init__": "", **modules}.items():
            (package / f"{module}.py").write_text(text.replace("PACKAGE", name), encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        return name

    return make


def test_a_package_is_walked(make_plugin: Callable[[dict[str, str]], str]) -> None:
    """Rules of every module below a package count, but neither bases without a code nor imports."""
    base = "class Base(Rule):\n    pass\n"
    other = HEAD + RULE.format(title="Two", code="ZZ102", name="two")
    name = make_plugin({"b": GOOD + base, "a": other + "from PACKAGE.b import One\n"})
    found = [rule.code for rule in load_rules([name])]
    assert found.count("ZZ101") == 1
    assert found.count("ZZ102") == 1
    assert name in sys.modules


def test_a_plugin_named_twice_is_loaded_once(make_plugin: Callable[[dict[str, str]], str]) -> None:
    """A policy and the command line may name the same plugin."""
    name = make_plugin({"a": GOOD})
    assert [rule.code for rule in load_rules([name, name])].count("ZZ101") == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("raise ValueError('broken')", "cannot be imported (ValueError: broken)."),
        ("raise SystemExit(0)", "cannot be imported (SystemExit: 0)."),
        ("import no_such_module", "cannot be imported (ModuleNotFoundError"),
        ("x = 1", "defines no rule"),
        (GOOD + RULE.format(title="Two", code="ZZ101", name="two"), "ZZ101 is claimed by two rules"),
        (GOOD + RULE.format(title="Two", code="ZZ102", name="one"), "one is claimed by two rules"),
        (HEAD + RULE.format(title="One", code="WA101", name="one"), "WA101 is claimed by two rules"),
        (HEAD + RULE.format(title="One", code="zz1", name="one"), "has the code 'zz1'"),
        (HEAD + RULE.format(title="One", code="ZZ101", name="One Rule"), "needs a name in kebab-case"),
        (GOOD.replace("frozen=True", ""), "must be a frozen dataclass"),
        (GOOD.replace("@dataclass(frozen=True)", ""), "must be a frozen dataclass"),
        (GOOD.replace('    "Finds nothing."\n', ""), "needs a docstring"),
        (GOOD.replace("severity: ClassVar[Severity] = Severity.NOTE", ""), "needs a severity"),
        (GOOD + "    limit: float\n", "its option limit has no default"),
        (GOOD + "    limit: list = None\n", "an option cannot have the type <class 'list'>"),
        (GOOD + "    limit: 'Nowhere' = None\n", "name 'Nowhere' is not defined"),
    ],
)
def test_a_bad_plugin_is_an_error(
    make_plugin: Callable[[dict[str, str]], str], text: str, expected: str
) -> None:
    """A rule that is not well made, or silently not there, stops everything with one sentence."""
    name = make_plugin({"a": text})
    with pytest.raises(RuleError) as caught:
        load_rules([name])
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_plugin_that_is_not_there_is_an_error() -> None:
    """A plugin that cannot be found is named in the error, which is one of usage."""
    with pytest.raises(UsageError, match="There is no rule plugin 'no_such_plugin'"):
        load_rules(["no_such_plugin"])


def test_no_rule_at_all_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without any rule would judge nothing, and says so instead."""
    monkeypatch.setattr("weightaudit.plugins.entry_points", lambda group: ())  # noqa: ARG005
    with pytest.raises(RuleError, match="No rule is installed"):
        load_rules()
