"""A version comes back whole, and nothing that was there is lost."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

from tests.versions.conftest import KINDS, Bench, flip, places
from weightaudit import UsageError, open_checkpoint
from weightaudit.digests import tensor_digests
from weightaudit.errors import StoreError
from weightaudit.versions.layout import RECORD
from weightaudit.versions.restoring import restore
from weightaudit.versions.verifying import verify
from weightaudit.writing.files import model_files

if TYPE_CHECKING:
    from pathlib import Path


def content(path: Path) -> dict[str, bytes]:
    """Return every file of a model."""
    with open_checkpoint(path) as model:
        files = model_files(model)
    return {name: (files.root / name).read_bytes() for name in files.names}


@pytest.mark.parametrize("kind", KINDS)
def test_to_a_new_path(bench: Bench, sources: dict[str, Path], kind: str) -> None:
    """A version of any kind comes back byte for byte, as files of its own that can be written to."""
    version = bench.put(sources[kind]).version
    (bench.root / "elsewhere").mkdir()
    target = bench.root / "elsewhere" / KINDS[kind]
    assert restore(version, target, author="me").replaced is None
    assert content(target) == content(sources[kind])
    files = [path for path in (bench.root / "elsewhere").rglob("*") if path.is_file()]
    assert all(path.stat().st_nlink == 1 and path.stat().st_mode & stat.S_IWUSR for path in files)
    assert RECORD not in {path.name for path in files}
    if kind == "saved_model":
        assert (target / "assets").is_dir()


@pytest.mark.parametrize(
    ("kind", "name"), [("keras", "other.keras"), ("checkpoint", "model-7"), ("saved_model", "x")]
)
def test_under_another_name(bench: Bench, sources: dict[str, Path], kind: str, name: str) -> None:
    """The files of a version follow the name that it is restored to, and hold what they held."""
    version = bench.put(sources[kind]).version
    restore(version, bench.root / name, author="me")
    with open_checkpoint(bench.root / name) as model, open_checkpoint(sources[kind]) as source:
        assert tensor_digests(model) == tensor_digests(source)


def test_a_name_of_another_format_is_refused(bench: Bench, sources: dict[str, Path]) -> None:
    """Keras opens a file by its name, so an archive is not restored as HDF5, and nothing is written."""
    version = bench.put(sources["keras"]).version
    with pytest.raises(UsageError, match=r"let its name end in \.keras, too"):
        restore(version, bench.root / "new.h5", author="me")
    assert not (bench.root / "new.h5").exists()


def test_shards_under_another_name(bench: Bench, sources: dict[str, Path]) -> None:
    """The index of weight shards names them, so it is written anew for another name."""
    version = bench.put(sources["sharded"]).version
    target = bench.root / "renamed.weights.json"
    restore(version, target, author="me")
    assert {"renamed.weights.json", "renamed_00000.weights.h5"} <= set(places(bench.root))
    with open_checkpoint(target) as model, open_checkpoint(sources["sharded"]) as source:
        assert tensor_digests(model) == tensor_digests(source)


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_there_becomes_a_version(bench: Bench, sources: dict[str, Path], kind: str) -> None:
    """A model that is replaced is in the store first; restoring that one brings it back."""
    model = bench.model(KINDS[kind], sources[kind])
    first = bench.put(model).version
    before = content(model)
    change(model)
    after = content(model)
    assert after != before
    done = restore(first, model, author="me")
    assert content(model) == before
    assert done.replaced is not None
    assert done.replaced.number == 2
    assert done.replaced.record.message == f"what was there before {first.address} was restored"
    assert verify(done.replaced) == ()
    again = restore(done.replaced, model, author="me")
    assert content(model) == after
    # What was there was the first version, which the store has: nothing is stored twice.
    assert again.replaced == first
    assert bench.store.numbers(KINDS[kind]) == [1, 2]
    assert not [name for name in places(bench.root) if name.endswith("-tmp")]


def change(model: Path) -> None:
    """Train a model a little: another value in its last file."""
    with open_checkpoint(model) as checkpoint:
        name = next(info.name for info in checkpoint if info.name.endswith("kernel"))
        extent = checkpoint.entry(checkpoint[name]).storage
        label = checkpoint.files[extent.file].label  # type: ignore[union-attr]  # no fixture here is compressed
        root = checkpoint.files.root
    path = root / (label.rpartition(":")[0] or label)
    flip(path, extent.offset)  # type: ignore[union-attr]  # see above
    path.chmod(0o640)


def test_the_mode_of_what_was_there_stays(bench: Bench, sources: dict[str, Path]) -> None:
    """Who could read the model before can read it afterwards, and nobody else."""
    model = bench.model("m.keras", sources["keras"])
    version = bench.put(model).version
    change(model)
    restore(version, model, author="me")
    assert stat.S_IMODE(model.stat().st_mode) == 0o640


def test_a_name_of_its_own_does_not_make_a_version(bench: Bench, sources: dict[str, Path]) -> None:
    """A model that was restored under another name is known by its content."""
    version = bench.put(sources["checkpoint"]).version
    target = bench.root / "model-7"
    restore(version, target, author="me")
    assert restore(version, target, author="me").replaced == version


def test_something_else_in_the_way(bench: Bench, sources: dict[str, Path]) -> None:
    """What cannot become a version first is never replaced: another kind, a damaged model, a directory."""
    version = bench.put(sources["keras"]).version
    other = bench.model("m.h5", sources["h5"])
    broken = bench.root / "broken.keras"
    broken.write_bytes(b"PK\x03\x04 was a model")
    (bench.root / "folder").mkdir()
    dangling = bench.root / "dangling"
    dangling.symlink_to(bench.root / "nowhere")
    for path, words in (
        (other, "is a HDF5"),
        (broken, "is in the way"),
        (bench.root / "folder", "is in the way"),
        (dangling, "is in the way"),
    ):
        before = os.lstat(path)
        with pytest.raises(UsageError, match=words):
            restore(version, path, author="me")
        assert os.lstat(path) == before
    assert not (bench.root / "nowhere").exists()


def test_a_place_in_a_store_is_refused(bench: Bench, sources: dict[str, Path]) -> None:
    """Versions are never changed, so nothing is restored over one, nor beside one."""
    version = bench.put(sources["keras"]).version
    for place in (
        version.path,
        version.directory / "x.keras",
        bench.store.root / "x.keras",
        bench.store.root,
    ):
        with pytest.raises(UsageError, match="lies in a version store"):
            restore(version, place, author="me")
    with pytest.raises(UsageError, match="is not the path of a model"):
        restore(version, bench.root / "..", author="me")


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_version_is_not_restored(bench: Bench, sources: dict[str, Path], kind: str) -> None:
    """A version that is not what its record says replaces nothing and appears nowhere."""
    model = bench.model(KINDS[kind], sources[kind])
    version = bench.put(model).version
    change(version.path)
    change(model)
    flip_back = content(model)
    for target in (model, bench.root / f"new.{KINDS[kind]}"):
        with pytest.raises(StoreError, match="damaged"):
            restore(version, target, author="me")
    assert content(model) == flip_back
    assert not [name for name in places(bench.root) if name.startswith(("new", ".new"))]
    assert bench.store.numbers(version.name) == [1]


def test_a_missing_or_linked_file_of_a_version(bench: Bench, sources: dict[str, Path]) -> None:
    """A version whose file is gone, or leads elsewhere, is damaged; nothing outside is copied."""
    version = bench.put(sources["keras"]).version
    version.path.unlink()
    with pytest.raises(StoreError, match=r"healthy.keras@1 is damaged: healthy.keras cannot be opened"):
        restore(version, bench.root / "m.keras", author="me")
    version.path.symlink_to(sources["keras"])
    with pytest.raises(StoreError, match=r"healthy.keras@1 is damaged: healthy.keras is a link"):
        restore(version, bench.root / "m.keras", author="me")
