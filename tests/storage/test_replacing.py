"""Models in the place of others: what is checked before, what is kept, and what others read in between."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.faults.models import CHECKPOINT, DIRECTORY, FILE, OTHER_SHARDS, SHARDS, Pair, checkpoint
from tests.faults.scenarios import PAIRS, content, files_of, known, listing, look, staged
from weightaudit import open_checkpoint
from weightaudit.errors import WriteError
from weightaudit.formats import Kind
from weightaudit.storage import replacing, several
from weightaudit.storage.layouts import main_file
from weightaudit.storage.locking import locked
from weightaudit.storage.replacing import publish_model, replace_model
from weightaudit.storage.staging import Staging
from weightaudit.writing.files import ModelFiles, model_files

every_pair = pytest.mark.parametrize("pair", PAIRS.values(), ids=[each.split()[-1] for each in PAIRS])


def replaced(pair: Pair, source: Path, here: Path, change: Callable[[], None] = lambda: None) -> None:
    """Put the new model in the place of the old, open one; something may change it before."""
    pair.old(here)
    pair.new(source)
    with open_checkpoint(here / pair.name) as opened, Staging(here / pair.name) as staging:
        new, old = staged(files_of(source / pair.name), staging.path), model_files(opened)
        change()
        replace_model(new, old, opened.files)


def main_of(here: Path, pair: Pair) -> Path:
    """Return the main file of a model."""
    if pair is DIRECTORY:
        return here / "m" / "variables" / "variables.index"
    return here / ("m.index" if pair is CHECKPOINT else pair.name)


@every_pair
def test_the_new_model_is_in_place(here: Path, source: Path, pair: Pair) -> None:
    """What was open is replaced by the very bytes of the new one, under the same names."""
    replaced(pair, source, here)
    assert content(here / pair.name) == content(source / pair.name)
    assert look(here / pair.name) == known(pair.name, pair.new)[1]
    assert not [name for name in listing(here) if name.startswith(".")]


@every_pair
def test_what_changed_meanwhile_is_not_replaced(here: Path, source: Path, pair: Pair) -> None:
    """A file that was written to since it was opened stays as it is now."""
    pair.old(here)
    victim = main_of(here, pair)

    def change() -> None:
        with victim.open("ab") as stream:
            stream.write(b"x")

    before = len(victim.read_bytes())
    shutil.rmtree(here)
    here.mkdir()
    with pytest.raises(
        WriteError, match="changed meanwhile and is not replaced; try again once nothing writes"
    ):
        replaced(pair, source, here, change)
    assert len(victim.read_bytes()) == before + 1


@every_pair
def test_what_was_replaced_meanwhile_is_not_replaced(here: Path, source: Path, pair: Pair) -> None:
    """A file that another program put in the place of the one that was opened stays."""

    def change() -> None:
        victim = main_of(here, pair)
        copy = here.parent / "copy"
        shutil.copy2(victim, copy)
        copy.replace(victim)

    with pytest.raises(WriteError, match="changed meanwhile and is not replaced"):
        replaced(pair, source, here, change)
    assert look(here / pair.name) == known(pair.name, pair.old)[1]


def test_a_directory_that_was_exchanged_meanwhile(here: Path, source: Path) -> None:
    """A SavedModel that another program put there, while the files that were opened did not change, stays."""

    def change() -> None:
        (here / "m").rename(here / "earlier")
        shutil.copytree(here / "earlier", here / "m")

    with pytest.raises(WriteError, match="changed meanwhile and is not replaced"):
        replaced(DIRECTORY, source, here, change)
    assert look(here / "m") == known("m", DIRECTORY.old)[1]


def test_a_file_that_is_new_in_a_directory(here: Path, source: Path) -> None:
    """What somebody put into a SavedModel since it was opened would be lost, so it is not replaced."""
    with pytest.raises(WriteError, match="changed meanwhile"):
        replaced(DIRECTORY, source, here, (here / "m" / "assets" / "mine.txt").touch)
    assert (here / "m" / "assets" / "mine.txt").exists()


@every_pair
def test_a_change_at_the_last_moment(
    here: Path, source: Path, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what changes while the new files are brought to the disk is seen, and nothing is left behind."""
    pair.old(here)
    pair.new(source)
    destination = files_of(here / pair.name)
    names = listing(here)
    real = os.fsync
    changed: list[int] = []

    def sync(fd: int) -> None:
        real(fd)
        if not changed:
            changed.append(fd)
            os.utime(main_of(here, pair))

    monkeypatch.setattr(os, "fsync", sync)
    with Staging(here / pair.name) as staging:
        new = staged(files_of(source / pair.name), staging.path)
        with pytest.raises(WriteError, match="changed meanwhile"):
            replace_model(new, destination)
    assert listing(here) == names
    assert look(here / pair.name) == known(pair.name, pair.old)[1]


