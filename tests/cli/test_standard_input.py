"""A model through standard input."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.cli.conftest import environment

if TYPE_CHECKING:
    from pathlib import Path


def check(cwd: Path, data: bytes | None, *arguments: str | Path) -> tuple[int, str, str]:
    """Pipe bytes into a check, or close its standard input; return exit code and both outputs."""
    room = cwd / "temporary"
    room.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "weightaudit", "check", *map(str, arguments)],
        cwd=cwd,
        env=environment({"TMPDIR": str(room)}),
        input=data,
        stdin=subprocess.DEVNULL if data is None else None,
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert not [*room.iterdir()], "a temporary file was left behind"
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_a_dash_is_the_model_on_standard_input(tmp_path: Path, fixtures_dir: Path) -> None:
    """A piped model gives the report that its file gives, but for the name."""
    broken = fixtures_dir / "nan.keras"
    code, out, _ = check(tmp_path, broken.read_bytes(), "-", "-f", "json")
    whole, direct, _ = check(tmp_path, b"", broken, "-f", "json")
    piped, named = (json.loads(text)["models"][0] for text in (out, direct))
    assert code == whole == 1
    assert piped.pop("path") == "-"
    named.pop("path")
    assert [one["message"] for one in piped["findings"]] == [one["message"] for one in named["findings"]]
    assert piped["coverage"] == named["coverage"]


def test_a_dash_goes_with_other_paths(tmp_path: Path, fixtures_dir: Path) -> None:
    """Standard input is one of several models, and counts once however often it is named."""
    healthy = fixtures_dir / "healthy.keras"
    code, out, _ = check(tmp_path, healthy.read_bytes(), "-", healthy, "-")
    assert code == 0
    assert "in 2 models" in out


def test_a_dash_beside_a_path_without_a_model(tmp_path: Path, fixtures_dir: Path) -> None:
    """The piped model is audited, though the only other path does not exist."""
    code, out, _ = check(tmp_path, (fixtures_dir / "healthy.keras").read_bytes(), "-", "absent.keras")
    assert code == 3
    assert "absent.keras: not audited: absent.keras does not exist" in out
    assert "28 of 28 tensors audited" in out


def test_what_is_no_model_is_one_sentence(tmp_path: Path) -> None:
    """Nothing, and something else than a model, are incomplete audits that say so."""
    for data, words in ((b"", "standard input is empty"), (b"hello", "is not a saved TensorFlow or Keras")):
        code, out, err = check(tmp_path, data, "-")
        assert code == 3
        assert words in out
        assert "Traceback" not in err


def test_nothing_is_piped(tmp_path: Path) -> None:
    """An input that is empty because nobody pipes anything is no clean audit."""
    assert check(tmp_path, None, "-")[0] == 3
