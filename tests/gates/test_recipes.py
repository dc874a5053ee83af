"""The recipes of docs/ci.md: their own commands, run on real models."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/ci.md").read_text()


def recipe(title: str, language: str) -> str:
    """Return the first block of a language in a section of the page."""
    section = re.split(r"^## ", PAGE, flags=re.MULTILINE)
    (text,) = [part for part in section if part.startswith(f"{title}\n")]
    block = re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)
    assert block is not None
    return block[1]


@pytest.fixture
def project(tmp_path: Path, fixtures_dir: Path) -> Path:
    """Return a project with one good model, and one good and one bad model in a folder."""
    (tmp_path / "models").mkdir()
    shutil.copy(fixtures_dir / "healthy.keras", tmp_path / "model.keras")
    shutil.copy(fixtures_dir / "nan.keras", tmp_path / "models")
    (tmp_path / "weightaudit.toml").write_text("")
    programs = tmp_path / "bin"
    programs.mkdir()
    tool = programs / "weightaudit"
    tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m weightaudit "$@"\n')
    tool.chmod(0o755)
    return tmp_path


def shell(project: Path, command: str) -> int:
    """Run a command line in the project, and return its exit code."""
    env = {**os.environ, "PATH": f"{project / 'bin'}:{os.environ['PATH']}"}
    return subprocess.run(["bash", "-c", command], cwd=project, env=env, check=False).returncode  # noqa: S607


def test_gitlab(project: Path) -> None:
    """GitLab's script fails for a bad model, and leaves each report where the job says it is."""
    job: dict[str, Any] = yaml.safe_load(recipe("GitLab", "yaml"))["weights"]
    (command,) = job["script"]
    assert shell(project, command) == 1
    quality, junit = (project / job["artifacts"]["reports"][kind] for kind in ("codequality", "junit"))
    assert json.loads(quality.read_text())[0]["check_name"].startswith("WA101")
    assert "WA101" in junit.read_text()


def test_jenkins(project: Path) -> None:
    """Jenkins' script fails for a bad model, and leaves the files that the post step takes."""
    text = recipe("Jenkins", "groovy")
    (command,) = re.findall(r"sh '(.*)'", text)
    assert shell(project, command) == 1
    for kept in re.findall(r"(?:junit|archiveArtifacts) '(.*)'", text):
        assert (project / kept).stat().st_size > 0


def test_docker(project: Path) -> None:
    """The audit of the image's build lets a good model pass, and stops the build for a bad one."""
    (command,) = re.findall(r"RUN (weightaudit .*)", recipe("Docker", "dockerfile"))
    assert shell(project, command) == 0
    shutil.copy(project / "models/nan.keras", project / "model.keras")
    assert shell(project, command) == 1


def test_github_without_the_action(project: Path) -> None:
    """The two steps that stand for the action fail for a bad model and leave a summary."""
    steps = re.findall(r"run: (.*)", PAGE.split("Where `uses:` is not wanted")[1].split("## GitLab")[0])
    assert shell(project, steps[0]) == 1
    assert shell(project, f"GITHUB_STEP_SUMMARY=all.md; {steps[1]}") == 0
    assert "WA101" in (project / "all.md").read_text()
    assert json.loads((project / "weightaudit.sarif").read_text())["version"] == "2.1.0"


def test_dvc(project: Path) -> None:
    """The stage's command writes its outputs and metrics, from files that are its dependencies."""
    stage: dict[str, Any] = yaml.safe_load(recipe("DVC", "yaml"))["stages"]["audit"]
    assert all((project / one).exists() for one in stage["deps"])
    assert shell(project, stage["cmd"]) == 0
    (metrics,) = stage["metrics"][0]
    assert json.loads((project / metrics).read_text())["summary"]["findings"]["error"] == 0
    assert all((project / one).stat().st_size for one in stage["outs"])


_REGISTRY = """
import json, mlflow
mlflow.set_tracking_uri("sqlite:///mlflow.db")
mlflow.set_registry_uri("sqlite:///mlflow.db")
register("model.keras", "good")
try:
    register("bad.keras", "bad")
except AssertionError as error:
    said = str(error)
client = mlflow.MlflowClient()
good, bad = (client.get_model_version(name, "1") for name in ("good", "bad"))
kept = [one.path for one in client.list_artifacts(good.run_id)]
print(json.dumps({"good": good.tags, "bad": bad.tags, "kept": kept, "said": said}))
"""


def test_mlflow(project: Path) -> None:
    """The registry keeps the verdict as tags and the report as artifact; a bad model raises.

    In a process of its own: MLflow brings finders of packages that would stay for all other tests.
    """
    if importlib.util.find_spec("mlflow") is None:
        pytest.skip("MLflow is not installed: pip install '.[recipes]'")
    shutil.copy(project / "models/nan.keras", project / "bad.keras")
    done = subprocess.run(
        [sys.executable, "-c", recipe("MLflow", "python") + _REGISTRY],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["good"] == {"weightaudit.verdict": "passed", "weightaudit.findings": "0"}
    assert told["bad"]["weightaudit.verdict"] == "failed"
    assert "weightaudit.html" in told["kept"]
    assert "WA101" in told["said"]


def test_the_version_in_the_recipes_is_this_one() -> None:
    """Recipes that pin a version pin the one that this documentation belongs to."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert {*re.findall(r"(?:weightaudit==|rev: v)([\d.]+)", PAGE)} == {version}
