"""A model becomes a version: byte for byte, once, shared with its predecessor and with nothing else."""

from __future__ import annotations

import json
import os
import shutil
import stat
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.versions.conftest import KINDS, Bench, copied, flip, places
from weightaudit import UsageError, open_checkpoint
from weightaudit.checkpoint import Checkpoint
from weightaudit.digests import tensor_digests
from weightaudit.errors import ReadError, StoreError
from weightaudit.versions.committing import commit
from weightaudit.versions.layout import MARKER, RECORD, default_store
from weightaudit.versions.store import Store, create_store, open_store
from weightaudit.versions.verifying import verify
from weightaudit.writing.files import model_files

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("kind", KINDS)
def test_a_version_is_the_model_byte_for_byte(bench: Bench, sources: dict[str, Path], kind: str) -> None:
    """Every file of every kind of model is in the version, read-only, and nothing else but the record."""
    source = sources[kind]
    version, is_new = bench.put(source)
    assert (version.number, version.name, is_new) == (1, KINDS[kind], True)
    assert version.directory == bench.root / "store" / KINDS[kind] / "1"
    with open_checkpoint(source) as checkpoint:
        files = model_files(checkpoint)
        digests = tensor_digests(checkpoint)
    found = {path.relative_to(version.directory).as_posix() for path in version.directory.rglob("*")}
    assert found == {*files.names, *files.folders, RECORD}
    for name in files.names:
        copy = version.directory / name
        assert copy.read_bytes() == (files.root / name).read_bytes()
        assert stat.S_IMODE(copy.stat().st_mode) == 0o444
        assert copy.stat().st_ino != (files.root / name).stat().st_ino
    assert {one.name: one.sha256 for one in version.record.tensors} == digests
    assert verify(version) == ()
    with open_checkpoint(version.path) as copy_of:
        assert tensor_digests(copy_of) == digests


def test_tensorflow_loads_and_serves_a_version(bench: Bench, sources: dict[str, Path]) -> None:
    """A SavedModel's version directory is a SavedModel that computes what the original computes."""
    import tensorflow as tf

    version = bench.put(sources["saved_model"]).version
    image = np.linspace(-1, 1, 64, dtype=np.float32).reshape(1, 8, 8, 1)
    results = []
    for path in (sources["saved_model"], version.directory):
        loaded = tf.saved_model.load(str(path))
        results.append(loaded.serve(tf.constant(image)).numpy())
    assert np.array_equal(*results)
    # What TensorFlow Serving takes for versions: the entries whose whole name is a number.
    assert [name for name in places(version.directory.parent) if name.isdigit()] == ["1"]


