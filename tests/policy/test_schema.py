"""The JSON schema of policies: it takes every policy that is one, and refuses misspelt ones."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from validate_pyproject.api import Validator
from validate_pyproject.error_reporting import ValidationError
from validate_pyproject.plugins import PluginWrapper
from validate_pyproject.types import Schema

from weightaudit.errors import PolicyError
from weightaudit.policy import parse_policy
from weightaudit.policy.schema import policy_schema, pyproject_schema
from weightaudit.policy.trials import trials
from weightaudit.presets import preset_names, preset_path
from weightaudit.projections.catalogue import load_projections
from weightaudit.registry import load_registry

CHECKOUT = Path(__file__).resolve().parents[2]

SCHEMA = policy_schema(load_registry().rules, load_projections())
CHECK = jsonschema.Draft7Validator(SCHEMA, format_checker=jsonschema.Draft7Validator.FORMAT_CHECKER)

NOT_POLICIES = re.compile(r"^\[(project|build-system|package)|team_(rules|projections)", re.MULTILINE)
"""What else is TOML: packages, and policies with the rules of a package that is an example."""


def policies() -> list[tuple[str, dict[str, Any]]]:
    """Return every policy that this repository holds: presets, and blocks of TOML in README and docs."""
    found = [(name, tomllib.loads(preset_path(name).read_text("utf-8"))) for name in preset_names()]
    for path in (CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md"))):
        blocks = re.findall(r"^```toml\n(.*?)^```$", path.read_text("utf-8"), re.MULTILINE | re.DOTALL)
        for index, block in enumerate(blocks):
            if not NOT_POLICIES.search(block):
                table = tomllib.loads(block)
                found.append((f"{path.name}-{index}", table.get("tool", {}).get("weightaudit", table)))
    return found


def test_it_is_a_schema() -> None:
    """The schema itself keeps draft-07, and can be written as JSON."""
    jsonschema.Draft7Validator.check_schema(json.loads(json.dumps(SCHEMA)))


@pytest.mark.parametrize("table", [pytest.param(table, id=name) for name, table in policies()])
def test_policies_are_valid(table: dict[str, Any]) -> None:
    """Every policy that is shown to users is one for the schema, and for the parser."""
    assert [error.message for error in CHECK.iter_errors(table)] == []
    parse_policy(table, "p.toml")


@pytest.mark.parametrize(
    "text",
    [
        'selct = ["WA1"]',
        'select = "WA1"',
        'fail-on = "eror"',
        "[rules.WA301]\nmaxi = 3.0",
        '[rules.norm-bound]\nmax = "3"',
        "[rules.norm_bound]\nmax = 3.0",
        "[rules.WA999]",
        '[rules.WA301]\nroles = ["kernl"]',
        '[rules.WA210]\ndtype = "float31"',
        '[rules.WA212]\nformats = "int8"',
        '[rules.WA301]\nseverity = "never"',
        '[[overrides]]\ntensors = ["*"]',
        '[[overrides]]\nignore = ["WA1"]',
        '[[overrides]]\nroles = ["bias"]\n[overrides.rules.WA203]\nbound = 1',
        '[[repair]]\ntensors = ["*"]',
        '[[suppressions]]\nrule = "WA402"',
        '[[suppressions]]\nrule = "WA402"\nreason = " "',
        '[[suppressions]]\nrule = "WA402"\nreason = "x"\nexpires = 3',
        '[[suppressions]]\nrule = "WA402"\nreason = "x"\nexpires = "soon"',
        '[[tests]]\nmust = "pass"\ntensor = {shape = [3]}',
        '[[tests]]\nmust = "pass"\ntensor = {fill = 1, normal = 1, shape = [3]}',
        '[[tests]]\nmust = "brake"\ntensor = {fill = 1, shape = [3]}',
        "extends = 1",
        "select = []",
        '[[overrides]]\ntensors = []\nignore = ["WA1"]',
        '[[overrides]]\ntensors = ["*"]\nignore = []',
        '[[overrides]]\ntensors = ["*"]\n[overrides.rules]',
        "[[repair]]\nproject = []",
        '[[repair]]\nproject = "max_nrom(2)"',
        '[[repair]]\nproject = ["non_neg", "max_nrom"]',
        '[[repair]]\nproject = "max_norm(2"',
        '[rules.WA301]\nmax = 3\nroles = ["Kernel"]',
        '[[suppressions]]\nrule = "WA402"\nreason = "x"\nexpires = "20270131"',
        '[[suppressions]]\nrule = "WA402"\nreason = "x"\nexpires = "2027-W05-7"',
        '[[tests]]\nmust = "pass"\ntensor = {fill = 1}',
    ],
)
def test_misspelt_policies_are_not(text: str) -> None:
    """What the parser or the registry refuses, an editor marks."""
    table = tomllib.loads(text)
    assert list(CHECK.iter_errors(table))
    registry = load_registry()
    with pytest.raises(PolicyError):
        trials(parse_policy(table, "p.toml"), registry)


@pytest.mark.parametrize("table", [pytest.param(table, id=name) for name, table in policies()])
def test_editors_take_policies_too(table: dict[str, Any]) -> None:
    """Taplo checks JSON, and has null there for inf and nan: these are valid values all the same."""
    seen = json.loads(json.dumps(table, default=str), parse_constant=lambda _: None)
    assert [error.message for error in CHECK.iter_errors(seen)] == []


@pytest.mark.parametrize(
    ("extends", "is_valid"),
    [("strict", True), (["edge", "../team/p.toml"], True), ("stict", False), ([""], False)],
)
def test_presets_are_completed(extends: str | list[str], *, is_valid: bool) -> None:
    """An editor knows the presets, and marks what is neither one of them nor a file, as the loader does."""
    assert CHECK.is_valid({"extends": extends}) is is_valid


def test_it_knows_every_option_with_its_description() -> None:
    """Each option of each rule is in the schema, under the rule's code and its name, with what it means."""
    tables = SCHEMA["definitions"]["rules"]["properties"]
    bound = tables["WA301"]["properties"]
    assert bound == tables["norm-bound"]["properties"]
    assert bound["max"]["anyOf"] == [{"type": ["number", "null"]}, {"const": "none"}]
    assert bound["max"]["description"].startswith("Largest norm allowed")
    assert "norm-scale" in bound["roles"]["items"]["enum"]
    described = [
        option
        for table in tables.values()
        for option in table["properties"].values()
        if "description" not in option
    ]
    assert described == []


