"""Real models, and models of many framework versions: each is copied, and changed in one tensor."""

from __future__ import annotations

import re
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from tests.writing.rewriting import assert_only_changed, edit, numbers, random_values
from weightaudit.checkpoint import open_checkpoint
from weightaudit.engine.reading import read_pieces
from weightaudit.errors import ReadError, UnsupportedFormatError, WriteError
from weightaudit.formats import sniff
from weightaudit.tensor import Role
from weightaudit.writing import Edit, model_files, write_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from weightaudit.checkpoint import Checkpoint
    from weightaudit.tensor import TensorInfo


def _models(folder: Path) -> Iterator[Path]:
    """Yield every model below a folder, checkpoints by their index, and parts of a model not again."""
    for path in sorted(folder.rglob("*")):
        is_part = path.parent.name == "variables" or re.search(r"_\d{5}\.weights\.h5$", path.name)
        with suppress(ReadError):
            if not is_part and (path.name.endswith(".index") or sniff(path) is not None):
                yield path


def _same(checkpoint: Checkpoint, info: TensorInfo) -> Edit:
    return lambda: read_pieces(checkpoint.files, checkpoint.entry(info), 0, info.size)


def _check(path: Path, into: Path, generator: np.random.Generator) -> bool:
    """Write a model with the values that it has, and with others for one tensor; False if it has none."""
    with open_checkpoint(path) as checkpoint:
        infos = [info for info in numbers(checkpoint) if info.role is not Role.CONSTANT]
        source = model_files(checkpoint)
        into.mkdir()
        write_model(checkpoint, {info.name: _same(checkpoint, info) for info in infos}, into)
        for name in source.names:
            assert (into / name).read_bytes() == (source.root / name).read_bytes(), path / name
        shutil.rmtree(into)
        if not infos:
            return False
        info = infos[int(generator.integers(len(infos)))]
        values = {info.name: random_values(info, generator)}
        into.mkdir()
        written = write_model(checkpoint, {info.name: edit(values[info.name])}, into, record=b"{}")
    assert_only_changed(path, written.path, values)
    shutil.rmtree(into)
    return True


def _check_all(folder: Path, into: Path) -> tuple[int, list[str]]:
    """Check every model below a folder; return how many were changed, and why the others were not."""
    generator = np.random.default_rng(0)
    changed = 0
    refused: list[str] = []
    for path in _models(folder):
        try:
            changed += _check(path, into, generator)
        except UnsupportedFormatError:
            continue
        except WriteError as error:
            refused.append(str(error))
            shutil.rmtree(into)
    return changed, refused


def test_real_models(tmp_path: Path, corpus: Path) -> None:
    """All models of the collection can be changed but one of version 1 and one whose data is missing."""
    changed, refused = _check_all(corpus, tmp_path / "into")
    assert changed > 50
    assert sorted(reason.partition(" ")[2][:30] for reason in refused) == [
        "cannot be changed, for it is n",
        "is a checkpoint of version 1, ",
    ]


def test_models_of_many_versions(tmp_path: Path, zoo: Path) -> None:
    """Models of every kind by eight versions of TensorFlow and Keras can be changed."""
    changed, refused = _check_all(zoo, tmp_path / "into")
    assert changed > 200
    assert not [reason for reason in refused if "the copies differ" not in reason]