@every_pair
def test_one_at_a_time(here: Path, source: Path, pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process replaces or publishes a model in the directory, this one waits, and gives up."""
    monkeypatch.setattr(replacing, "locked", partial(locked, patience=0.05))
    with locked(here), pytest.raises(WriteError, match="Another process is replacing a model in"):
        replaced(pair, source, here)
    assert look(here / pair.name) == known(pair.name, pair.old)[1]


@pytest.mark.parametrize("pair", [CHECKPOINT, SHARDS], ids=["checkpoint", "shards"])
def test_one_new_model_at_a_time(
    here: Path, source: Path, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several files get their names while nobody else gives any."""
    monkeypatch.setattr(replacing, "locked", partial(locked, patience=0.05))
    pair.new(source)
    with Staging(here / pair.name) as staging, locked(here):
        new = staged(files_of(source / pair.name), staging.path)
        with pytest.raises(WriteError, match="Another process is replacing a model in"):
            publish_model(new, here / pair.name)
    assert listing(here) == []


@every_pair
def test_neighbours_are_left_alone(here: Path, source: Path, pair: Pair) -> None:
    """Other models in the directory, with names and numbers of shards that are alike, stay as they are."""
    neighbours = (
        *("m-2.index", "m-2.data-00000-of-00001", "m.data-00000-of-00001.bak", "am.data-00000-of-00001"),
        *("sharded_2_00000.weights.h5", "other_00000.weights.h5", "sharded_00007.weights.h5", ".m.swp"),
    )
    for name in neighbours:
        (here / name).write_text(name)
    (here / "m-3.data-00000-of-00001").symlink_to("m-2.data-00000-of-00001")
    replaced(pair, source, here)
    assert (here / "m-3.data-00000-of-00001").is_symlink()
    assert {name: (here / name).read_text() for name in neighbours} == {name: name for name in neighbours}
    assert look(here / pair.name) == known(pair.name, pair.new)[1]


def test_only_a_model_of_the_same_kind(here: Path, source: Path) -> None:
    """A Keras archive is not replaced by a SavedModel, and the sentence names both."""
    FILE.old(here)
    DIRECTORY.new(source)
    with pytest.raises(
        WriteError, match=r"m.keras is a Keras archive, and cannot be replaced by a SavedModel"
    ):
        replace_model(files_of(source / "m"), files_of(here / "m.keras"))


@pytest.mark.parametrize("pair", [CHECKPOINT, OTHER_SHARDS, SHARDS], ids=["same", "other", "keras"])
def test_modes_of_several_files_are_kept(here: Path, source: Path, pair: Pair) -> None:
    """Each new file has the mode of the old one of its name, or of the main file if there was none."""

    def change() -> None:
        for path in here.iterdir():
            path.chmod(0o640 if path.suffix in {".index", ".json"} else 0o604)

    pair.old(here)
    old = {path.name for path in here.iterdir()}
    pair.new(source)
    change()
    with Staging(here / pair.name) as staging:
        new = staged(files_of(source / pair.name), staging.path)
        replace_model(new, files_of(here / pair.name))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in here.iterdir()}
    main = main_file(new.kind, pair.name)
    assert modes == {name: 0o604 if name in old and name != main else 0o640 for name in modes}


def test_a_stale_shard_is_not_overwritten(here: Path, source: Path) -> None:
    """A file that the old checkpoint does not use, and the new one would replace, is somebody's."""
    OTHER_SHARDS.old(here)
    OTHER_SHARDS.new(source)
    (here / "m.data-00000-of-00002").write_text("mine")
    with Staging(here / "m") as staging:
        new = staged(files_of(source / "m"), staging.path)
        with pytest.raises(WriteError, match=r"m\.data-00000-of-00002 is in the way"):
            replace_model(new, files_of(here / "m"))
    assert look(here / "m") == known("m", OTHER_SHARDS.old)[1]


def test_spare_names_avoid_what_is_there(here: Path, source: Path) -> None:
    """A number of shards that leftovers have is not taken for the moment, and they stay."""
    leftover = here / "m.data-00001-of-00002"
    leftover.write_text("mine")
    replaced(CHECKPOINT, source, here)
    assert leftover.read_text() == "mine"
    assert look(here / "m") == known("m", CHECKPOINT.new)[1]


def test_shards_without_content_are_cleared_too(here: Path, source: Path) -> None:
    """A checkpoint that counts shards which hold nothing leaves none of them behind."""
    more = CHECKPOINT._replace(old=checkpoint("checkpoint/ckpt-1", 3))
    replaced(more, source, here)
    assert listing(here) == ["m.data-00000-of-00001", "m.index"]


