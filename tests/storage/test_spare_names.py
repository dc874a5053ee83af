"""What is at a path between the two commits of a model of several files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.faults.models import CHECKPOINT, SHARDS, Pair
from tests.faults.scenarios import files_of
from weightaudit import open_checkpoint
from weightaudit.storage.layouts import main_file, spare_names


def test_frameworks_read_what_is_there_for_a_moment(tmp_path: Path, fixtures_dir: Path) -> None:
    """Between the two commits, TensorFlow and Keras load the model with the spare names as it is."""
    keras = pytest.importorskip("keras")
    tensorflow = pytest.importorskip("tensorflow")
    for pair in (CHECKPOINT, SHARDS):
        (tmp_path / pair.name).mkdir()
        pair.old(tmp_path / pair.name)
        in_between(tmp_path / pair.name, pair)
    reader = tensorflow.train.load_checkpoint(str(tmp_path / "m" / "m"))
    usual = tensorflow.train.load_checkpoint(str(fixtures_dir / "checkpoint" / "ckpt-1"))
    shapes = reader.get_variable_to_shape_map()
    assert shapes == usual.get_variable_to_shape_map()
    for name in shapes:
        np.testing.assert_array_equal(reader.get_tensor(name), usual.get_tensor(name))
    model = keras.models.load_model(fixtures_dir / "healthy.keras")
    expected = [np.array(value) for value in model.get_weights()]
    model.set_weights([0 * value for value in expected])
    model.load_weights(tmp_path / SHARDS.name / SHARDS.name)
    for value, before in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_array_equal(value, before)


def in_between(folder: Path, pair: Pair) -> None:
    """Give the data files of a model the names that they have for a moment; the usual ones are others'."""
    files = files_of(folder / pair.name)
    main = folder / main_file(files.kind, files.main)
    with open_checkpoint(folder / pair.name) as opened:
        index = opened.files[opened.files.open(main.name)]
        spare = spare_names(files, index, files.main, lambda each: not (folder / each).exists())
    for old, new in spare.names.items():
        (folder / old).rename(folder / new)
    for empty in spare.empty:
        (folder / empty).touch()
    pair.new(folder)
    main.write_bytes(spare.main)
