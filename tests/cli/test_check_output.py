"""Where the report of `weightaudit check` goes: files, closed streams, pipes, a terminal."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.sentences import assert_one_sentence
from weightaudit.render.sarif import RUNS

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine


def test_the_output_file_appears_whole(cli: CommandLine, fixtures_dir: Path) -> None:
    """--output holds what stdout would, replaces an older file, and leaves nothing else behind."""
    plain = cli("check", fixtures_dir / "nan.keras")
    (cli.cwd / "report.txt").write_text("old")
    result = cli("check", fixtures_dir / "nan.keras", "--output", "report.txt")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("weightaudit: failed (exit 1)")
    assert (cli.cwd / "report.txt").read_text() == plain.out
    assert [path.name for path in cli.cwd.iterdir()] == ["report.txt"]


def test_where_the_output_cannot_go(cli: CommandLine, fixtures_dir: Path) -> None:
    """A report never replaces the model, and a place that cannot hold it is refused before the work."""
    model = cli.cwd / "m.keras"
    shutil.copy(fixtures_dir / "healthy.keras", model)
    shutil.copytree(fixtures_dir / "exported", cli.cwd / "sm")
    before = model.read_bytes()
    (cli.cwd / "link.txt").symlink_to("m.keras")
    for place, words in (
        ("m.keras", "one of the models"),
        ("link.txt", "one of the models"),
        ("sm/saved_model.pb", "one of the models"),
        ("sm/variables/variables.index", "one of the models"),
        ("sm/fingerprint.pb", "one of the models"),
        (".", "is a directory"),
        ("no/report.txt", "there is no directory"),
        ("n" * 300, "name too long"),
    ):
        assert_one_sentence(cli("check", "m.keras", "sm", "--output", place), 2, words)
    assert model.read_bytes() == before


def test_a_refused_place_is_named_as_it_was_written(cli: CommandLine, fixtures_dir: Path) -> None:
    """The sentence names --format FORMAT=FILE where that names the file, and --output where that does."""
    model = fixtures_dir / "healthy.keras"
    done = cli("check", model, "-f", "text", "-f", "sarif=no/a.sarif")
    assert_one_sentence(done, 2, "--format sarif=no/a.sarif cannot be written: there is no directory no")
    done = cli("check", model, "-f", "sarif", "-o", "no/a.sarif")
    assert_one_sentence(done, 2, "--output no/a.sarif cannot be written: there is no directory no")


def test_a_report_never_replaces_what_the_audit_reads(run: CommandLine) -> None:
    """Policy, what it extends, baseline, configuration and reference are refused as places for a report."""
    (run.cwd / "base.toml").write_text("")
    (run.cwd / "p.toml").write_text('extends = "base.toml"\n')
    assert run("baseline", "write", "nan.keras", "-o", "known.json").code == 0
    for options, place in (
        (("--policy", "p.toml"), "p.toml"),
        (("--policy", "p.toml"), "base.toml"),
        (("--baseline", "known.json"), "known.json"),
        (("--config", "healthy.keras"), "healthy.keras"),
        (("--reference", "checkpoint/ckpt-1"), "checkpoint/ckpt-1.data-00000-of-00001"),
        (("--reference", "sharded.weights.json"), "sharded_00001.weights.h5"),
    ):
        before = (run.cwd / place).read_bytes()
        done = run("check", "plain.weights.h5", *options, "-f", f"json={place}")
        assert_one_sentence(done, 2, "is what this command reads")
        assert (run.cwd / place).read_bytes() == before


def test_a_report_never_goes_into_a_store(cli: CommandLine, fixtures_dir: Path) -> None:
    """A version keeps its bytes: no report replaces them, or comes to lie beside them."""
    shutil.copy(fixtures_dir / "healthy.keras", cli.cwd)
    assert cli("commit", "healthy.keras", "-m", "x").code == 0
    version = cli.cwd / ".weightaudit/healthy.keras/1/healthy.keras"
    before = version.read_bytes()
    for place in (version, version.with_name("new.json"), cli.cwd / ".weightaudit/new.json"):
        done = cli("check", "healthy.keras", "-f", f"json={place}")
        assert done.code == 2
        assert "lies in a version store" in done.err
    assert version.read_bytes() == before
    assert not list(cli.cwd.rglob("new.json"))


def test_an_output_directory_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A place without permission is refused before the work, not after an hour of it."""
    from weightaudit.cli.output import check_output
    from weightaudit.errors import UsageError

    monkeypatch.setattr("os.access", lambda *_: False)  # root may write anywhere
    with pytest.raises(UsageError, match="permission denied"):
        check_output(tmp_path / "report.txt", [])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_report_that_cannot_be_written(cli: CommandLine, fixtures_dir: Path) -> None:
    """A full disk under the report is an incomplete audit, on stdout as in a file."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "weightaudit", "check", fixtures_dir / "healthy.keras"],
            cwd=cli.cwd,
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert done.returncode == 3
    assert done.stderr == b"weightaudit: The output cannot be written: No space left on device.\n"
    result = cli("check", fixtures_dir / "healthy.keras", "--output", "/dev/full")
    assert_one_sentence(result, 3, "No space left on device")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_what_the_system_refuses_is_told_in_words(cli: CommandLine) -> None:
    """Where nobody else has a sentence for a refusal, it is the system's, and not the number of an error."""
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "weightaudit", "--help"]
        done = subprocess.run(command, cwd=cli.cwd, stdout=full, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (3, b"weightaudit: No space left on device.\n")


@pytest.mark.parametrize(
    ("redirection", "code"), [("2>&-", 0), ("<&-", 0), (">&-", 3), (">&- 2>&-", 3), (">&- -o r.txt", 0)]
)
def test_streams_that_are_closed(cli: CommandLine, fixtures_dir: Path, redirection: str, code: int) -> None:
    """Only a report that had nowhere to go changes the exit code, and it never becomes that of findings."""
    shutil.copy(fixtures_dir / "healthy.keras", cli.cwd / "m.keras")
    command = f'exec "$0" -m weightaudit check m.keras {redirection}'
    done = subprocess.run(
        ["/bin/sh", "-c", command, sys.executable], cwd=cli.cwd, capture_output=True, check=False
    )
    assert done.returncode == code, done
    assert b"should not have happened" not in done.stderr


@pytest.mark.parametrize(("arguments", "code"), [(["check", "nan.keras"], 1), (["rules"], 0)])
def test_a_reader_that_stops_reading(fixtures_dir: Path, arguments: list[str], code: int) -> None:
    """A closed pipe, as behind `head`, costs no traceback and does not change the verdict."""
    process = subprocess.Popen(
        [sys.executable, "-m", "weightaudit", *arguments],
        cwd=fixtures_dir,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (code, b"")


def on_a_terminal(folder: Path, *arguments: str, **env: str) -> str:
    """Return what a user at a terminal sees of both streams."""
    leader, follower = pty.openpty()
    variables = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "CI"}}
    process = subprocess.Popen(
        [sys.executable, "-m", "weightaudit", *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=follower,
        stderr=follower,
        env={**variables, "TERM": "xterm-256color", **env},
    )
    os.close(follower)
    chunks: list[bytes] = []
    while True:
        try:
            chunk = os.read(leader, 65536)
        except OSError:  # Linux says that the other end is closed with EIO
            break
        if not chunk:
            break
        chunks.append(chunk)
    os.close(leader)
    process.wait(timeout=60)
    return b"".join(chunks).decode()


def test_colours_on_a_terminal(fixtures_dir: Path) -> None:
    """A terminal gets colours, unless the user or NO_COLOR forbids them."""
    assert "\x1b[" in on_a_terminal(fixtures_dir, "check", "nan.keras")
    for arguments, env in ((["--no-color"], {}), ([], {"NO_COLOR": "1"})):
        seen = on_a_terminal(fixtures_dir, "check", "nan.keras", *arguments, **env)
        assert "WA101" in seen
        assert "\x1b[31" not in seen
        assert "\x1b[1;31" not in seen


def test_what_a_format_has_no_room_for_is_told(cli: CommandLine, fixtures_dir: Path) -> None:
    """What only the file would say, standard error says, too, behind the name of the format; else nothing."""
    for number in range(RUNS + 1):
        shutil.copy(fixtures_dir / "healthy.keras", cli.cwd / f"{number}.keras")
    formats = ("-f", "sarif=all.sarif", "-f", "json=all.json")
    told, verdict = cli("check", ".", *formats).err.splitlines()
    assert told.startswith(f"weightaudit: sarif: Code scanning takes {RUNS} runs, so these {RUNS + 1} share")
    assert told.endswith(".")
    assert verdict.startswith("weightaudit: passed")
    (alone,) = cli("check", "0.keras", *formats).err.splitlines()
    assert alone.startswith("weightaudit: passed")