def test_a_checkpoint_of_version_1_in_several_files(here: Path) -> None:
    """Where no file says which others belong to it, several are not replaced: it would take several steps."""
    names = ("m-00000-of-00002", "m-00001-of-00002")
    for name in names:
        (here / name).write_text("old")
    with Staging(here / names[0]) as staging:
        for name in names:
            (staging.path / name).write_text("new")
        with pytest.raises(WriteError, match="cannot be replaced in one step; use --output"):
            replace_model(
                ModelFiles(Kind.TABLE, staging.path, names[0], names),
                ModelFiles(Kind.TABLE, here, names[0], names),
            )
    assert {path.read_text() for path in here.iterdir()} == {"old"}


def test_what_another_program_saves_at_that_moment_is_not_overwritten(here: Path, source: Path) -> None:
    """Data that is saved under the old names just after the switch stays, and the new model is whole."""
    CHECKPOINT.old(here)
    CHECKPOINT.new(source)
    data = here / "m.data-00000-of-00001"

    def save() -> None:
        data.write_bytes(b"saved")

    with Staging(here / "m") as staging:
        new, old = staged(files_of(source / "m"), staging.path), files_of(here / "m")
        with pytest.raises(WriteError, match="is replaced and whole, but another program has written"):
            several.replace_several(new, old, save)
    assert data.read_bytes() == b"saved"
    assert look(here / "m") == known("m", CHECKPOINT.new)[1]


def test_a_main_file_that_another_program_writes_at_that_moment(here: Path, source: Path) -> None:
    """An index that was written in place after the switch is not taken for ours."""
    CHECKPOINT.old(here)
    CHECKPOINT.new(source)
    with Staging(here / "m") as staging:
        new, old = staged(files_of(source / "m"), staging.path), files_of(here / "m")
        move = several._Move(new, here, "m", ("m.data-00000-of-00001",))
        first, last = move._commits()
        first.main.replace(here / "m.index")
        move._expect(first)
        with (here / "m.index").open("ab") as index:
            index.write(b"saved")
        with pytest.raises(WriteError, match="was replaced by another program meanwhile"):
            move._carry_out_last(first, last, ())
    assert old.names == ("m.data-00000-of-00001", "m.index")


@pytest.mark.parametrize("pair", [CHECKPOINT, SHARDS], ids=["checkpoint", "shards"])
def test_names_that_cannot_be_given_at_the_end(
    here: Path, source: Path, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If only the second half fails, the new model is there, and the next replacement clears up."""
    real = several._Move._carry_out_last

    def broken(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def fail(move: several._Move, *arguments: Any) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", broken)
            real(move, *arguments)

    monkeypatch.setattr(several._Move, "_carry_out_last", fail)
    with pytest.raises(
        WriteError, match="is replaced and whole, but its data files could not get their usual"
    ):
        replaced(pair, source, here)
    monkeypatch.undo()
    new = known(pair.name, pair.new)[1]
    assert look(here / pair.name) == new
    assert set(listing(here)) > set(listing(source))
    old = files_of(here / pair.name)
    monkeypatch.setattr(several._Move, "_commits", broken)
    with Staging(here / pair.name) as staging, pytest.raises(WriteError, match="Input/output error"):
        replace_model(staged(files_of(source / pair.name), staging.path), old)
    monkeypatch.undo()
    assert look(here / pair.name) == new
    # Keras opens the first shard before it looks into the index.
    assert pair is CHECKPOINT or (here / "sharded_00000.weights.h5").exists()
    with Staging(here / pair.name) as staging:
        replace_model(staged(files_of(source / pair.name), staging.path), files_of(here / pair.name))
    assert content(here / pair.name) == content(source / pair.name)
    assert listing(here) == listing(source)


def test_times_and_attributes_of_what_stays(here: Path, source: Path) -> None:
    """A file with the same content keeps its time, one with other content does not; attributes stay."""

    def aged(folder: Path) -> None:
        DIRECTORY.old(folder)
        for path in (folder / "m").rglob("*"):
            os.utime(path, ns=(1, 2))
        try:
            os.setxattr(folder / "m" / "saved_model.pb", "user.origin", b"somewhere")
        except (AttributeError, OSError):
            pytest.skip("needs a file system with extended attributes")

    replaced(DIRECTORY._replace(old=aged), source, here)
    new = here / "m"
    assert (new / "saved_model.pb").stat().st_mtime_ns == 2
    assert (new / "variables" / "variables.index").stat().st_mtime_ns > 2
    assert (new / "assets" / "words.txt").stat().st_mtime_ns > 2
    assert os.getxattr(new / "saved_model.pb", "user.origin") == b"somewhere"


def test_a_shard_that_stays_keeps_its_time(here: Path, source: Path) -> None:
    """Of a model of several files, those that do not change look as they did."""

    def aged(folder: Path) -> None:
        CHECKPOINT.old(folder)
        os.utime(folder / "m.data-00000-of-00001", ns=(1, 2))

    replaced(Pair("m", aged, CHECKPOINT.old), source, here)
    assert (here / "m.data-00000-of-00001").stat().st_mtime_ns == 2
