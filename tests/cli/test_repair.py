"""`weightaudit repair` as its users meet it: plan, copy, version, in place, donor."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import numpy as np
import pytest

from tests.cli.repairs import MODELS, OTHERS, PROJECT, digests, norms
from weightaudit import open_checkpoint
from weightaudit.render.repair import schema

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine as Run

POLICY = """
[rules.norm-bound]
max = 0.4
axis = [0, 1, 2]
tensors = ["stem/kernel"]
"""


def test_a_dry_run_shows_the_plan_and_writes_nothing(folder: Path, run: Run) -> None:
    """Tensor, projection, elements, relative change and largest change are on one line."""
    before = sorted(folder.iterdir())
    result = run("repair", "healthy.keras", *PROJECT, "--dry-run")
    assert result.code == 0
    line, verdict = result.out.splitlines()
    assert line.startswith("healthy.keras: stem/kernel: max_norm(max_value=0.4, axis=(0, 1, 2)): 36 of 36")
    assert " of its norm (norm " in line
    assert "at most" in line
    assert verdict == "verdict: 1 tensor would change, nothing was written"
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("name", MODELS)
def test_a_copy_of_every_kind(folder: Path, run: Run, name: str) -> None:
    """The copy complies, and every tensor that was not projected has the bits that it had."""
    before = digests(folder / name)
    out = folder / "out" / name
    out.parent.mkdir()
    result = run("repair", name, *PROJECT, "--output", str(out))
    assert result.code == 0, result.err
    assert (norms(out) <= 0.4).all()
    after = digests(out)
    assert {one for one in before if before[one] != after[one]} == {"stem/kernel"}
    assert digests(folder / name) == before


@pytest.mark.parametrize("name", [*MODELS, *OTHERS])
def test_in_place_keeps_the_original_as_a_version(folder: Path, run: Run, name: str) -> None:
    """The model changes under its path; the version before it has every bit of the original."""
    path = folder / name
    before = digests(path)
    result = run("repair", name, "--project", "clip(-0.25, 0.25)", "--in-place", "--max-change", "1")
    assert result.code == 0, result.err
    after = digests(path)
    assert after != before
    base = path.parent / ".weightaudit" / path.name
    versions = [base / "1", base / "2"]
    stored = [one if (one / "saved_model.pb").is_file() else one / path.name for one in versions]
    assert [digests(one) for one in stored] == [before, after]


@pytest.mark.parametrize("options", [("--in-place",), ("--output", "copy")])
def test_a_checkpoint_whose_prefix_is_empty(folder: Path, run: Run, options: tuple[str, ...]) -> None:
    """One that is only called by its index is repaired in place, and copied under a name."""
    for file in (folder / "checkpoint").iterdir():
        if file.name.startswith("ckpt-1."):
            file.rename(file.with_name(file.name.removeprefix("ckpt-1")))
    path = folder / "checkpoint" / ".index"
    before = digests(path)
    result = run("repair", path, "--project", "clip(-0.25, 0.25)", "--max-change", "1", *options)
    assert result.code == 0, result.err
    if options == ("--in-place",):
        after, kept = digests(path), digests(folder / "checkpoint/.weightaudit/checkpoint/1/.index")
    else:
        after, kept = digests(folder / "copy"), digests(path)
    assert after != before
    assert kept == before


def test_without_a_destination_the_mended_model_becomes_a_version(folder: Path, run: Run) -> None:
    """The model itself is untouched; record and lineage are in the store."""
    before = (folder / "healthy.keras").read_bytes()
    result = run("repair", "healthy.keras", *PROJECT, "--store", "kept", "-m", "bounded", "--author", "me")
    assert result.code == 0, result.err
    assert (folder / "healthy.keras").read_bytes() == before
    base = folder / "kept" / "healthy.keras"
    assert (base / "1" / "healthy.keras").read_bytes() == before
    record = json.loads((base / "2" / "weightaudit.json").read_text())
    assert (record["parent"], record["message"], record["author"]) == (1, "bounded", "me")
    (change,) = record["changes"]
    assert change["tensor"] == "stem/kernel"
    assert change["elements"] == 36
    assert change["digest"] == digests(base / "2" / "healthy.keras")["stem/kernel"]


def test_the_record_is_also_in_the_archive(folder: Path, run: Run) -> None:
    """Wherever the mended file goes, it says from which version it was made and how."""
    run("repair", "healthy.keras", *PROJECT, "--in-place")
    with zipfile.ZipFile(folder / "healthy.keras") as archive:
        record = json.loads(archive.read("weightaudit.json"))
        assert archive.testzip() is None
    assert record["changes"][0]["projections"] == ["max_norm(max_value=0.4, axis=(0, 1, 2))"]
    assert "files" not in record


def test_what_a_rule_finds_is_mended_by_its_projection(folder: Path, run: Run) -> None:
    """A finding becomes a projection with the rule's options, and is gone afterwards."""
    (folder / "weightaudit.toml").write_text(POLICY)
    assert run("check", "healthy.keras").code == 1
    result = run("repair", "healthy.keras", "--in-place", "--format", "json")
    assert result.code == 0, result.err
    document = json.loads(result.out)
    jsonschema.validate(document, schema())
    assert document["changes"][0]["rules"] == ["WA301"]
    assert [one["code"] for one in document["findings"]["before"]] == ["WA301"]
    assert document["findings"]["after"] == []
    assert (document["original"], document["version"]) == ("healthy.keras@1", "healthy.keras@2")
    assert run("check", "healthy.keras").code == 0


