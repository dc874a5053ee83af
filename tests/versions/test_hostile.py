"""A store that somebody else prepared: nothing outside of it is read, written or removed."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from tests.versions.conftest import Bench, places
from weightaudit import UsageError
from weightaudit.cli import application
from weightaudit.errors import ReadError, StoreError
from weightaudit.storage.staging import SUFFIX
from weightaudit.versions.address import locate, locate_models
from weightaudit.versions.layout import DEFAULT_STORE, LOCK, MARKER, RECORD, TAGS
from weightaudit.versions.store import create_store, open_store
from weightaudit.versions.survey import survey
from weightaudit.versions.verifying import verify, verify_number
from weightaudit.versions.version import refuse_links

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


def rewrite(bench: Bench, changes: Mapping[str, Any]) -> None:
    """Change fields of the record of the first version."""
    path = bench.store.root / "healthy.keras" / "1" / RECORD
    document = json.loads(path.read_text())
    path.chmod(0o644)
    path.write_text(json.dumps({**document, **changes}))


@pytest.fixture
def prepared(bench: Bench, sources: dict[str, Path]) -> Bench:
    """A store with one version, whose record the test goes on to change."""
    bench.put(sources["keras"])
    return bench


def test_paths_that_lead_out(prepared: Bench, tmp_path: Path) -> None:
    """A record that names files elsewhere is refused before any of them is looked at."""
    (tmp_path / "secret").write_text("secret")
    for path in ("../../../secret", str(tmp_path / "secret"), "x/../../../../secret"):
        rewrite(prepared, {"files": [{"path": path, "size": 6, "sha256": "0" * 64}], "main": path})
        with pytest.raises(StoreError, match="no path of a model's file"):
            prepared.store.get("healthy.keras")
        (found,) = verify_number(prepared.store, "healthy.keras", 1)
        assert found.what == "record"


def test_a_record_of_another_version(prepared: Bench) -> None:
    """A record that was copied from elsewhere does not make a version of what lies there."""
    for changes in ({"version": 2}, {"model": "other.keras"}):
        rewrite(prepared, {"version": 1, "model": "healthy.keras", **changes})
        with pytest.raises(StoreError, match=r"The record of healthy\.keras@1 is that of"):
            prepared.store.get("healthy.keras")


def test_a_linked_record(prepared: Bench, tmp_path: Path) -> None:
    """A record is a file in the version's directory, never a link or anything else."""
    path = prepared.store.root / "healthy.keras" / "1" / RECORD
    path.rename(tmp_path / RECORD)
    path.symlink_to(tmp_path / RECORD)
    with pytest.raises(StoreError, match="cannot be opened"):
        prepared.store.get("healthy.keras")
    path.unlink()
    path.mkdir()
    with pytest.raises(StoreError, match="is not a regular file"):
        prepared.store.get("healthy.keras")


def test_linked_versions_and_models(prepared: Bench, tmp_path: Path, sources: dict[str, Path]) -> None:
    """A link in the place of a version is listed as damaged, one in that of a model not at all."""
    folder = prepared.store.root / "healthy.keras"
    (folder / "1").rename(tmp_path / "1")
    (folder / "1").symlink_to(tmp_path / "1")
    with pytest.raises(StoreError, match="no directory of its own"):
        prepared.store.get("healthy.keras", 1)
    (entry,) = survey(prepared.store, ["healthy.keras"])
    assert "no directory of its own" in (entry.damage or "")
    folder.rename(tmp_path / "model")
    folder.symlink_to(tmp_path / "model")
    before = places(tmp_path / "model")
    assert prepared.store.models() == []
    with pytest.raises(StoreError, match="has no model"):
        prepared.store.get("healthy.keras", 1)
    with pytest.raises(StoreError):
        prepared.put(sources["keras"])
    assert places(tmp_path / "model") == before


def test_a_marker_that_never_ends(prepared: Bench) -> None:
    """A store whose marker is a FIFO is refused, and nobody waits for what comes out of it."""
    marker = prepared.store.root / MARKER
    marker.unlink()
    os.mkfifo(marker)
    for use in (open_store, create_store):
        with pytest.raises(StoreError, match="is not a regular file"):
            use(prepared.store.root)


