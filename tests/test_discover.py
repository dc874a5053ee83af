"""Which models paths, directories and globs stand for."""

from __future__ import annotations

import io
import os
import shutil
import zipfile
from pathlib import Path

import pytest

from weightaudit.discover import Target, discover, search
from weightaudit.errors import ReadError, UnsupportedFormatError, UsageError
from weightaudit.left_out import grouped
from weightaudit.report import LeftOut

HDF5 = b"\x89HDF\r\n\x1a\n" + bytes(100)
TABLE = bytes(100) + bytes.fromhex("57fb808b247547db")


def archive(*members: str) -> bytes:
    """Return a zip file with those members."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for member in members:
            file.writestr(member, "{}")
    return stream.getvalue()


KERAS = archive("metadata.json", "config.json", "model.weights.h5")


@pytest.fixture(autouse=True)
def _working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels are relative to the working directory."""
    monkeypatch.chdir(tmp_path)


def place(name: str, data: bytes = b"") -> str:
    """Write a file, with its directories."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return name


def saved_model(name: str) -> None:
    """Write the files of a SavedModel."""
    for part in ("saved_model.pb", "variables/variables.data-00000-of-00001", "assets/vocabulary.txt"):
        place(f"{name}/{part}", b"x")
    place(f"{name}/variables/variables.index", TABLE)


def checkpoint(prefix: str, shards: int = 1) -> None:
    """Write the files of a checkpoint."""
    place(f"{prefix}.index", TABLE)
    for shard in range(shards):
        place(f"{prefix}.data-{shard:05}-of-{shards:05}", b"x")


def labels(*paths: str) -> list[str]:
    """Return what is found, as reports name it."""
    return [target.label for target in discover(paths)]


def test_a_directory_with_every_kind() -> None:
    """A walk finds each model once, whatever it is made of, and nothing else."""
    place("m/a.keras", KERAS)
    place("m/b.h5", HDF5)
    saved_model("m/c")
    checkpoint("m/d/model.ckpt-5", shards=2)
    place("m/d/model.ckpt-5.meta", b"x")
    checkpoint("m/e/")
    place("m/f/export-00000-of-00002", TABLE)
    place("m/f/export-00001-of-00002", TABLE)
    place("m/g.weights.json", b'{"metadata": {}, "weight_map": {}}')
    place("m/g_00000.weights.h5", HDF5)
    place("m/g_00001.weights.h5", HDF5)
    place("m/h/config.json", b"{}")
    place("m/h/metadata.json", b"{}")
    place("m/h/model.weights.h5", HDF5)
    place("m/README.md", b"text")
    place("m/config.json", b"{}")
    place("m/other.zip", archive("readme.txt"))
    place("m/nodes-00000-of-00001", b"no table")
    place("m/.git/objects/ab", HDF5)
    expected = ["a.keras", "b.h5", "g.weights.json", "c", "d/model.ckpt-5", "e", "f/export", "h"]
    assert labels("m") == [f"m/{name}" for name in expected]


def test_content_decides_and_not_the_suffix() -> None:
    """A model is found under any name."""
    place("m/one.bin", HDF5)
    place("m/two.zip", KERAS)
    place("m/three", TABLE)
    assert labels("m") == ["m/one.bin", "m/three", "m/two.zip"]


@pytest.mark.parametrize(
    ("name", "data", "explicit"),
    [
        ("m/a.h5", HDF5, False),
        ("m/a.keras", KERAS, True),
        ("m/a.keras", HDF5, True),
        ("m/a.keras", b"", True),
        ("m/a.h5", b"version https://git-lfs.github.com/spec/v1\n", True),
        ("m/a.hdf5", b"", True),
        ("m/a.index", TABLE, True),
        ("m/.index", TABLE, True),
        ("m/a.data-00000-of-00001", b"", True),
    ],
)
def test_what_must_turn_out_to_be_a_model(name: str, data: bytes, explicit: bool) -> None:  # noqa: FBT001
    """In a walk, a broken file whose name promises a model is not left out; data in HDF5 may be."""
    place(name, data)
    (target,) = discover(["m"])
    assert target == Target(Path(name), target.label, explicit)


def test_what_was_named_must_be_a_model() -> None:
    """A file that the user names is taken whatever it holds."""
    place("notes.txt", b"text")
    assert discover(["notes.txt"]) == (Target(Path("notes.txt"), "notes.txt", explicit=True),)


@pytest.mark.parametrize(
    "part",
    [
        "d/model.ckpt-5",
        "d/model.ckpt-5.index",
        "d/model.ckpt-5.data-00001-of-00002",
        "d/checkpoint",
        "d",
        "./d/",
        "d/*",
    ],
)
def test_a_part_stands_for_the_checkpoint(part: str) -> None:
    """A prefix, an index, a shard, the state file and the directory all mean the same checkpoint."""
    checkpoint("d/model.ckpt-5", shards=2)
    place("d/checkpoint", b'model_checkpoint_path: "/somewhere/else/model.ckpt-5"\n')
    (target,) = discover([part])
    assert target == Target(Path("d/model.ckpt-5.index"), "d/model.ckpt-5", explicit=True)


@pytest.mark.parametrize("part", ["s", "s/saved_model.pb", "s/variables", "s/variables/variables", "s/**"])
def test_a_part_stands_for_the_saved_model(part: str) -> None:
    """The directory of a SavedModel is meant by whatever lies in it."""
    saved_model("s")
    if part != "s/variables/variables":
        assert discover([part]) == (Target(Path("s"), "s", explicit=True),)
    else:
        assert labels(part) == ["s/variables/variables"]


def test_shards_of_a_v1_checkpoint() -> None:
    """A V1 checkpoint is opened by its first shard and named by its prefix."""
    place("export-00000-of-00002", TABLE)
    place("export-00001-of-00002", TABLE)
    expected = (Target(Path("export-00000-of-00002"), "export", explicit=True),)
    assert discover(["export"]) == expected
    assert discover(["export-00001-of-00002"]) == expected


def test_a_checkpoint_directory_takes_the_one_that_it_names() -> None:
    """Of several checkpoints the state file chooses one; other models of the directory stay."""
    checkpoint("d/ckpt-1")
    checkpoint("d/ckpt-2")
    place("d/best.keras", KERAS)
    place("d/checkpoint", b'model_checkpoint_path: "ckpt-1"\nall_model_checkpoint_paths: "ckpt-2"\n')
    assert labels("d") == ["d/best.keras", "d/ckpt-1"]


def test_a_walk_takes_every_checkpoint_below() -> None:
    """Below the directory that was named, all checkpoints of a training run are models."""
    checkpoint("runs/d/ckpt-1")
    checkpoint("runs/d/ckpt-2")
    place("runs/d/checkpoint", b'model_checkpoint_path: "ckpt-1"\n')
    assert labels("runs") == ["runs/d/ckpt-1", "runs/d/ckpt-2"]


def test_a_state_file_with_an_empty_base_name() -> None:
    """A prefix that ends in a slash names the files `.index` and `.data-...`."""
    checkpoint("d/")
    place("d/checkpoint", b'model_checkpoint_path: "/home/user/run/"\n')
    assert discover(["d"]) == (Target(Path("d/.index"), "d", explicit=True),)


def test_a_state_file_that_names_nothing_is_an_error() -> None:
    """A checkpoint that the directory promises and lacks is not passed over."""
    checkpoint("d/ckpt-1")
    place("d/checkpoint", b'model_checkpoint_path: "ckpt-9"\n')
    with pytest.raises(
        ReadError, match=r"d/checkpoint names the checkpoint 'ckpt-9', which is not beside it\."
    ):
        discover(["d"])


def test_globs_are_expanded() -> None:
    """A quoted glob reaches through directories; what is no model is left out."""
    place("m/a/x.keras", KERAS)
    place("m/b/c/y.keras", KERAS)
    place("m/b/notes.txt", b"text")
    assert labels("m/**/*.keras") == ["m/a/x.keras", "m/b/c/y.keras"]
    assert labels("m/*") == ["m/a/x.keras", "m/b/c/y.keras"]
    assert labels("m/b/**/*") == ["m/b/c/y.keras"]


def test_a_name_with_brackets_is_no_glob() -> None:
    """A file that exists is meant literally."""
    place("m[1].h5", HDF5)
    assert labels("m[1].h5") == ["m[1].h5"]


def test_the_same_model_is_found_once() -> None:
    """Two ways to one model give one target, which must be a model if either was explicit."""
    place("m/a.h5", HDF5)
    Path("link").symlink_to("m")
    targets = discover(["m", "m/a.h5", "link/a.h5", str(Path("m/a.h5").absolute())])
    assert targets == (Target(Path("m/a.h5"), "m/a.h5", explicit=True),)


def test_labels_are_never_absolute() -> None:
    """An absolute path is shown relative to the working directory."""
    place("m/a.h5", HDF5)
    assert labels(str(Path("m").absolute())) == ["m/a.h5"]
    assert labels(str(Path("m/a.h5").absolute())) == ["m/a.h5"]


def test_links_inside_a_directory() -> None:
    """A link to a model of the same directory does not count it twice, nor does a loop of directories."""
    place("m/a.h5", HDF5)
    Path("m/latest.h5").symlink_to("a.h5")
    Path("m/loop").symlink_to(".")
    assert labels("m") == ["m/a.h5"]


def test_a_link_out_of_a_directory_is_not_followed() -> None:
    """A model behind a link that leaves the directory is neither read nor silently left out."""
    place("m/a.h5", HDF5)
    place("elsewhere.h5", HDF5)
    Path("m/b.h5").symlink_to("../elsewhere.h5")
    with pytest.raises(ReadError, match=r"m/b\.h5 is a link that leads out of the directory"):
        discover(["m"])


def test_a_pipe_that_is_named_is_not_called_missing() -> None:
    """A FIFO given by name is a target, so that opening it can say what it is."""
    os.mkfifo("pipe.keras")
    assert [target.path.name for target in discover(["pipe.keras"])] == ["pipe.keras"]


def test_a_pipe_is_never_opened() -> None:
    """A FIFO would block for ever; a walk passes over it, unless it is called like a model."""
    place("m/a.h5", HDF5)
    os.mkfifo("m/pipe")
    assert labels("m") == ["m/a.h5"]
    os.mkfifo("m/pipe.h5")
    with pytest.raises(ReadError, match=r"m/pipe\.h5 is called like a model"):
        discover(["m"])


def test_what_a_search_leaves_out() -> None:
    """Everything that is neither a model nor a part of one is told, with what it is instead."""
    saved_model("m/s")
    place("m/s/keras_metadata.pb", b"x")
    checkpoint("m/ckpt-1")
    checkpoint("m/ckpt-2")
    place("m/ckpt-2.meta", b"x")
    place("m/checkpoint", b'model_checkpoint_path: "ckpt-2"\n')
    place("m/tiny.tflite", bytes(4) + b"TFL3")
    place("m/words.index", b"not TensorFlow's")
    place("m/texts.zip", archive("readme.txt"))
    place("m/notes.txt", b"text")
    place("elsewhere/a.keras", KERAS)
    Path("m/linked").symlink_to("../elsewhere")
    Path("m/inside").symlink_to("s")
    os.mkfifo("m/pipe")
    left_out = {one.path: one.reason for one in search(["m"]).left_out}
    assert left_out.keys() == {
        f"m/{name}" for name in ("ckpt-1", "linked", "notes.txt", "pipe", "texts.zip", "tiny.tflite", "words")
    }
    assert left_out["m/tiny.tflite"].startswith("a TensorFlow Lite model")
    assert "not followed" in left_out["m/linked"]
    assert "other than the one" in left_out["m/ckpt-1"]


def test_what_was_found_in_another_way_is_not_left_out() -> None:
    """A checkpoint that one argument passes over and another one names is a target."""
    checkpoint("m/ckpt-1")
    checkpoint("m/ckpt-2")
    place("m/checkpoint", b'model_checkpoint_path: "ckpt-2"\n')
    found = search(["m", "m/ckpt-1"])
    assert [target.label for target in found.targets] == ["m/ckpt-2", "m/ckpt-1"]
    assert found.left_out == ()


def test_what_was_left_out_is_told_in_few_words() -> None:
    """However many files were left out for however many reasons, the summary stays short."""
    left_out = [LeftOut(f"{letter}{index}", letter) for letter in "abcdefghij" for index in range(100)]
    told = grouped([*left_out, LeftOut("odd", "z")])
    assert told[0] == ("odd", "z")
    assert told[1] == ("a0, a1, a10 and 97 more", "a")
    assert len(told) == 9
    assert told[-1][0] == "300 more"


@pytest.mark.parametrize("path", ["", "x" * 5000])
def test_a_path_that_cannot_be_is_a_usage_error(path: str) -> None:
    """An empty path is not the working directory, and one that no system allows is a mistake."""
    place("a.keras", KERAS)
    with pytest.raises(UsageError):
        discover([path])


@pytest.mark.parametrize("path", ["absent", "absent/x.keras", "*.keras"])
def test_what_does_not_exist_is_a_usage_error(path: str) -> None:
    """A mistyped path, and a glob that matches nothing, are not an empty success."""
    with pytest.raises(UsageError, match=r"(does not exist|matches nothing)"):
        discover([path])


@pytest.mark.parametrize("path", ["m", "m/*"])
def test_a_place_without_models_is_an_error(path: str) -> None:
    """A directory or a glob with no model in it would otherwise be a green gate over nothing."""
    place("m/notes.txt", b"text")
    with pytest.raises(UnsupportedFormatError, match="no saved model"):
        discover([path])


@pytest.mark.parametrize(
    ("path", "error"),
    [("absent", UsageError), ("x*.h5", UsageError), ("m", UnsupportedFormatError), ("a@1", UsageError)],
)
def test_one_path_in_vain_keeps_nothing_from_the_others(path: str, error: type[Exception]) -> None:
    """Beside a model, a path without one is a target that says why, in the order of the command line."""
    place("m/notes.txt", b"text")
    place("a.keras", KERAS)
    found = search([path, "a.keras"])
    assert [target.label for target in found.targets] == [path, "a.keras"]
    assert isinstance(found.targets[0].refusal, error)
    assert found.targets[1].refusal is None
    assert found.left_out == ()
    with pytest.raises(error):
        discover([path, "a.keras"])


def test_what_is_refused_in_a_directory_keeps_nothing_from_the_rest() -> None:
    """A link that leads out, a pipe and a missing checkpoint are told beside the other models."""
    place("m/a.h5", HDF5)
    place("elsewhere.h5", HDF5)
    Path("m/b.h5").symlink_to("../elsewhere.h5")
    os.mkfifo("m/c.h5")
    place("m/checkpoint", b'model_checkpoint_path: "ckpt-9"\n')
    refused = {target.label: str(target.refusal) for target in search(["m"]).targets if target.refusal}
    assert refused == {
        "m/checkpoint": "m/checkpoint names the checkpoint 'ckpt-9', which is not beside it.",
        "m/b.h5": "m/b.h5 is a link that leads out of the directory and is not followed; name its target.",
        "m/c.h5": "m/c.h5 is called like a model, and is neither a file nor a directory.",
    }
    named = search(["m", "elsewhere.h5"]).targets
    assert [target.label for target in named] == ["m/a.h5", "m/checkpoint", "elsewhere.h5", "m/c.h5"]
    assert named[2].refusal is None


def test_every_model_of_the_corpus_is_found_once(corpus: Path) -> None:
    """A walk over real models finds each that the manifest lists (TensorFlow Lite is not read), once."""
    rows = [line.split("\t") for line in (corpus / "manifest.tsv").read_text("utf-8").splitlines()[1:]]
    wanted = {row[0] for row in rows if row[2] != "tflite"}
    targets = discover([str(corpus)])
    keys = [os.path.realpath(target.path) for target in targets]
    assert len(keys) == len(set(keys))
    root = Path(os.path.realpath(corpus))
    folders = {Path(key).relative_to(root).parts[0] for key in keys}
    assert {row[1].split("/")[0] for row in rows if row[0] in wanted} == folders


def test_what_a_killed_process_left_is_no_model(fixtures_dir: Path, tmp_path: Path) -> None:
    """A staging directory holds a copy that was never proved; neither a walk nor a glob goes into it."""
    staging = tmp_path / ".model.keras.123.0123456789abcdef.weightaudit-tmp"
    staging.mkdir()
    for folder in (tmp_path, staging):
        shutil.copy(fixtures_dir / "healthy.keras", folder / "model.keras")
    for path in (tmp_path, tmp_path / "**" / "*.keras"):
        assert [target.path for target in discover([str(path)])] == [tmp_path / "model.keras"]