def test_the_same_files_make_no_second_version(bench: Bench, sources: dict[str, Path]) -> None:
    """The newest version is returned if it has these very files, unless another one is asked for."""
    first = bench.put(sources["keras"]).version
    again = bench.put(sources["keras"], "another message")
    assert (again.is_new, again.version) == (False, first)
    forced = bench.put(sources["keras"], always=True)
    assert (forced.is_new, forced.version.number, forced.version.record.parent) == (True, 2, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_equal_files_are_shared_between_versions_only(
    bench: Bench, sources: dict[str, Path], kind: str
) -> None:
    """Versions share the files that are equal; nobody's own file is ever one of theirs."""
    model = bench.model(KINDS[kind], sources[kind])
    first = bench.put(model).version
    second = bench.put(model, always=True).version
    for one in first.record.files:
        ours, theirs = first.directory / one.path, second.directory / one.path
        assert ours.stat().st_ino == theirs.stat().st_ino
        assert ours.stat().st_nlink == 2
    with open_checkpoint(model) as checkpoint:
        files = model_files(checkpoint)
    assert all((files.root / name).stat().st_nlink == 1 for name in files.names)


def test_one_changed_shard_is_one_new_file(bench: Bench, sources: dict[str, Path]) -> None:
    """Of a model of several files, those that did not change cost no space a second time."""
    model = bench.model("exported", sources["saved_model"])
    first = bench.put(model).version
    (model / "assets" / "words.txt").write_text("one\ntwo\n")
    second = bench.put(model).version
    assert second.number == 2
    shared = {one.path: (second.directory / one.path).stat().st_nlink == 2 for one in second.record.files}
    assert shared.pop("assets/words.txt") is False
    assert shared
    assert all(shared.values())
    assert not (first.directory / "assets" / "words.txt").exists()


def test_a_damaged_version_is_neither_shared_nor_taken_for_the_model(
    bench: Bench, sources: dict[str, Path]
) -> None:
    """Where the newest version rotted on the disk, a commit of the same model makes a sound one."""
    first = bench.put(sources["checkpoint"]).version
    flip(first.directory / "ckpt-1.data-00000-of-00001", 100)
    second, is_new = bench.put(sources["checkpoint"])
    assert is_new
    assert verify(second) == ()
    index, data = (second.directory / name for name in ("ckpt-1.index", "ckpt-1.data-00000-of-00001"))
    assert (index.stat().st_nlink, data.stat().st_nlink) == (2, 1)


def test_a_damaged_record_does_not_stop_the_next_commit(bench: Bench, sources: dict[str, Path]) -> None:
    """A store stays usable where a record is damaged."""
    first = bench.put(sources["keras"]).version
    flip(first.directory / RECORD, 0)
    assert bench.put(sources["keras"]).version.number == 2


def test_a_model_that_changes_meanwhile_makes_no_version(bench: Bench, sources: dict[str, Path]) -> None:
    """A model that is written to while it is copied is refused, and no version appears."""

    class Restless(Checkpoint):
        """A model that another process writes to just before it is looked at for the last time."""

        def check_unchanged(self) -> None:
            os.utime(model)
            super().check_unchanged()

    from weightaudit.formats import open_catalog

    model = bench.model("m.keras", sources["keras"])
    with (
        Restless(open_catalog(model)) as checkpoint,
        pytest.raises(ReadError, match="changed while it was read"),
    ):
        commit(bench.store, checkpoint, message="", author="")
    assert bench.store.numbers("m.keras") == []


@pytest.mark.parametrize("data", [None, b"short"])
def test_a_model_of_which_a_part_is_missing(
    bench: Bench, sources: dict[str, Path], data: bytes | None
) -> None:
    """What could never be restored is not stored: a checkpoint without its data, or with a part of it."""
    model = bench.model("ckpt-1", sources["checkpoint"])
    place = model.with_name("ckpt-1.data-00000-of-00001")
    place.unlink()
    if data is not None:
        place.write_bytes(data)
    with pytest.raises(StoreError, match="ckpt-1 is not whole, so it is not stored"):
        bench.put(model)
    assert bench.store.numbers("ckpt-1") == []


def test_a_copy_of_a_version_is_the_model_without_its_record(bench: Bench, sources: dict[str, Path]) -> None:
    """Somebody who copies a SavedModel's version out of the store may commit it: the record is no part."""
    version = bench.put(sources["saved_model"]).version
    model = copied(version.directory, bench.root / "exported")
    assert (model / RECORD).is_file()
    again = bench.put(model)
    assert (again.is_new, again.version.number) == (False, 1)


def test_a_version_goes_back_where_it_came_from(bench: Bench, sources: dict[str, Path]) -> None:
    """A model that lies in a store belongs to that store, under the name that it has there."""
    for kind in ("keras", "saved_model"):
        version = bench.put(sources[kind]).version
        with open_checkpoint(version.path) as checkpoint:
            assert default_store(model_files(checkpoint)) == bench.root.resolve() / "store"
        again = bench.put(version.path, always=True)
        assert (again.version.name, again.version.number) == (KINDS[kind], 2)


def test_a_file_with_the_name_of_a_record_is_refused(bench: Bench, sources: dict[str, Path]) -> None:
    """A model whose own file would collide with the record is refused, never stored without it."""
    model = bench.model("exported", sources["saved_model"])
    (model / RECORD).write_text("{}")
    with pytest.raises(StoreError, match="a name that versions need"):
        bench.put(model)


def test_a_store_inside_a_model_is_refused(bench: Bench, sources: dict[str, Path]) -> None:
    """A store within the directory of the model would hold itself: none is made there, nor used."""
    model = bench.model("exported", sources["saved_model"])
    for place in (model / "store", model / "variables" / "store"):
        with pytest.raises(UsageError, match="would be a part of the SavedModel"):
            create_store(place)
    inner = Store(create_store(bench.root / "moved").root.rename(model / "store"))
    with open_checkpoint(model) as checkpoint, pytest.raises(UsageError, match="lies inside the model"):
        commit(inner, checkpoint, message="", author="")


def test_names_that_a_store_cannot_hold(bench: Bench, sources: dict[str, Path]) -> None:
    """A name that would lead elsewhere, or be taken for something else, is refused."""
    names = ["", ".", "..", "a/b", MARKER, ".x.1.0123456789abcdef.weightaudit-tmp", "a\0", "\udcff"]
    with open_checkpoint(sources["keras"]) as checkpoint:
        for name in names[1:]:
            with pytest.raises(UsageError, match="cannot be the name"):
                commit(bench.store, checkpoint, message="", author="", name=name)
    assert places(bench.root / "store") == [MARKER]


def test_a_checkpoint_without_a_name(bench: Bench, sources: dict[str, Path]) -> None:
    """A checkpoint whose prefix is empty is called by its directory, and can be opened in the store."""
    folder = bench.root / "nameless"
    folder.mkdir()
    for file in sources["checkpoint"].parent.glob("ckpt-1.*"):
        shutil.copy(file, folder / file.name.removeprefix("ckpt-1"))
    version = bench.put(folder / ".index").version
    assert (version.name, version.path.name) == ("nameless", ".index")
    assert verify(version) == ()


def test_a_store_is_made_only_where_nothing_is(tmp_path: Path) -> None:
    """A free path and an empty directory become a store; files, other directories and stores do not."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    (tmp_path / "file").touch()
    for name in ("new", "empty"):
        made = create_store(tmp_path / name)
        assert create_store(tmp_path / name) == made == open_store(tmp_path / name)
        assert places(tmp_path / name) == [MARKER]
    for name, words in (("full", "other content"), ("file", "no directory"), ("new/inner", "lies in")):
        with pytest.raises(UsageError, match=words):
            create_store(tmp_path / name)
    with pytest.raises(StoreError, match="cannot be made"):
        create_store(tmp_path / "missing" / "store")
    with pytest.raises(StoreError, match="no version store"):
        open_store(tmp_path / "full")


def test_a_newer_store_is_not_touched(bench: Bench) -> None:
    """A store of another layout is refused by name."""
    (bench.root / "store" / MARKER).write_text(json.dumps({"layout": 2}))
    with pytest.raises(StoreError, match="layout 2"):
        open_store(bench.store.root)
    (bench.root / "store" / MARKER).write_text("[")
    with pytest.raises(StoreError, match="not valid JSON"):
        open_store(bench.store.root)


def test_a_directory_with_the_name_of_a_record(bench: Bench, sources: dict[str, Path]) -> None:
    """A model in which a directory has the name that the record needs is refused, in words."""
    model = bench.model("exported", sources["saved_model"])
    (model / RECORD).mkdir()
    with pytest.raises(StoreError, match="is a directory, and versions need that name"):
        bench.put(model)
    assert bench.store.models() == []


def test_a_link_to_a_directory_of_the_model(bench: Bench, sources: dict[str, Path]) -> None:
    """A link in a model that leads to no file is refused, and not said to lead outside."""
    model = bench.model("exported", sources["saved_model"])
    (model / "assets.extra").symlink_to("assets")
    with pytest.raises(ReadError, match="is a link that leads to no file of the model"):
        bench.put(model)