def test_a_model_that_is_a_link(prepared: Bench, tmp_path: Path) -> None:
    """A version whose file is a link is damaged, and what the link leads to is not read."""
    version = prepared.store.get("healthy.keras")
    version.path.rename(tmp_path / "elsewhere.keras")
    version.path.symlink_to(tmp_path / "elsewhere.keras")
    with pytest.raises(StoreError, match=r"healthy\.keras@1 is damaged: healthy\.keras is a link"):
        refuse_links(version)
    assert [str(one) for one in verify(version)] == [
        "file healthy.keras is no regular file",
        "model cannot be opened: healthy.keras@1 is damaged: healthy.keras is a link",
    ]
    arguments = ["versions", "diff", "@1", "@1", "--store", str(prepared.store.root)]
    assert isinstance(CliRunner().invoke(application(arguments), arguments).exception, StoreError)


def test_the_last_number(prepared: Bench, sources: dict[str, Path]) -> None:
    """A version that would get a number that is none is refused: nobody would find it again."""
    folder = prepared.store.root / "healthy.keras"
    (folder / str(10**18 - 1)).mkdir()
    with pytest.raises(StoreError, match="has the last number there is"):
        prepared.put(sources["keras"], always=True)
    assert places(folder) == [".lock", "1", str(10**18 - 1)]


def test_names_that_are_no_versions(prepared: Bench) -> None:
    """Only plain decimal numbers from 1 on are versions, as TensorFlow Serving has them."""
    folder = prepared.store.root / "healthy.keras"
    for name in ("0", "01", "-1", "1.5", "1 ", "٣", "x", "9" * 19):
        (folder / name).mkdir()
    (folder / "7").touch()
    assert prepared.store.numbers("healthy.keras") == [1, 7]
    assert places(folder).count("7") == 1
    with pytest.raises(StoreError, match="no directory of its own"):
        prepared.store.get("healthy.keras", 7)
    for which in ("01", "x", "-1", "", "../1"):
        with pytest.raises(StoreError):
            prepared.store.get("healthy.keras", which)
    for number in (-1, 0, 2, 10**30):
        with pytest.raises(StoreError, match="There is no version"):
            prepared.store.get("healthy.keras", number)


def test_names_of_models_that_lead_out(prepared: Bench) -> None:
    """An address cannot leave the store."""
    for name in ("..", ".", "", "a/b", "../store/healthy.keras"):
        with pytest.raises(UsageError, match="cannot be the name of a model"):
            prepared.store.get(name)


def test_a_directory_that_cannot_be_opened_is_no_intact_one(prepared: Bench) -> None:
    """What cannot be looked at is not passed over: a version that was exchanged for a file is an error."""
    version = prepared.store.get("healthy.keras")
    for path in sorted(version.directory.iterdir()):
        path.unlink()
    version.directory.rmdir()
    version.directory.touch()
    with pytest.raises(ReadError, match="cannot be listed"):
        verify(version)


def test_a_main_file_that_is_no_file_of_the_version(prepared: Bench, tmp_path: Path) -> None:
    """The main name is one of the files, so that nothing else can be opened in its stead."""
    for main in ("../../../secret", "healthy", "other.keras", str(tmp_path), ""):
        rewrite(prepared, {"main": main})
        with pytest.raises(StoreError, match="main is none of its files"):
            prepared.store.get("healthy.keras")
    rewrite(prepared, {"container": "SavedModel", "main": "healthy.keras"})
    with pytest.raises(StoreError, match="main is none of its files"):
        prepared.store.get("healthy.keras")


