"""The contract of `weightaudit check`: exit codes, streams, escaping, files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.sentences import assert_one_sentence

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine

HEAD = """
from dataclasses import dataclass
import sys
from typing import ClassVar
from weightaudit.rule import Rule, Severity

@dataclass(frozen=True)
class Bad(Rule):
    "Misbehaves."
    code: ClassVar[str] = "BAD101"
    name: ClassVar[str] = "bad"
    severity: ClassVar[Severity] = Severity.NOTE
    def check(self, info, stats):
"""


def test_0_nothing_fails(cli: CommandLine, fixtures_dir: Path) -> None:
    """A healthy model passes, the report says so on stdout, and nobody writes on stderr."""
    result = cli("check", fixtures_dir / "healthy.keras")
    assert result.code == 0, result
    assert "verdict: passed" in result.out
    assert result.err == ""


def test_1_findings(cli: CommandLine, fixtures_dir: Path) -> None:
    """A model with NaN fails, and the finding is one line that names rule and tensor."""
    result = cli("check", fixtures_dir / "nan.keras")
    assert result.code == 1, result
    assert any("error WA101 nan-values" in line for line in result.out.splitlines())
    assert result.err == ""


def test_1_only_from_the_level_on(cli: CommandLine, fixtures_dir: Path) -> None:
    """--fail-on decides which findings fail; `never` lets even errors pass."""
    assert cli("check", fixtures_dir / "nan.keras", "--fail-on", "never").code == 0
    assert cli("check", fixtures_dir / "overflow.keras").code == 0
    assert cli("check", fixtures_dir / "overflow.keras", "--fail-on", "warning").code == 1


def test_2_a_path_that_does_not_exist(cli: CommandLine) -> None:
    """A mistyped path is wrong usage."""
    assert_one_sentence(cli("check", "absent.keras"), 2, "absent.keras does not exist")


def test_2_an_unknown_option(cli: CommandLine) -> None:
    """An option that does not exist is wrong usage, as is a missing argument."""
    for arguments in (["check", "--nonsense", "x"], ["check"], ["nonsense"]):
        result = cli(*arguments)
        assert result.code == 2, result
        assert result.out == ""
        assert "Traceback" not in result.err


def test_2_a_wrong_policy(cli: CommandLine, fixtures_dir: Path) -> None:
    """A policy found upward that says something unknown is refused with file, key and suggestion."""
    (cli.cwd / "weightaudit.toml").write_text("[rules.nan-value]\n")
    result = cli("check", fixtures_dir / "healthy.keras")
    assert_one_sentence(result, 2, "weightaudit.toml:1: rules.nan-value", "did you mean 'nan-values'?")


def test_2_an_unknown_rule_on_the_command_line(cli: CommandLine, fixtures_dir: Path) -> None:
    """A misspelt rule is not an empty selection."""
    for flag in ("--select", "--ignore"):
        result = cli("check", fixtures_dir / "nan.keras", flag, "WA101,WAA102")
        assert_one_sentence(result, 2, f"{flag}: 'WAA102'", "did you mean 'WA102'?")


def test_3_not_a_model(cli: CommandLine, fixtures_dir: Path) -> None:
    """A file that was named and is no model makes the audit incomplete, not clean."""
    result = cli("check", fixtures_dir / "notamodel.h5")
    assert result.code == 3, result
    assert "notamodel.h5" in result.out
    assert "Traceback" not in result.err


def test_3_a_directory_without_models(cli: CommandLine) -> None:
    """A directory in which there is nothing to audit is no success."""
    (cli.cwd / "empty").mkdir()
    assert_one_sentence(cli("check", "empty"), 3, "empty holds no saved model")


def test_3_one_path_without_a_model(cli: CommandLine, fixtures_dir: Path) -> None:
    """Beside a model, what is missing, empty or matches nothing is told in every format."""
    shutil.copy(fixtures_dir / "nan.keras", cli.cwd / "m.keras")
    (cli.cwd / "empty").mkdir()
    formats = ("text", "json", "jsonl", "sarif", "junit", "github", "gitlab", "markdown", "csv", "html")
    options = [word for name in formats for word in ("-f", f"{name}=report.{name}")]
    sentences = ["absent does not exist", "empty holds no saved model", "x.h5 matches nothing"]
    result = cli("check", "absent", "empty", "m.keras", "[no]x.h5", *options)
    assert result.code == 3, result
    for name in formats:
        told = (cli.cwd / f"report.{name}").read_text()
        assert [sentence for sentence in sentences if sentence not in told] == [], name
        assert "m.keras" in told, name
    models = json.loads((cli.cwd / "report.json").read_text())["models"]
    assert [model["path"] for model in models] == ["absent", "empty", "m.keras", "[no]x.h5"]
    assert [bool(model["findings"]) for model in models] == [False, False, True, False]


@pytest.mark.parametrize("name", ["no_such_rules", "./rules.py", "rules.py", "os.no_such_rules"])
def test_2_a_plugin_that_is_not_there(cli: CommandLine, fixtures_dir: Path, name: str) -> None:
    """A mistyped plugin is wrong usage, and the sentence says what a plugin is."""
    result = cli("check", fixtures_dir / "healthy.keras", "--plugin", name)
    assert_one_sentence(result, 2, f"There is no rule plugin '{name}'", "PYTHONPATH")


@pytest.mark.parametrize("name", ["broken_rules", "broken_rules.inner"])
def test_3_a_plugin_that_crashes(
    cli: CommandLine, fixtures_dir: Path, plugin: dict[str, str], name: str
) -> None:
    """A plugin that is there and cannot be imported stops the audit, with the import's own reason."""
    Path(plugin["PYTHONPATH"], "broken_rules.py").write_text("import no_such_dependency\n")
    result = cli("check", fixtures_dir / "healthy.keras", "--plugin", name, env=plugin)
    assert_one_sentence(result, 3, f"{name} cannot be imported", "no_such_dependency")


