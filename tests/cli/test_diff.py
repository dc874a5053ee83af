"""The contract of `weightaudit diff`: exit codes, streams, files, and models however they are named."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import jsonschema
import pytest

from tests.cli.conftest import environment
from tests.cli.sentences import assert_one_sentence
from tests.cli.test_start import loaded
from weightaudit.render.diff_json import schema

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import CommandLine


def test_0_equal(cli: CommandLine, fixtures_dir: Path) -> None:
    """The same model in two containers is equal; the verdict is on stdout and stderr is silent."""
    result = cli("diff", fixtures_dir / "healthy.keras", fixtures_dir / "legacy.h5")
    assert (result.code, result.err) == (0, "")
    assert result.out == "verdict: equal (exit 0): 28 equal\n"


def test_1_different(cli: CommandLine, fixtures_dir: Path) -> None:
    """A changed tensor is one line with its figures, and the exit code is that of diff."""
    result = cli("diff", fixtures_dir / "healthy.keras", fixtures_dir / "overflow.keras")
    assert (result.code, result.err) == (1, "")
    line, verdict = result.out.splitlines()
    assert line.startswith("changed: stem_norm/moving_variance: relative=")
    assert " at=1 values=" in line
    assert "->90000 " in line
    assert verdict == "verdict: different (exit 1): 1 changed, 27 equal"


def test_1_depends_on_the_tolerance(cli: CommandLine, fixtures_dir: Path) -> None:
    """--tolerance decides which changes count, --weights-only which tensors do."""
    pair = (fixtures_dir / "checkpoint" / "ckpt-1", fixtures_dir / "bfloat16.keras")
    assert cli("diff", *pair, "--tolerance", "0.01").code == 1
    assert cli("diff", *pair, "--weights-only").code == 1
    result = cli("diff", *pair, "--weights-only", "--tolerance", "0.01")
    assert result.code == 0
    assert "4 within the tolerance of 0.01" in result.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["absent.keras", "{healthy}"], "absent.keras does not exist"),
        (["{healthy}", ""], "A path is empty"),
        (["{healthy}", "{folder}"], "models; name one of them"),
        (["{healthy}", "{healthy}", "--tolerance", "-1"], "makes no sense"),
        (["{healthy}", "{healthy}", "-q", "-v"], "contradict"),
        (["{healthy}", "{healthy}", "-o", "{folder}/absent/x"], "there is no directory"),
        (["{healthy}", "{copy}", "-o", "{copy}"], "belongs to one of the models"),
    ],
)
def test_2_wrong_usage(cli: CommandLine, fixtures_dir: Path, arguments: list[str], words: str) -> None:
    """Paths that mean no model or several, and options without sense, are wrong usage."""
    shutil.copy(fixtures_dir / "legacy.h5", cli.cwd / "copy.h5")
    places = {"healthy": fixtures_dir / "healthy.keras", "folder": fixtures_dir, "copy": cli.cwd / "copy.h5"}
    assert_one_sentence(cli("diff", *(text.format(**places) for text in arguments)), 2, words)
    assert (cli.cwd / "copy.h5").read_bytes() == (fixtures_dir / "legacy.h5").read_bytes()


def test_2_one_model_is_not_enough(cli: CommandLine, fixtures_dir: Path) -> None:
    """A single argument is wrong usage."""
    assert cli("diff", fixtures_dir / "healthy.keras").code == 2


def test_3_a_damaged_model(cli: CommandLine, fixtures_dir: Path) -> None:
    """A truncated model and a file that is none end with a sentence that names them."""
    short = cli.cwd / "short.keras"
    short.write_bytes((fixtures_dir / "healthy.keras").read_bytes()[:5000])
    healthy = fixtures_dir / "healthy.keras"
    for pair in ((healthy, short), (short, healthy)):
        assert_one_sentence(cli("diff", *pair), 3, "short.keras")
    assert_one_sentence(cli("diff", healthy, fixtures_dir / "notamodel.h5"), 3, "notamodel.h5")


def test_3_a_missing_shard(cli: CommandLine, fixtures_dir: Path) -> None:
    """A model of which a part is missing is not compared whole, however much of it differs."""
    for path in fixtures_dir.glob("sharded*"):
        if "00001" not in path.name:
            shutil.copy(path, cli.cwd / path.name)
    result = cli("diff", fixtures_dir / "healthy.keras", "sharded.weights.json")
    assert result.code == 3
    assert "not compared: sharded.weights.json: " in result.out
    assert "verdict: incomplete (exit 3)" in result.out


def test_json_is_as_the_schema_says(cli: CommandLine, fixtures_dir: Path) -> None:
    """JSON goes to stdout and follows the schema; the verdict goes to stderr; a second run gives the same."""
    pair = (fixtures_dir / "nan.keras", fixtures_dir / "exported")
    first = cli("diff", *pair, "--format", "json")
    assert first.code == 1
    document = json.loads(first.out)
    jsonschema.Draft202012Validator(schema()).validate(document)
    assert document["exit_code"] == 1
    assert document["summary"]["changed"] == 1
    assert first.err == "weightaudit: different (exit 1): 10 removed, 1 changed, 3 equal.\n"
    assert cli("diff", *pair, "--format", "json").out == first.out


def test_output_goes_to_a_file(cli: CommandLine, fixtures_dir: Path) -> None:
    """--output writes the file whole, keeps stdout silent, and tells the verdict on stderr."""
    pair = (fixtures_dir / "healthy.keras", fixtures_dir / "overflow.keras")
    result = cli("diff", *pair, "-o", "diff.txt")
    assert (result.code, result.out) == (1, "")
    assert result.err == "weightaudit: different (exit 1): 1 changed, 27 equal.\n"
    assert (cli.cwd / "diff.txt").read_text() == cli("diff", *pair).out
    assert cli("diff", *pair, "-q", "-o", "diff.txt").err == ""


def test_directories_and_checkpoints_are_found(cli: CommandLine, fixtures_dir: Path) -> None:
    """A directory with one model stands for it, as does the prefix of a checkpoint."""
    folder, prefix = fixtures_dir / "checkpoint", fixtures_dir / "checkpoint" / "ckpt-1"
    assert cli("diff", folder, prefix).code == 0
    assert cli("diff", prefix, fixtures_dir / "exported" / "saved_model.pb", "--weights-only").code == 0


def test_a_terminal_gets_a_table(fixtures_dir: Path) -> None:
    """A person sees both models, a table and the verdict, in colour unless --no-color."""
    command = [sys.executable, "-m", "weightaudit", "diff", "healthy.keras", "overflow.keras"]
    for more, coloured in (([], True), (["--no-color"], False)):
        ours, theirs = pty.openpty()
        env = environment({"TERM": "xterm-256color", "COLUMNS": "100"})
        env.pop("NO_COLOR", None)
        done = subprocess.run(
            [*command, *more], stdout=theirs, stderr=theirs, env=env, cwd=fixtures_dir, check=False
        )
        os.close(theirs)
        shown = os.read(ours, 65536).decode()
        os.close(ours)
        assert done.returncode == 1
        assert "- healthy.keras" in shown
        assert "+ overflow.keras" in shown
        assert "moving_variance" in shown
        assert "different (exit 1)" in shown
        assert ("\x1b[31m" in shown or "\x1b[1;31m" in shown) is coloured


def test_a_version_can_be_compared(cli: CommandLine, fixtures_dir: Path) -> None:
    """A version of the store is named by its address, beside a path."""
    shutil.copy(fixtures_dir / "healthy.keras", cli.cwd / "model.keras")
    assert cli("commit", "model.keras", "-m", "first").code == 0
    shutil.copy(fixtures_dir / "overflow.keras", cli.cwd / "model.keras")
    result = cli("diff", "model.keras@1", "model.keras")
    assert result.code == 1, result
    assert result.out.startswith("changed: stem_norm/moving_variance: ")
    assert_one_sentence(cli("diff", "model.keras@7", "model.keras"), 3, "model.keras@7")


def test_the_help_says_the_exit_codes(cli: CommandLine) -> None:
    """--help names every exit code and loads nothing heavy."""
    text = " ".join(cli("diff", "--help").out.split())
    for code in ("0 equal", "1 different", "2 wrong usage", "3 something"):
        assert code in text
    assert not loaded(cli.cwd, "diff", "--help") & {"numpy", "h5py", "rich", "tensorflow", "keras"}


def test_a_piped_diff_loads_neither_tensorflow_nor_rich(fixtures_dir: Path) -> None:
    """Two models are compared without TensorFlow, Keras, Rich, or h5py in the process itself."""
    heavy = {"tensorflow", "keras", "tf_keras", "h5py", "rich"}
    assert not loaded(fixtures_dir, "diff", "healthy.keras", "legacy.h5") & heavy