def test_a_policy_names_projections(folder: Path, run: Run) -> None:
    """Under [[repair]], projections and tensors are named as on the command line."""
    (folder / "weightaudit.toml").write_text(
        '[[repair]]\nproject = ["non_neg", "clip(0, 0.1)"]\ntensors = ["*/bias"]\n'
    )
    result = run("repair", "healthy.keras", "-o", "out.keras", "--max-change", "1")
    assert result.code == 0, result.err
    with open_checkpoint(folder / "out.keras") as checkpoint:
        for info in checkpoint:
            if info.name.endswith("/bias"):
                values = checkpoint.read(info.name)
                assert values.min() >= 0
                assert values.max() <= np.float32(0.1)


def test_each_projection_has_its_own_tensors(run: Run) -> None:
    """Kernels and biases are projected in one run, each by what was named for it."""
    result = run(
        "repair",
        "healthy.keras",
        *("--project", "max_norm(0.4, axis=(0, 1, 2))", "--on", "stem/kernel,body/kernel"),
        *("--project", "clip(-0.01, 0.01)", "--on", "*/bias"),
        *("--dry-run", "--max-change", "1", "--format", "json"),
    )
    changes = {one["tensor"]: one["projections"] for one in json.loads(result.out)["changes"]}
    assert changes["stem/kernel"] == ["max_norm(max_value=0.4, axis=(0, 1, 2))"]
    assert changes["head/bias"] == ["clip(minimum=-0.01, maximum=0.01)"]


def test_role_class_and_first_layer_narrow_a_request(run: Run) -> None:
    """The first layer of a class, by the order of the configuration."""
    words = ("repair", "legacy.h5", "--project", "clip(-0.01, 0.01)", "--dry-run", "--max-change", "1")
    result = run(*words, "--role", "kernel,bias", "--layer-class", "Conv*", "--first", "--format", "json")
    names = [one["tensor"] for one in json.loads(result.out)["changes"]]
    assert set(names) <= {"stem/kernel", "stem/bias"}
    assert "stem/kernel" in names


def test_the_change_budget_refuses(folder: Path, run: Run) -> None:
    """A repair that would change a tensor by more than half is exit 3, and nothing is written."""
    words = ("repair", "healthy.keras", "--project", "max_norm(0.01, axis=(0, 1, 2))", "--on", "stem/kernel")
    refused = run(*words, "--in-place")
    assert refused.code == 3
    assert re.search(r"stem/kernel would change by 9\d\.\d % of its norm, more than", refused.err)
    assert "--max-change 0.5 (50 %) allows" in refused.err
    assert not (folder / ".weightaudit").exists()
    planned = run(*words, "--dry-run")
    assert planned.code == 3
    assert "more than --max-change 0.5" in planned.out
    assert planned.out.endswith("refused, because 1 would change by more than --max-change\n")
    assert run(*words, "--in-place", "--max-change", "1").code == 0