@pytest.mark.parametrize(
    "arguments",
    [
        [""],
        ["m.keras", "--policy", ""],
        ["m.keras", "--output", ""],
        ["m.keras", "--plugin", ""],
        ["m.keras", "--select", ","],
        ["m.keras", "--ignore", ""],
    ],
)
def test_2_what_is_empty(cli: CommandLine, fixtures_dir: Path, arguments: list[str]) -> None:
    """A variable that was not set is wrong usage; it never means the working directory."""
    shutil.copy(fixtures_dir / "healthy.keras", cli.cwd / "m.keras")
    assert_one_sentence(cli("check", *arguments), 2, "is empty")


def test_2_a_bound_that_is_no_number(cli: CommandLine, fixtures_dir: Path) -> None:
    """A --timeout of nan, which would never end anything, is wrong usage."""
    done = cli("check", fixtures_dir / "healthy.keras", "--timeout", "nan")
    assert (done.code, done.out) == (2, "")
    assert "'--timeout': nan is no number of seconds." in done.err


def test_2_a_configuration_that_is_not_there(cli: CommandLine, fixtures_dir: Path) -> None:
    """A --config that cannot be opened is told in a whole sentence with the system's reason."""
    done = cli("check", fixtures_dir / "healthy.keras", "--config", "no.json")
    sentence = "weightaudit: no.json cannot be used as a configuration: No such file or directory.\n"
    assert (done.code, done.out, done.err) == (2, "", sentence)


def test_2_quiet_and_verbose(cli: CommandLine, fixtures_dir: Path) -> None:
    """Options that contradict each other are wrong usage; neither wins in silence."""
    assert_one_sentence(cli("check", fixtures_dir / "healthy.keras", "-q", "-v"), 2, "contradict")


def test_what_was_left_out_is_told(cli: CommandLine, fixtures_dir: Path) -> None:
    """A search says on stderr what it left out and why; --quiet only does where that is the whole answer."""
    shutil.copy(fixtures_dir / "healthy.keras", cli.cwd / "m.keras")
    (cli.cwd / "a\x1b[2J.tflite").write_bytes(bytes(4) + b"TFL3" + bytes(100))
    shutil.copy(fixtures_dir / "notamodel.h5", cli.cwd / "data.h5")
    for name in "abcde":
        (cli.cwd / f"{name}.txt").write_text("text")
    result = cli("check", ".")
    assert result.code == 0
    lines = result.err.splitlines()
    assert lines[0].startswith("weightaudit: left out a\\x1b[2J.tflite: a TensorFlow Lite model")
    assert lines[1].startswith("weightaudit: left out data.h5: an HDF5 file, but")
    assert lines[2].startswith("weightaudit: left out a.txt, b.txt, c.txt and 2 more: not a saved")
    assert cli("check", ".", "--quiet").err == ""
    (cli.cwd / "m.keras").unlink()
    result = cli("check", ".", "--quiet")
    assert result.code == 3
    assert "left out data.h5: an HDF5 file" in result.err
    (cli.cwd / "data.h5").unlink()
    assert_one_sentence(
        cli("check", "."), 3, ". holds no saved model; left out: ", "a.txt, b.txt, c.txt and 2 more"
    )


@pytest.mark.parametrize("body", ["raise ValueError('a\\x1b[31mb')", "raise MemoryError", "yield 1"])
def test_3_a_rule_that_crashes(
    cli: CommandLine, fixtures_dir: Path, plugin: dict[str, str], body: str
) -> None:
    """A rule that crashes leaves the audit incomplete, and what it says cannot act on a terminal."""
    Path(plugin["PYTHONPATH"], "bad_rules.py").write_text(f"{HEAD}        {body}\n")
    result = cli("check", fixtures_dir / "healthy.keras", "--plugin", "bad_rules", env=plugin)
    assert result.code == 3, result
    assert "BAD101" in result.out + result.err
    assert "\x1b" not in result.out + result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize("code", [0, 1, 2])