@pytest.mark.parametrize(
    ("table", "is_valid"),
    [
        ("fail-on = 'warning'\n[tool.weightaudit.rules.WA301]\nmax = 3\naxis = 0", True),
        ("[[tool.weightaudit.suppressions]]\nrule = 'WA402'\nreason = 'x'\nexpires = 2027-01-01", True),
        ("fail-onn = 'warning'", False),
        ("[tool.weightaudit.rules.WA301]\nmaxi = 3", False),
    ],
)
def test_validate_pyproject_takes_it(table: str, *, is_valid: bool) -> None:
    """The real validate-pyproject checks the table in a pyproject.toml by this schema, dates included."""
    validator = Validator(plugins=[PluginWrapper("weightaudit", lambda tool: Schema(pyproject_schema(tool)))])
    document = tomllib.loads(f"[tool.weightaudit]\n{table}\n")
    if is_valid:
        assert validator(document) == document
    else:
        with pytest.raises(ValidationError, match="weightaudit"):
            validator(document)


def test_the_entry_point_leads_to_it() -> None:
    """The entry point by which validate-pyproject finds the schema names the function that makes it."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]
    declared = project["entry-points"]["validate_pyproject.tool_schema"]
    assert declared == {"weightaudit": f"{pyproject_schema.__module__}:{pyproject_schema.__name__}"}
