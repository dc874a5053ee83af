"""The pytest plugin, in pytest runs of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

PLUGIN = "weightaudit.pytest_plugin"


@pytest.fixture
def project(tmp_path: Path, fixtures_dir: Path) -> Path:
    """Return a project with a healthy and a broken model."""
    for name in ("healthy.keras", "nan.keras"):
        shutil.copy(fixtures_dir / name, tmp_path)
    return tmp_path


def run(project: Path, *arguments: str) -> tuple[int, str]:
    """Run pytest in a project, and return its exit code and output."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", ".", *arguments],
        cwd=project,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_fixture_audits(project: Path) -> None:
    """assert_ok passes for a healthy model and fails with the findings for a broken one."""
    (project / "test_models.py").write_text(
        "def test_good(audit): audit('healthy.keras').assert_ok()\n"
        "def test_bad(audit): audit('nan.keras').assert_ok()\n"
    )
    code, output = run(project)
    assert code == 1
    assert "1 failed, 1 passed" in output
    assert "error WA101" in output


def test_each_model_is_a_test(project: Path) -> None:
    """--weightaudit makes a test of every model, and shows findings without a traceback."""
    code, output = run(project, "--weightaudit", ".", "-vv")
    assert code == 1
    assert "weightaudit::healthy.keras PASSED" in output
    assert "weightaudit::nan.keras FAILED" in output
    assert "error WA101" in output
    assert "Traceback" not in output
    assert "pytest_plugin.py" not in output


def test_the_policy_of_the_project_is_in_force(project: Path) -> None:
    """The nearest policy upward of the root directory judges, unless another one is named."""
    (project / "weightaudit.toml").write_text('ignore = ["WA1"]\n')
    (project / "other.toml").write_text("")
    assert run(project, "--weightaudit", "nan.keras")[0] == 0
    assert run(project, "--weightaudit", "nan.keras", "--weightaudit-policy", "other.toml")[0] == 1


def test_a_path_that_is_not_there_is_wrong_usage(project: Path) -> None:
    """A misspelt path ends the run with one sentence, and never with tests that pass."""
    code, output = run(project, "--weightaudit", "nowhere.keras")
    assert code == pytest.ExitCode.USAGE_ERROR
    assert "--weightaudit: " in output
    assert "nowhere.keras" in output


def test_a_session_without_models_loads_nothing(project: Path) -> None:
    """A project that asks for no audit does not wait for the import of numpy or of weightaudit's engine."""
    (project / "test_light.py").write_text(
        "import sys\n"
        "def test_light():\n"
        f"    assert '{PLUGIN}' in sys.modules\n"
        "    assert not {'numpy', 'weightaudit.auditor'} & set(sys.modules)\n"
    )
    code, output = run(project, "-p", "no:hypothesispytest")
    assert code == 0, output