def test_3_a_rule_that_exits(cli: CommandLine, fixtures_dir: Path, plugin: dict[str, str], code: int) -> None:
    """A rule that ends the program does not choose its exit code."""
    body = (
        f"        try:\n            open('absent')\n        except OSError:\n            sys.exit({code})\n"
    )
    Path(plugin["PYTHONPATH"], "bad_rules.py").write_text(HEAD + body)
    result = cli("check", fixtures_dir / "healthy.keras", "--plugin", "bad_rules", env=plugin)
    assert result.code == 3, result


def test_a_traceback_on_request(cli: CommandLine) -> None:
    """WEIGHTAUDIT_DEBUG=1 adds the traceback that a bug report needs."""
    result = cli("check", "absent", env={"WEIGHTAUDIT_DEBUG": "1"})
    assert result.code == 2
    assert "Traceback" in result.err


def test_130_interrupted(cli: CommandLine, fixtures_dir: Path, plugin: dict[str, str]) -> None:
    """An interrupted audit is neither a success nor a finding."""
    Path(plugin["PYTHONPATH"], "bad_rules.py").write_text(f"{HEAD}        raise KeyboardInterrupt\n")
    result = cli("check", fixtures_dir / "healthy.keras", "--plugin", "bad_rules", env=plugin)
    assert (result.code, result.out) == (130, "")
    assert "Traceback" not in result.err


def test_json_is_alone_on_stdout(cli: CommandLine, fixtures_dir: Path) -> None:
    """Standard output is one JSON document, and the verdict goes to stderr unless it is to be quiet."""
    result = cli("check", fixtures_dir / "nan.keras", "--format", "json")
    assert result.code == 1
    assert json.loads(result.out)["exit_code"] == 1
    assert result.err.startswith("weightaudit: failed (exit 1)")
    assert cli("check", fixtures_dir / "nan.keras", "--format", "json", "--quiet").err == ""


def test_same_input_same_bytes(cli: CommandLine, fixtures_dir: Path) -> None:
    """Two runs give the same report, and it names no absolute path."""
    shutil.copy(fixtures_dir / "nan.keras", cli.cwd / "m.keras")
    first = cli("check", cli.cwd / "m.keras", "--format", "json", "--verbose").out
    assert '"path": "m.keras"' in first
    assert first == cli("check", "m.keras", "--format", "json", "--verbose").out
    assert str(cli.cwd) not in first


def test_selection_on_the_command_line(cli: CommandLine, fixtures_dir: Path) -> None:
    """--select replaces the policy's selection, --ignore adds to what it ignores."""
    (cli.cwd / "weightaudit.toml").write_text('select = ["WA2"]\nignore = ["WA102"]\n')
    nan = fixtures_dir / "nan.keras"
    assert cli("check", nan).code == 0
    assert cli("check", nan, "--select", "WA101, WA102").code == 1
    assert cli("check", nan, "--select", "nan-values", "--ignore", "WA103").code == 1
    assert cli("check", nan, "--select", "WA10", "--ignore", "WA101").code == 0


def test_a_named_policy_replaces_the_one_found(cli: CommandLine, fixtures_dir: Path) -> None:
    """--policy is used instead of the nearest file upward."""
    (cli.cwd / "weightaudit.toml").write_text('ignore = ["WA101"]\n')
    (cli.cwd / "strict.toml").write_text('[rules.WA101]\nseverity = "warning"\n')
    result = cli("check", fixtures_dir / "nan.keras", "--policy", "strict.toml")
    assert result.code == 0
    assert "warning WA101" in result.out


def test_several_models_and_the_verdict(cli: CommandLine, fixtures_dir: Path) -> None:
    """One bad model among good ones decides, and each is reported under its own path."""
    for name in ("healthy", "nan"):
        shutil.copy(fixtures_dir / f"{name}.keras", cli.cwd / f"{name}.keras")
    result = cli("check", ".")
    assert result.code == 1
    assert "healthy.keras: " in result.out
    assert "nan.keras: " in result.out


def test_hostile_names(cli: CommandLine, fixtures_dir: Path) -> None:
    """Control characters in the name of a file never reach a terminal, whatever goes wrong."""
    name = "a\x1b[2Jb\n::error::c.keras"
    shutil.copy(fixtures_dir / "nan.keras", cli.cwd / name)
    (cli.cwd / "broken\x1b[2J.keras").write_bytes(b"")
    found = cli("check", ".")
    assert found.code == 3
    for result in (found, cli("check", "absent\x1b[2J\n::error::")):
        assert "\x1b" not in result.out + result.err
        assert not any(line.startswith("::") for line in (result.out + result.err).splitlines())
