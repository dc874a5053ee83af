"""The pytest plugin, in pytest runs of its own."""

from __future__ import annotations

import json
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
    return run_module(project, "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", ".", *arguments)


def run_module(project: Path, name: str, *arguments: str) -> tuple[int, str]:
    """Run a module in a project, and return its exit code and output."""
    done = subprocess.run(
        [sys.executable, "-m", name, *arguments],
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


def test_what_is_in_a_baseline_fails_no_test(project: Path) -> None:
    """Known findings pass, unless there is one more; what is no baseline is wrong usage."""
    known = ("--weightaudit-baseline", "known.json")
    assert run_module(project, "weightaudit", "baseline", "write", "nan.keras", "-o", "known.json")[0] == 0
    code, output = run(project, "--weightaudit", ".", *known)
    assert (code, "3 passed" in output) == (0, True), output
    known_findings = json.loads((project / "known.json").read_text())
    known_findings["findings"].pop(0)
    (project / "known.json").write_text(json.dumps(known_findings))
    assert run(project, "--weightaudit", ".", *known)[0] == 1
    (project / "known.json").write_text("{}")
    code, output = run(project, "--weightaudit", ".", *known)
    assert code == pytest.ExitCode.USAGE_ERROR
    assert "--weightaudit: The baseline known.json cannot be used" in output


def test_a_path_that_is_not_there_is_wrong_usage(project: Path) -> None:
    """A misspelt path ends the run with one sentence, and never with tests that pass."""
    code, output = run(project, "--weightaudit", "nowhere.keras")
    assert code == pytest.ExitCode.USAGE_ERROR
    assert "--weightaudit: " in output
    assert "nowhere.keras" in output


SUPPRESSIONS = """
fail-on = "warning"
[[suppressions]]
rule = "WA101"
reason = "It is masked."
[[suppressions]]
rule = "{rule}"
reason = "It stays in float32."
"""


def test_what_another_model_uses_is_not_unused(project: Path, fixtures_dir: Path) -> None:
    """A suppression that only one of several models needs fails none of their tests, as in `check`."""
    shutil.copy(fixtures_dir / "overflow.keras", project)
    (project / "weightaudit.toml").write_text(SUPPRESSIONS.format(rule="WA210"))
    code, output = run(project, "--weightaudit", ".")
    assert (code, "4 passed" in output) == (0, True), output


def test_what_no_model_uses_is_a_test_of_all(project: Path) -> None:
    """A suppression that no model needs fails the test of the whole run, also where workers share tests."""
    (project / "weightaudit.toml").write_text(SUPPRESSIONS.format(rule="WA210"))
    for spread in ((), ("-n", "2")):
        code, output = run(project, "--weightaudit", ".", *spread)
        assert code == 1, output
        assert "FAILED weightaudit::all models" in output
        assert "1 failed, 2 passed" in output


def test_what_a_search_leaves_out_is_skipped(project: Path, fixtures_dir: Path) -> None:
    """An HDF5 file that is no model is left out beside models, as in `check`; alone it fails."""
    (project / "nan.keras").unlink()
    shutil.copy(fixtures_dir / "notamodel.h5", project)
    code, output = run(project, "--weightaudit", ".")
    assert (code, "2 passed, 1 skipped" in output) == (0, True), output
    assert run(project, "--weightaudit", "notamodel.h5")[0] == 1


def test_a_name_is_one_line(project: Path) -> None:
    """A model whose name has a line end is a test with a name of one line."""
    (project / "nan.keras").rename(project / "two\nlines.keras")
    code, output = run(project, "--weightaudit", ".", "-vv")
    assert code == 1
    assert r"weightaudit::two\x0alines.keras FAILED" in output


def test_a_broken_policy_is_one_sentence(project: Path) -> None:
    """A policy that cannot be read is wrong usage of --weightaudit, and a line in a test that audits."""
    (project / "broken.toml").write_text("select = [")
    (project / "test_models.py").write_text("def test_good(audit): audit('healthy.keras').assert_ok()\n")
    code, output = run(project, "--weightaudit", ".", "--weightaudit-policy", "broken.toml")
    assert code == pytest.ExitCode.USAGE_ERROR
    assert "--weightaudit: broken.toml is not valid TOML" in output
    code, output = run(project, "test_models.py", "--weightaudit-policy", "broken.toml")
    assert code == 1
    assert "PolicyError: broken.toml is not valid TOML" in output
    assert "pytest_plugin.py" not in output
    assert "files.py" not in output


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
