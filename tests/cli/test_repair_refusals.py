"""`weightaudit repair` where something is wrong, or odd: damage, usage, places, plugins."""

from __future__ import annotations

import json
import os
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.cli.repairs import PROJECT
from weightaudit import open_checkpoint

if TYPE_CHECKING:
    from tests.cli.conftest import CommandLine as Run


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


def test_a_report_never_replaces_the_donor(folder: Path, run: Run) -> None:
    """The model that tensors are taken from is refused as a place for the report, and stays as it is."""
    before = (folder / "healthy.keras").read_bytes()
    donor = ("--donor", "healthy.keras", "-f", "json=healthy.keras")
    result = run("repair", "nan.keras", *donor, "--dry-run")
    assert result.code == 2
    assert "is what this command reads" in result.err
    assert (folder / "healthy.keras").read_bytes() == before


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
        (("--max-change", "-1"), "--max-change must be 0 or more"),
        (("--max-change", "nan"), "--max-change must be 0 or more"),
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
