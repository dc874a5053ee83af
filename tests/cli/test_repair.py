"""`weightaudit repair` as its users meet it: plan, copy, version, in place, and every way to refuse."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import numpy as np
import pytest

from weightaudit import open_checkpoint
from weightaudit.digests import tensor_digests
from weightaudit.render.repair import schema

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine as Run

POLICY = """
[rules.norm-bound]
max = 0.4
axis = [0, 1, 2]
tensors = ["stem/kernel"]
"""
PROJECT = ("--project", "max_norm(0.4, axis=(0, 1, 2))", "--on", "stem/kernel")
MODELS = (
    "healthy.keras",
    "deflated.keras",
    "hdf5.keras",
    "legacy.h5",
    "gzip.h5",
    "plain.weights.h5",
    "sharded.weights.json",
)
"""Models with the layer ``stem``; further kinds are in `OTHERS`."""

OTHERS = ("bfloat16.keras", "exported", "checkpoint/ckpt-1")


@pytest.fixture
def folder(cli: Run, fixtures_dir: Path) -> Path:
    """A copy of the small models, which is the working directory."""
    shutil.copytree(fixtures_dir, cli.cwd, dirs_exist_ok=True)
    return cli.cwd


@pytest.fixture
def run(cli: Run, folder: Path) -> Run:
    """Runs the command line in that folder."""
    assert cli.cwd == folder
    return cli


def digests(path: Path) -> dict[str, str | None]:
    """Return the digest of every tensor of a model."""
    with open_checkpoint(path) as checkpoint:
        return tensor_digests(checkpoint)


def norms(path: Path) -> Any:
    """Return the norms of the filters of the first convolution."""
    with open_checkpoint(path) as checkpoint:
        kernel = checkpoint.read("stem/kernel").astype(np.float64)
    return np.sqrt((kernel**2).sum(axis=(0, 1, 2)))


def test_a_dry_run_shows_the_plan_and_writes_nothing(folder: Path, run: Run) -> None:
    """Tensor, projection, elements, relative change and largest change are on one line."""
    before = sorted(folder.iterdir())
    result = run("repair", "healthy.keras", *PROJECT, "--dry-run")
    assert result.code == 0
    line, verdict = result.out.splitlines()
    assert line.startswith("healthy.keras: stem/kernel: max_norm(max_value=0.4, axis=(0, 1, 2)): 36 of 36")
    assert "of the norm" in line
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
    assert "stem/kernel would change by 0.9" in refused.err
    assert "--max-change 0.5" in refused.err
    assert not (folder / ".weightaudit").exists()
    planned = run(*words, "--dry-run")
    assert planned.code == 3
    assert "more than --max-change 0.5" in planned.out
    assert planned.out.endswith("refused, because 1 would change by more than --max-change\n")
    assert run(*words, "--in-place", "--max-change", "1").code == 0


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


def test_a_wrong_checksum_is_never_made_right(folder: Path, run: Run) -> None:
    """A damaged archive is refused: a new CRC over damaged bytes would hide the damage for ever."""
    path = folder / "healthy.keras"
    data = bytearray(path.read_bytes())
    with open_checkpoint(path) as checkpoint:
        storage: Any = checkpoint.entry(checkpoint["head/kernel"]).storage
    data[storage.offset] ^= 1
    path.write_bytes(data)
    result = run("repair", "healthy.keras", *PROJECT, "--in-place")
    assert result.code == 3
    assert "a new checksum would hide that" in result.err
    assert path.read_bytes() == bytes(data)


def test_one_damaged_tensor_of_a_checkpoint_does_not_stop_the_others(folder: Path, run: Run) -> None:
    """Checkpoints have a checksum per tensor: that of the damaged one stays wrong, and is still found."""
    shard = folder / "checkpoint" / "ckpt-1.data-00000-of-00001"
    data = bytearray(shard.read_bytes())
    with open_checkpoint(folder / "checkpoint" / "ckpt-1") as checkpoint:
        storage: Any = checkpoint.entry(checkpoint["dense/head/kernel"]).storage
    data[storage.offset] ^= 1
    shard.write_bytes(data)
    clip = ("--project", "clip(-0.25, 0.25)", "--max-change", "1", "-o", str(folder / "out"))
    refused = run("repair", "checkpoint/ckpt-1", *clip)
    assert refused.code == 3
    assert "damaged" in refused.err
    done = run("repair", "checkpoint/ckpt-1", *clip, "--on", "dense/hidden/kernel")
    assert done.code == 1
    checked = run("check", "out")
    assert "WA110" in checked.out
    assert checked.out.count("WA110") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--in-place", "-o", "x.keras"), "--in-place and --output contradict"),
        (("--store", "x", "-o", "x.keras"), "--output makes no version"),
        (("--store", ""), "--store is empty"),
        (("--max-change", "-1"), "--max-change must not be negative"),
        (("--max-change", "nan"), "--max-change must not be negative"),
        (("--on", "*/kernel"), "say where to --project something"),
        (("--project", "max_nrom(2)"), "did you mean 'max_norm'"),
        (("--project", "max_norm(2, axes=0)"), "axis"),
        (("--project", "__import__('os').system('true')"), "is no projection"),
        (("--project", "non_neg", "--on", "nothing"), "No tensor is called 'nothing'"),
        (("--project", "non_neg", "--on", "a", "--on", "b"), "There are 1 --project and 2 --on"),
        (("--project", "non_neg", "--on", ","), "--on is empty"),
        (("--project", "non_neg", "--role", "kernal"), "did you mean 'kernel'"),
        (("--project", "non_neg", "-o", "legacy.h5"), "exists already"),
        (("--project", "non_neg", "-o", "."), "exists already"),
        (("--project", "non_neg", "-o", "-"), "a model is not written to standard output"),
        (("--project", "non_neg", "-o", "new/x.keras"), "there is no directory new"),
        (("--project", "non_neg", "-o", "x.h5"), "let its name end in .keras"),
        (("--project", "non_neg", "-o", "exported/x.keras"), "would be a part of the SavedModel exported"),
        (("--project", "non_neg", "--max-change", "1", "--store", "exported/x"), "a part of the SavedModel"),
        (("--project", "non_neg", "--max-change", "1", "--store", "exported"), "has other content"),
    ],
)
def test_wrong_usage_is_exit_2_and_writes_nothing(
    folder: Path, run: Run, words: tuple[str, ...], message: str
) -> None:
    """One sentence that says what is wrong, and the folder as it was."""
    before = sorted(folder.rglob("*"))
    result = run("repair", "healthy.keras", *words)
    assert result.code == 2, result.err
    assert message in result.err
    assert sorted(folder.rglob("*")) == before


def test_a_directory_is_not_replaced_around_its_user(folder: Path, run: Run) -> None:
    """`.` and `..` would leave the shell in a directory that is gone; a copy and a version are fine."""
    words = ("--project", "clip(-0.25, 0.25)", "--max-change", "1")
    inside = replace(run, cwd=folder / "exported")
    refused = inside("repair", ".", *words, "--in-place")
    assert refused.code == 2
    assert f"repair {os.path.realpath(inside.cwd)} from there" in refused.err
    done = inside("repair", ".", *words, "-o", "../mended")
    assert done.code == 0, done.err
    assert run("repair", "exported/variables/..", *words, "--in-place").code == 2
    assert inside("repair", ".", *words, "--dry-run").code == 0


def test_a_checkpoint_is_copied_to_a_prefix_however_that_is_called(folder: Path, run: Run) -> None:
    """As on the way in, PREFIX.index means PREFIX, and a prefix that is in use is refused."""
    words = ("repair", "checkpoint/ckpt-1", "--project", "clip(-0.25, 0.25)", "--max-change", "1", "-o")
    done = run(*words, "copy.index")
    assert done.code == 0, done.err
    assert "copy was written" in done.out
    assert {one.name for one in folder.glob("copy*")} == {"copy.index", "copy.data-00000-of-00001"}
    assert run(*words, "copy").code == 2
    assert "exists already" in run(*words, ".").err


def test_no_store_is_made_inside_a_saved_model(folder: Path, run: Run) -> None:
    """The checkpoint in an export is a part of it: its versions would be served and stored with it."""
    before = sorted((folder / "exported").rglob("*"))
    words = ("exported/variables/variables", "--project", "clip(-0.25, 0.25)", "--max-change", "1")
    refused = run("repair", *words, "--in-place")
    assert refused.code == 2
    assert "would be a part of the SavedModel" in refused.err
    assert run("commit", "exported/variables/variables", "-m", "x").code == 2
    assert sorted((folder / "exported").rglob("*")) == before
    assert run("repair", *words, "--in-place", "--store", "kept").code == 0


@pytest.mark.parametrize("store", [(), ("--store", "our versions")])
def test_in_place_says_how_to_undo_it(folder: Path, run: Run, store: tuple[str, ...]) -> None:
    """The command that the output names puts the original back, wherever the store is."""
    path = folder / "my model.keras"
    shutil.copy(folder / "healthy.keras", path)
    before = path.read_bytes()
    done = run("repair", path.name, *PROJECT, "--in-place", *store)
    assert path.read_bytes() != before
    (line,) = [line for line in done.out.splitlines() if "to undo: " in line]
    program, *words = shlex.split(line.partition("to undo: ")[2])
    assert program == "weightaudit"
    assert run(*words).code == 0
    assert path.read_bytes() == before


def test_versions_of_one_original_share_it(folder: Path, run: Run) -> None:
    """Trying several repairs keeps the original once, and each result says that it is from there."""
    for bound in ("0.2", "0.3"):
        run("repair", "healthy.keras", "--project", f"clip(-{bound}, {bound})", "--max-change", "1")
    parents = {
        number: json.loads((folder / f".weightaudit/healthy.keras/{number}/weightaudit.json").read_text())
        for number in (1, 2, 3)
    }
    assert [parents[number]["parent"] for number in (1, 2, 3)] == [None, 1, 1]


def test_what_is_left_and_what_is_new_is_told(run: Run) -> None:
    """After a repair that was asked for, failing findings are shown, and those that it brought."""
    words = ("repair", "nan.keras", "--project", "clip(-0.1, 0.1)", "--on", "dense/head/kernel")
    done = run(*words, "--max-change", "1", "-o", "out.keras")
    assert done.code == 1
    assert "nan.keras: not mended: dense/hidden/kernel: error WA101 nan-values: 1 of 512" in done.out
    assert "verified: 1 error, 0 warnings, 0 notes (before: 1 error, 0 warnings, 0 notes)" in done.out
    words = ("repair", "healthy.keras", "--project", "clip(0.125, 0.125)", "--on", "head/kernel")
    done = run(*words, "--max-change", "2", "-o", "constant.keras")
    assert done.code == 0
    assert "healthy.keras: new: head/kernel: warning WA" in done.out


def test_several_models_are_not_repaired_at_once(run: Run) -> None:
    """A directory of models is refused: each repair is looked at on its own."""
    result = run("repair", ".")
    assert result.code == 2
    assert "models; name one of them" in result.err


def test_a_plugin_brings_projections(
    folder: Path, run: Run, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A module named with --plugin may hold a projection, which is then called like any other."""
    modules = tmp_path_factory.mktemp("modules")
    (modules / "our_projections.py").write_text(
        "from dataclasses import dataclass\n"
        "import numpy as np\n"
        "from weightaudit.projections import Phase, Projection\n"
        "@dataclass(frozen=True)\n"
        "class Round(Projection):\n"
        '    """Rounds to multiples of a step."""\n'
        "    step: float = 0.5\n"
        '    name = "round_to"\n'
        "    phase = Phase.CLIP\n"
        "    def project(self, values, *, dtype=None):\n"
        "        rounded = (np.round(values / self.step) * self.step).astype(values.dtype)\n"
        "        return values if np.array_equal(rounded, values) else rounded\n"
    )
    words = ("--plugin", "our_projections", "--project", "round_to(0.25)", "--on", "stem/kernel")
    result = run(
        "repair",
        "healthy.keras",
        *words,
        "-o",
        "out.keras",
        "--max-change",
        "1",
        env={"PYTHONPATH": str(modules)},
    )
    assert result.code == 0, result.err
    with open_checkpoint(folder / "out.keras") as checkpoint:
        assert set(np.unique(checkpoint.read("stem/kernel") % 0.25)) == {0.0}