def test_addresses(prepared: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name, a number, a tag, a directory before it: each address means one version, or is refused."""
    root, name = prepared.root, "healthy.keras"
    (root / "store").rename(root / ".weightaudit")
    monkeypatch.chdir(root.parent)
    beside = f"{root.name}/"
    for text in (f"{beside}{name}@1", f"{beside}{name}", f"{beside}@latest", f"{beside}{name}@", beside):
        assert locate(text, None).version().address == f"{beside}{name}@1"
    monkeypatch.chdir(root)
    for text in (f"{name}@1", "@1", ""):
        for store in (None, str(root / ".weightaudit")):
            assert locate(text, store).version().number == 1
    with pytest.raises(UsageError, match="--store names the store already"):
        locate(f"x/{name}@1", ".weightaudit")
    with pytest.raises(UsageError, match="--store is empty"):
        locate(name, "")
    with pytest.raises(StoreError, match="no version store"):
        locate(f"elsewhere/{name}@1", None)
    assert locate_models(None, None)[1] == locate_models(name, None)[1] == [name]


def test_ambiguous_addresses(bench: Bench, sources: dict[str, Path]) -> None:
    """Where a model's name looks like an address, nobody guesses."""
    from weightaudit import open_checkpoint
    from weightaudit.versions.committing import commit

    store = str(bench.store.root)
    with pytest.raises(UsageError, match="has no model"):
        locate("@1", store)
    with open_checkpoint(sources["keras"]) as checkpoint:
        commit(bench.store, checkpoint, message="", author="", name="a@1")
        assert locate("a@1", store).version().address == "a@1@1"
        commit(bench.store, checkpoint, message="", author="", name="a")
    with pytest.raises(UsageError, match=r"can be a version of a or the model a@1; write a@1@latest"):
        locate("a@1", store)
    assert locate("a@1@latest", store).version().address == "a@1@1"
    assert locate("a@latest", store).version().address == "a@1"
    with pytest.raises(UsageError, match=r"Name the model; the store .* has a, a@1"):
        locate("@1", store)


def test_links_in_the_place_of_what_is_written(
    prepared: Bench, tmp_path: Path, sources: dict[str, Path]
) -> None:
    """A lock, a list of tags, a marker or a version that leads elsewhere writes nothing there."""
    from weightaudit.versions.tagging import tag

    folder, version = prepared.store.root / "healthy.keras", prepared.store.get("healthy.keras")
    precious = tmp_path / "precious"
    precious.write_text("precious")
    write: dict[str, Callable[[], object]] = {
        LOCK: lambda: tag(version, "good"),
        TAGS: lambda: tag(version, "good"),
        MARKER: lambda: create_store(folder.parent),
    }
    for place in (folder / LOCK, folder / TAGS, folder.parent / MARKER):
        kept = place.read_bytes() if place.exists() else b""
        for target in (precious, tmp_path / "nowhere"):
            place.unlink(missing_ok=True)
            place.symlink_to(target)
            with pytest.raises(StoreError):
                write[place.name]()
        place.unlink()
        if kept:
            place.write_bytes(kept)
    (folder / "2").symlink_to(tmp_path)
    prepared.put(sources["keras"], always=True)
    assert prepared.store.get("healthy.keras", 3).directory.is_dir()
    assert precious.read_text() == "precious"
    assert not (tmp_path / "nowhere").exists()


def test_a_lock_that_is_another_name_of_a_file(prepared: Bench, tmp_path: Path) -> None:
    """A lock that shares its content with a user's file is locked, and nothing is written to it."""
    from weightaudit.versions.tagging import tag

    precious = tmp_path / "precious"
    precious.write_text("precious")
    lock = prepared.store.root / "healthy.keras" / LOCK
    lock.unlink()
    os.link(precious, lock)
    tag(prepared.store.get("healthy.keras"), "good")
    assert precious.read_text() == "precious"
    assert prepared.store.tags("healthy.keras") == {"good": 1}


def test_a_link_in_the_place_of_the_store(tmp_path: Path, sources: dict[str, Path]) -> None:
    """A link that comes with a model chooses no place for versions; one that leads to a store is one."""
    from weightaudit import open_checkpoint
    from weightaudit.versions.layout import default_store
    from weightaudit.writing.files import model_files

    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    (here / "m.keras").write_bytes(sources["keras"].read_bytes())
    (here / DEFAULT_STORE).symlink_to(elsewhere)
    with open_checkpoint(here / "m.keras") as model:
        with pytest.raises(UsageError, match="is a link to what is no version store"):
            default_store(model_files(model))
        assert places(elsewhere) == []
        create_store(elsewhere)
        assert default_store(model_files(model)) == here / DEFAULT_STORE


def test_a_leftover_that_is_too_deep(prepared: Bench, sources: dict[str, Path]) -> None:
    """A directory that somebody calls like one of ours, with thousands in each other, stops nobody."""
    leftover = prepared.store.root / "healthy.keras" / f".2.1.{'0' * 16}{SUFFIX}"
    deep = os.open(prepared.store.root / "healthy.keras", os.O_RDONLY)
    name = leftover.name
    for _ in range(3000):
        os.mkdir(name, dir_fd=deep)
        inner = os.open(name, os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep, name = inner, "d"
    os.close(deep)
    prepared.put(sources["keras"], always=True)
    assert prepared.store.numbers("healthy.keras") == [1, 2]
    subprocess.run(["rm", "-rf", leftover], check=True)  # noqa: S607 - pytest would not get to its end
