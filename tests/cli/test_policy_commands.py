"""`weightaudit config` and `weightaudit policy`, and suppressions, as users run them."""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING

import jsonschema

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine

POLICY = """\
extends = "strict"

[[suppressions]]
rule = "nan-values"
tensors = ["dense/hidden/*"]
models = ["nan.keras"]
reason = "The mask is applied when the model is served."

[[tests]]
title = "a trained kernel"
tensor = { normal = 0.05, shape = [64, 32] }
must = "pass"

[[tests]]
title = "a kernel of ones"
tensor = { fill = 1.0, shape = [64, 32] }
must = "fail"
rules = ["constant-tensor"]
"""


def test_a_suppression(run: CommandLine) -> None:
    """What the policy suppresses does not fail, is counted, and is shown with its reason when asked for."""
    (run.cwd / "weightaudit.toml").write_text(POLICY)
    done = run("check", "nan.keras", "--show-suppressed")
    assert done.code == 0
    assert "(weightaudit.toml:3: suppressions[0]: The mask is applied when the model is served.)" in done.out
    assert "1 suppressed" in done.out
    assert "WA101" not in run("check", "nan.keras").out


def test_one_without_a_reason_is_refused(run: CommandLine) -> None:
    """Nobody can leave out why: exit code 2, before anything is read."""
    (run.cwd / "weightaudit.toml").write_text('[[suppressions]]\nrule = "WA101"\n')
    done = run("check", "nan.keras")
    assert (done.code, done.out) == (2, "")
    assert done.err == "weightaudit: weightaudit.toml:1: suppressions[0] must say why: give it a reason.\n"


def test_an_expired_one_is_a_finding(run: CommandLine) -> None:
    """Its finding counts again, and the policy's own is told under the policy's file."""
    (run.cwd / "weightaudit.toml").write_text(
        '[[suppressions]]\nrule = "WA101"\nreason = "for now"\nexpires = 2020-01-31\n'
    )
    done = run("check", "nan.keras")
    assert done.code == 1
    assert "weightaudit.toml: warning WA901 expired-suppression: " in done.out
    assert "error WA101" in done.out


def test_config_show(run: CommandLine) -> None:
    """What is in force is TOML with the origin of each value, the command line's among them."""
    (run.cwd / "weightaudit.toml").write_text(POLICY)
    done = run("config", "show", "--ignore", "WA211", "--fail-on", "note")
    assert done.code == 0
    table = tomllib.loads(done.out)
    assert (table["fail-on"], table["ignore"]) == ("note", ["WA211"])
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert lines[0] == "# Policy in force: weightaudit.toml, which extends preset strict"
    assert 'fail-on = "note" # command line' in lines
    assert 'select = ["ALL"] # default' in lines
    assert "[[suppressions]] # weightaudit.toml:3" in lines


def test_config_show_with_a_module_of_the_command_line(run: CommandLine) -> None:
    """What is shown names the module, so that it is a policy on its own."""
    done = run("config", "show", "--plugin", "weightaudit_rules.nan_values")
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert 'plugins = ["weightaudit_rules.nan_values"] # command line' in lines


def test_config_schema(run: CommandLine) -> None:
    """The schema is JSON, takes the policy in force, and needs no policy to be there."""
    done = run("config", "schema")
    assert done.code == 0
    schema = json.loads(done.out)
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    jsonschema.validate(tomllib.loads(POLICY), schema, cls=jsonschema.Draft7Validator)


def test_policy_test(run: CommandLine) -> None:
    """Examples that are as they must be give 0, others 1, a policy without any 2."""
    path = run.cwd / "weightaudit.toml"
    path.write_text(POLICY)
    done = run("policy", "test")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        "ok     weightaudit.toml:9: tests[0] a trained kernel: must pass",
        "ok     weightaudit.toml:14: tests[1] a kernel of ones: must fail",
        "weightaudit.toml: 2 of 2 examples are as they must be.",
    ]
    path.write_text(POLICY + '\n[rules.constant-tensor]\nseverity = "note"\n')
    done = run("policy", "test")
    assert done.code == 1
    assert "FAILED weightaudit.toml:14: tests[1] a kernel of ones: must fail" in done.out
    path.write_text("")
    done = run("policy", "test")
    assert (done.code, done.out) == (2, "")
    assert "There is nothing to try: weightaudit.toml has no [[tests]]" in done.err


def test_explain(run: CommandLine) -> None:
    """The rules about the policy itself have pages like any other."""
    for code in ("WA901", "WA902", "WA903", "WA904"):
        assert "How to mend:" in run("explain", code).out
