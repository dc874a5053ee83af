"""What is in force, and where each value is said to come from."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from weightaudit.policy import Policy, read_policy
from weightaudit.policy.showing import show_policy
from weightaudit.registry import configure, load_registry

if TYPE_CHECKING:
    from pathlib import Path

OWN = """\
extends = ["base.toml", "strict"]
ignore = ["WA211"]

[rules.norm-bound]
max = 3.0

[[overrides]]
tensors = ["*/kernel"]
ignore = ["constant-tensor"]
[overrides.rules.value-bound]
max = inf
min = -1.5

[[suppressions]]
rule = "WA402"
tensors = ["dw\\u0022*"]
reason = "seen"
expires = 2027-01-01

[[repair]]
project = "max_norm(2, axis=0)"
"""

BASE = """\
[rules.WA301]
order = inf
severity = "note"
"""


def shown(folder: Path, policy: Policy | None = None) -> str:
    """Return what is shown of the policy in a folder, or of one that the command line changed."""
    path = folder / "own.toml"
    in_force = read_policy(path)
    return show_policy(policy or in_force, in_force, load_registry(), path)


def origin(text: str, line: str) -> str:
    """Return what stands in the comment behind a line."""
    (found,) = re.findall(rf"^{re.escape(line)} +# (.*)$", text, re.MULTILINE)
    return str(found).rpartition("/")[2]


def test_every_value_has_its_origin(tmp_path: Path) -> None:
    """Each value comes from a file and a line, a preset, the default or the command line."""
    (tmp_path / "own.toml").write_text(OWN)
    (tmp_path / "base.toml").write_text(BASE)
    policy = replace(read_policy(tmp_path / "own.toml"), select=("WA",))
    text = shown(tmp_path, policy)
    assert origin(text, 'select = ["WA"]') == "command line"
    assert origin(text, 'fail-on = "warning"') == "preset strict:6"
    assert origin(text, 'ignore = ["WA211"]') == "own.toml:2"
    assert origin(text, "max = 3.0") == "own.toml:5"
    assert origin(text, "order = inf") == "base.toml:2"
    assert origin(text, 'severity = "note"') == "base.toml:3"
    assert origin(text, "[[overrides]]") == "own.toml:7"
    assert "# WA211 low-precision-underflow: ignored" in text
    assert "# WA304 value-bound: silent but where an override gives it options" in text
    assert "# WA401 sparsity: silent until it is given options" in text


def test_what_is_shown_is_a_policy_that_says_the_same(tmp_path: Path) -> None:
    """Read back, the output configures the same rules, overrides, suppressions and repairs."""
    (tmp_path / "own.toml").write_text(OWN)
    (tmp_path / "base.toml").write_text(BASE)
    first = read_policy(tmp_path / "own.toml")
    (tmp_path / "shown.toml").write_text(shown(tmp_path))
    again, registry = read_policy(tmp_path / "shown.toml"), load_registry()
    assert configure(registry, again).variants() == configure(registry, first).variants()
    assert again.suppressions == first.suppressions
    assert again.overrides == first.overrides
    assert [one.project for one in again.repairs] == [one.project for one in first.repairs]
    assert (again.fail_on, again.select, again.ignore) == (first.fail_on, first.select, first.ignore)


def test_the_command_line_can_say_what_the_file_says(tmp_path: Path) -> None:
    """A value that the command line gives comes from there, though the file gives the same one."""
    path = tmp_path / "own.toml"
    path.write_text('fail-on = "note"\nselect = ["WA1"]\n')
    in_force = read_policy(path)
    text = show_policy(in_force, in_force, load_registry(), path, ["fail-on"])
    assert origin(text, 'fail-on = "note"') == "command line"
    assert origin(text, 'select = ["WA1"]') == "own.toml:2"


def test_without_a_policy(tmp_path: Path) -> None:
    """The default policy is shown, too, and is one."""
    text = show_policy(Policy(), Policy(), load_registry(), None)
    assert text.startswith("# Policy in force: the default one")
    (tmp_path / "shown.toml").write_text(text)
    registry = load_registry()
    again = configure(registry, read_policy(tmp_path / "shown.toml"))
    assert again.judges == configure(registry, Policy()).judges


def test_a_project_file(tmp_path: Path) -> None:
    """Lines are counted in pyproject.toml as a whole."""
    path = tmp_path / "pyproject.toml"
    path.write_text('[project]\nname = "x"\n[tool.weightaudit]\nfail_on = "note"\n')
    in_force = read_policy(path)
    text = show_policy(in_force, in_force, load_registry(), path)
    assert origin(text, 'fail-on = "note"') == "pyproject.toml:4"
