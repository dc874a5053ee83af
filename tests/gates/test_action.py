"""The GitHub action: its script in a real run, and what a reviewer of workflows would look for."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
ACTION = ROOT / ".github/actions/audit"


@pytest.fixture
def runner(tmp_path: Path, fixtures_dir: Path) -> dict[str, str]:
    """Return the environment of a step on a runner, in a folder with two models."""
    for name in ("healthy.keras", "nan.keras"):
        shutil.copy(fixtures_dir / name, tmp_path)
    programs = tmp_path / "bin"
    programs.mkdir()
    tool = programs / "weightaudit"
    tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m weightaudit "$@"\n')
    tool.chmod(0o755)
    temporary = tmp_path / "runner temp"
    temporary.mkdir()
    return {
        **os.environ,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "RUNNER_TEMP": str(temporary),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
    }


def run(cwd: Path, runner: dict[str, str], **inputs: str) -> tuple[str, dict[str, str]]:
    """Run the script with inputs, and return its log and its outputs."""
    named = {f"WEIGHTAUDIT_{key.upper()}": value for key, value in inputs.items()}
    done = subprocess.run(
        ["bash", str(ACTION / "audit.sh")],  # noqa: S607 - the one on the path, as on a runner
        cwd=cwd,
        env={**runner, **named},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    written = Path(runner["GITHUB_OUTPUT"]).read_text().splitlines()
    return done.stdout, dict(line.split("=", 1) for line in written)


def test_one_audit_annotates_summarizes_and_writes_sarif(tmp_path: Path, runner: dict[str, str]) -> None:
    """A model that fails leaves exit code 1, an annotation, a summary, SARIF and on request HTML."""
    log, outputs = run(tmp_path, runner, paths="healthy.keras\n\n  \nnan.keras\n", html="true")
    assert outputs["exit-code"] == "1"
    assert log.count("::error ") == 1
    assert "WA101" in Path(outputs["sarif"]).read_text()
    assert "WA101" in Path(runner["GITHUB_STEP_SUMMARY"]).read_text()
    assert "<html" in Path(outputs["report"]).read_text()


def test_the_category_is_in_the_file(tmp_path: Path, runner: dict[str, str]) -> None:
    """The input reaches the SARIF file itself: an upload does not replace the categories that are there."""
    _, outputs = run(tmp_path, runner, paths="healthy.keras", category="nightly")
    assert '"id": "nightly/healthy.keras/"' in Path(outputs["sarif"]).read_text()


def test_inputs_are_never_run(tmp_path: Path, runner: dict[str, str]) -> None:
    """Paths, policies and levels that look like options or commands are only ever values."""
    for inputs in (
        {"paths": "$(touch stolen)\n`touch stolen`; touch stolen"},
        {"paths": "--output=stolen"},
        {"paths": "healthy.keras", "policy": "x; touch stolen"},
        {"paths": "healthy.keras", "fail_on": "$(touch stolen)"},
    ):
        log, outputs = run(tmp_path, runner, **inputs)
        assert outputs["exit-code"] == "2", log
        assert "::error title=weightaudit::No report was written (exit code 2)" in log
        assert "sarif" not in outputs
        assert not (tmp_path / "stolen").exists()


def test_blanks_around_a_path_are_no_part_of_it(tmp_path: Path, runner: dict[str, str]) -> None:
    """A list that was indented by hand, or on Windows, names the files that it seems to; quotes are kept."""
    name = "a  \"b\" 'c' \\ $(d).keras"
    shutil.copy(tmp_path / "healthy.keras", tmp_path / name)
    log, outputs = run(tmp_path, runner, paths=f"  healthy.keras  \r\n\t{name}\r\n\r\n")
    assert outputs["exit-code"] == "0"
    assert "in 2 models, 56 of 56 tensors audited" in log


def test_one_path_without_a_model_leaves_the_reports(tmp_path: Path, runner: dict[str, str]) -> None:
    """What is missing is annotated, and the others' findings still reach SARIF and summary."""
    log, outputs = run(tmp_path, runner, paths="nan.keras\nabsent.keras")
    assert outputs["exit-code"] == "3"
    assert "::error file=absent.keras,line=1,title=not audited::absent.keras does not exist" in log
    assert "No report was written" not in log
    for report in (outputs["sarif"], runner["GITHUB_STEP_SUMMARY"]):
        assert "WA101" in Path(report).read_text()


def test_no_path_is_wrong_usage(tmp_path: Path, runner: dict[str, str]) -> None:
    """An input that came out empty fails the job, and never audits nothing with success."""
    log, outputs = run(tmp_path, runner, paths=" \n")
    assert outputs["exit-code"] == "2"
    assert log.startswith("::error ")


def test_everything_foreign_is_pinned_and_inputs_stay_in_the_environment() -> None:
    """Each action that is used is named by a whole commit, and no expression stands in a command."""
    steps: list[dict[str, Any]] = yaml.safe_load((ACTION / "action.yml").read_text())["runs"]["steps"]
    for step in steps:
        if "uses" in step:
            assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", step["uses"])
        assert "${{" not in step.get("run", "")


def test_installing_runs_nothing_of_the_checkout(tmp_path: Path) -> None:
    """Modules of a pull request called venv and pip are not imported by the step that installs the tool."""
    for name in ("venv", "pip"):
        (tmp_path / f"{name}.py").write_text(f"open('{name} ran', 'w').close()\n")
    action = tmp_path / "no package/.github/actions/audit"
    action.mkdir(parents=True)
    steps: list[dict[str, Any]] = yaml.safe_load((ACTION / "action.yml").read_text())["runs"]["steps"]
    (command,) = (step["run"] for step in steps if step.get("name") == "Install weightaudit")
    done = subprocess.run(
        ["bash", "-e", "-c", command],  # noqa: S607 - the one on the path, as on a runner
        cwd=tmp_path,
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "RUNNER_TEMP": str(tmp_path / "temp"),
            "GITHUB_ACTION_PATH": str(action),
            "GITHUB_PATH": str(tmp_path / "path"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert "pyproject.toml" in done.stderr  # the real pip ran, and says that the folder is no package
    assert not [*tmp_path.glob("* ran")]


def test_every_input_is_used() -> None:
    """No input is declared that nothing reads."""
    text = (ACTION / "action.yml").read_text()
    declared: dict[str, Any] = yaml.safe_load(text)["inputs"]
    assert {*re.findall(r"inputs\.([\w-]+)", text)} == {*declared}


def test_the_pre_commit_hook_takes_models_and_nothing_else() -> None:
    """The hook's pattern matches every kind of model file, and no source, image or table."""
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    pattern = re.compile(hook["files"])
    models = (
        *("m.keras", "a/m.h5", "m.hdf5", "m.weights.h5", "m.weights.json", "ckpt-1.index"),
        *("ckpt-1.data-00000-of-00002", "export/saved_model.pb"),
    )
    others = "m.py", "keras.md", "a.json", "m.pb", "m.h5.md", "checkpoint", "index.html"
    assert all(pattern.search(name) for name in models)
    assert not any(pattern.search(name) for name in others)
    assert hook["entry"].split()[:2] == ["weightaudit", "check"]
