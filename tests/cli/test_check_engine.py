"""`weightaudit check --engine`: who computes statistics, and what is said where TensorFlow is missing."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import CommandLine


@pytest.mark.parametrize("engine", ["auto", "tensorflow"])
def test_engines_give_one_report(engine: str, cli: CommandLine, fixtures_dir: Path) -> None:
    """A broken model fails the gate with the same report, whoever measures."""
    if find_spec("tensorflow") is None:
        pytest.skip("TensorFlow is not installed")
    arguments = ("check", "--no-cache", "--format", "json", fixtures_dir / "nan.keras")
    wanted, found = cli(*arguments), cli(*arguments, "--engine", engine)
    assert wanted.code == found.code == 1
    assert found.out == wanted.out


@pytest.mark.parametrize("error", ["TypeError('Descriptors differ')", "OSError('no such library')"])
def test_broken_tensorflow_exits_2(error: str, cli: CommandLine, fixtures_dir: Path, tmp_path: Path) -> None:
    """A TensorFlow that cannot be imported is told in one sentence, whatever it raises."""
    (tmp_path / "tensorflow.py").write_text(f"raise {error}")
    env = {"PYTHONPATH": str(tmp_path)}
    done = cli("check", "--engine", "tensorflow", fixtures_dir / "healthy.keras", env=env)
    assert done.code == 2
    assert error.partition("(")[0] in done.err
    assert "compute with numpy" in done.err
    assert len(done.err.splitlines()) == 1


def test_missing_tensorflow_exits_2(cli: CommandLine, fixtures_dir: Path, tmp_path: Path) -> None:
    """Where TensorFlow cannot be imported, one sentence says how to get it, and `auto` does without it."""
    (tmp_path / "tensorflow.py").write_text("raise ImportError('it is not here')")
    model, env = fixtures_dir / "healthy.keras", {"PYTHONPATH": str(tmp_path)}
    done = cli("check", "--engine", "tensorflow", model, env=env)
    assert done.code == 2
    assert "pip install 'weightaudit[tensorflow]'" in done.err
    assert "Traceback" not in done.err
    assert cli("check", "--engine", "auto", model, env=env).code == 0


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that says nothing of how much TensorFlow is to say."""
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)


@pytest.mark.usefixtures("silent")
def test_tensorflow_greets_nobody(cli: CommandLine, fixtures_dir: Path) -> None:
    """What TensorFlow says on its way up is no part of the output; who asks TensorFlow to speak hears it."""
    if find_spec("tensorflow") is None:
        pytest.skip("TensorFlow is not installed")
    arguments = ("check", "--no-cache", "--engine", "tensorflow", fixtures_dir / "healthy.keras")
    assert cli(*arguments).err == ""
    assert cli(*arguments, env={"TF_CPP_MIN_LOG_LEVEL": "0"}).err


@pytest.mark.usefixtures("silent")
def test_what_a_broken_library_writes_is_shown(cli: CommandLine, fixtures_dir: Path, tmp_path: Path) -> None:
    """Where TensorFlow fails, what its code in C wrote to stderr stands before our sentence."""
    source = "import os\nos.write(2, b'no driver\\n')\nraise OSError('no library')"
    (tmp_path / "tensorflow.py").write_text(source)
    env = {"PYTHONPATH": str(tmp_path)}
    done = cli("check", "--engine", "tensorflow", fixtures_dir / "healthy.keras", env=env)
    assert done.code == 2
    assert [line[:9] for line in done.err.splitlines()] == ["no driver", "weightaud"]