def test_the_command_that_undoes_a_repair_can_be_pasted(folder: Path, run: Run) -> None:
    """Also where the model's name begins with a dash, the printed words put the original back."""
    path = folder / "-h.keras"
    (folder / "healthy.keras").rename(path)
    before = digests(path)
    done = run("repair", *PROJECT, "--in-place", "--store", "kept", "--", "-h.keras")
    assert done.code == 0, done.err
    (line,) = [one for one in done.out.splitlines() if "to undo: " in one]
    words = shlex.split(line.partition("to undo: ")[2])
    assert digests(path) != before
    undone = run(*words[1:])
    assert undone.code == 0, undone.err
    assert digests(path) == before


def test_nothing_to_do_writes_nothing(folder: Path, run: Run) -> None:
    """A healthy model is left alone: no version, no copy, exit 0."""
    result = run("repair", "healthy.keras", "--in-place")
    assert (result.code, result.out) == (
        0,
        "verdict: nothing to change, nothing was written\n",
    )
    assert not (folder / ".weightaudit").exists()


@pytest.mark.parametrize("name", [*MODELS, *OTHERS])
def test_a_copy_is_made_also_if_there_is_nothing_to_change(folder: Path, run: Run, name: str) -> None:
    """Whoever asked for a path finds a model there after exit 0, with the bits of the original."""
    out = folder / "out" / Path(name).name
    out.parent.mkdir()
    result = run("repair", name, "-o", str(out))
    assert result.code == 0, result.err
    assert "0 tensors changed" in result.out
    assert digests(out) == digests(folder / name)


def test_what_no_projection_mends_stays_a_finding(run: Run) -> None:
    """NaN is never turned into numbers unasked; the exit code says that it is still there."""
    result = run("repair", "nan.keras", "--in-place")
    assert result.code == 1
    assert "not mended: dense/hidden/kernel: error WA101 nan-values" in result.out


def test_a_donor_gives_back_what_was_lost(folder: Path, run: Run) -> None:
    """The tensor with NaN becomes the donor's, bit for bit, and the model passes."""
    good = folder / "good.keras"
    result = run(
        "repair",
        "nan.keras",
        "--project",
        "replace_nonfinite(0.0)",
        "--on",
        "dense/hidden/kernel",
        "-o",
        str(good),
    )
    assert result.code == 0, result.err
    result = run("repair", "nan.keras", "--donor", "good.keras", "--in-place", "--format", "json")
    assert result.code == 0, result.err
    (change,) = json.loads(result.out)["changes"]
    assert change["rules"] == ["WA101"]
    assert change["projections"] == ["restore_from(path='good.keras', tensor='dense/hidden/kernel')"]
    assert digests(folder / "nan.keras") == digests(good)


def test_a_version_is_a_donor_and_a_model_to_repair(folder: Path, run: Run) -> None:
    """Where a path is asked for, the address of a version does: the last good one mends a broken one."""
    path = folder / "model.keras"
    shutil.copy(folder / "nan.keras", path)
    words = ("--project", "replace_nonfinite", "--on", "dense/hidden/kernel", "--store", "kept")
    assert run("repair", "model.keras", *words).code == 0
    shutil.move(folder / "kept", folder / ".weightaudit")
    done = run("repair", "model.keras", "--donor", "model.keras@2", "-o", "mended.keras")
    assert done.code == 0, done.err
    done = run("repair", "model.keras@2", "--project", "clip(-0.5, 0.5)", "--on", "dense/head/kernel")
    assert "original kept as model.keras@2, mended model as model.keras@3" in done.out, done.err
    assert run("repair", "model.keras@2", "--in-place").code == 2
    assert "no model nope" in run("repair", "model.keras", "--donor", "nope@1").err
