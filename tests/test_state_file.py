"""Which checkpoint a directory's `checkpoint` file names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.formats.tensorflow_oracle import tensorflow
from tests.test_discover import TABLE, checkpoint, labels, place
from weightaudit.discover import discover
from weightaudit.discover.naming import checkpoint_of
from weightaudit.errors import ReadError


@pytest.fixture(autouse=True)
def _working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels are relative to the working directory."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (b'model_checkpoint_path: "good"\r\nall_model_checkpoint_paths: "bad"\r\n', "good"),
        (b'\nmodel_checkpoint_path: "g\\157od"', "good"),
        (b'model_checkpoint_path: "caf\\303\\251"\n', "café"),
        (b'model_checkpoint_path: "sub/good"\n', "sub/good"),
    ],
)
def test_a_state_file_is_read_as_tensorflow_reads_it(text: bytes, named: str) -> None:
    """A state file names the checkpoint that TensorFlow finds: escapes and directories count."""
    tf = tensorflow()
    for prefix in ("good", "bad", "café", "sub/good"):
        checkpoint(f"d/{prefix}")
    place("d/checkpoint", text)
    assert tf.train.latest_checkpoint("d") == f"d/{named}"
    assert checkpoint_of(Path("d")) == Path(f"d/{named}.index")


@pytest.mark.parametrize(
    "text",
    [
        'model_checkpoint_path: "bad" # "/good"\n',
        'model_checkpoint_path: "b"\n"ad"\n',
        'model_checkpoint_path: "good"\nmodel_checkpoint_path: "bad"\n',
        '# x\rmodel_checkpoint_path: "good"\nmodel_checkpoint_path: "bad"\n',
        "model_checkpoint_path: 'bad'",
        'model_checkpoint_path: "good"' + " " * (1 << 20) + '"bad"',
        'model_checkpoint_path: "../d/bad"',
        'model_checkpoint_path: "checkpoint"',
    ],
)
def test_a_state_file_that_says_it_in_another_way(text: str) -> None:
    """What TensorFlow would understand and never writes is refused, not understood in another way."""
    checkpoint("d/good")
    checkpoint("d/bad")
    place("d/checkpoint", text.encode())
    with pytest.raises(ReadError, match=r"^d/checkpoint (does not name a checkpoint|names the checkpoint)"):
        discover(["d"])


def test_another_file_called_checkpoint() -> None:
    """A file of that name which names no checkpoint does not hide the checkpoints beside it."""
    checkpoint("d/ckpt-1")
    place("d/checkpoint", b"epoch 3")
    assert labels("d") == ["d/ckpt-1"]


def test_two_checkpoints_of_one_name() -> None:
    """A file of version 1 beside an index of version 2 is refused: TensorFlow reads the index instead."""
    checkpoint("d/ckpt")
    place("d/ckpt", TABLE)
    with pytest.raises(
        ReadError, match=r"ckpt is a checkpoint of version 1, and ckpt\.index one of version 2"
    ):
        discover(["d/ckpt"])
    assert labels("d/ckpt.index") == ["d/ckpt"]
