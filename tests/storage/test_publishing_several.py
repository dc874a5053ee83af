"""`publish_model`: a model of several files gets a name that nothing has yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.models import CHECKPOINT, SHARDS, Pair
from tests.faults.scenarios import files_of, known, listing, look, staged
from weightaudit.errors import WriteError
from weightaudit.storage.layouts import main_file
from weightaudit.storage.replacing import publish_model
from weightaudit.storage.staging import Staging


def test_a_checkpoint_gets_another_prefix(here: Path, source: Path) -> None:
    """The files of a checkpoint are named after where it is put."""
    CHECKPOINT.new(source)
    with Staging(here / "best") as staging:
        publish_model(staged(files_of(source / "m"), staging.path), here / "best")
    assert listing(here) == ["best.data-00000-of-00001", "best.index"]
    assert look(here / "best") == known("m", CHECKPOINT.new)[1]


def test_shards_keep_the_name_that_they_were_written_with(here: Path, source: Path) -> None:
    """The index of Keras shards holds their names, so another one is refused."""
    SHARDS.new(source)
    with Staging(here / "best.weights.json") as staging:
        new = staged(files_of(source / SHARDS.name), staging.path)
        with pytest.raises(WriteError, match=r"cannot be called best\.weights\.json"):
            publish_model(new, here / "best.weights.json")
    assert listing(here) == []


@pytest.mark.parametrize("pair", [CHECKPOINT, SHARDS], ids=["checkpoint", "shards"])
@pytest.mark.parametrize("taken", ["main", "data"])
def test_names_that_are_taken(here: Path, source: Path, pair: Pair, taken: str) -> None:
    """If any of several names is taken, by a file of a stranger too, no file is put down."""
    pair.new(source)
    files = files_of(source / pair.name)
    main = main_file(files.kind, files.main)
    name = main if taken == "main" else next(name for name in files.names if name != main)
    (here / name).write_text("mine")
    with Staging(here / pair.name) as staging:
        new = staged(files, staging.path)
        with pytest.raises(WriteError, match="exists already" if taken == "main" else "is in the way"):
            publish_model(new, here / pair.name)
    assert listing(here) == [name]
    assert (here / name).read_text() == "mine"
