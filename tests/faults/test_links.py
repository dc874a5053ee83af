"""Links, pipes and directories where a file is expected: nothing outside is touched, and nothing hangs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.faults.harness import names
from tests.faults.models import CHECKPOINT, DIRECTORY, FILE, SHARDS, Pair
from tests.faults.scenarios import HERE, files_of, listing, look, staged
from weightaudit.errors import WriteError
from weightaudit.storage.copying import clone_file, create
from weightaudit.storage.publishing import publish, replace_directory, replace_file, save_bytes
from weightaudit.storage.replacing import publish_model, replace_model
from weightaudit.storage.staging import SUFFIX, Staging


def put(pair: Pair, folder: Path) -> Path:
    """Make the new model of a pair in a directory of its own, and return its path."""
    folder.mkdir()
    pair.new(folder)
    return folder / pair.name


def replaced(source: Path, destination: Path) -> None:
    """Put a copy of a model in the place of another one."""
    files = files_of(destination)
    with Staging(files.path) as staging:
        replace_model(staged(files_of(source), staging.path), files)


def test_a_link_to_a_file_stays_and_the_file_is_replaced(tmp_path: Path) -> None:
    """A model that is reached by a symbolic link is replaced where it really is."""
    (tmp_path / "real").mkdir()
    FILE.old(tmp_path / "real")
    link = tmp_path / FILE.name
    link.symlink_to(Path("real", FILE.name))
    source = put(FILE, tmp_path / "source")
    with Staging(link) as staging:
        assert staging.path.parent == tmp_path / "real"
        clone = staging.path / "clone"
        clone.write_bytes(source.read_bytes())
        replace_file(clone, link)
    assert link.is_symlink()
    assert (tmp_path / "real" / FILE.name).read_bytes() == source.read_bytes()
    assert listing(tmp_path / "real") == [FILE.name]


def test_a_link_to_a_directory_stays_and_the_directory_is_replaced(tmp_path: Path) -> None:
    """A SavedModel behind a link such as ``current`` is replaced where it really is."""
    (tmp_path / "real").mkdir()
    DIRECTORY.old(tmp_path / "real")
    link = tmp_path / "current"
    link.symlink_to(Path("real", "m"))
    source = put(DIRECTORY, tmp_path / "source")
    with Staging(link) as staging:
        replace_directory(staged(files_of(source), staging.path).root, link)
    assert link.is_symlink()
    assert look(tmp_path / "real" / "m") == look(source)
    assert listing(tmp_path / "real") == ["m"]


def test_other_names_of_an_old_file_keep_its_content(tmp_path: Path) -> None:
    """A hard link of the old file, such as a backup, is not changed with it."""
    (tmp_path / "m").write_text("old")
    os.link(tmp_path / "m", tmp_path / "backup")
    save_bytes(b"new", tmp_path / "m")
    assert ((tmp_path / "m").read_text(), (tmp_path / "backup").read_text()) == ("new", "old")


@pytest.mark.parametrize("kind", ["link", "dangling", "pipe", "directory", "full directory", "file"])
@pytest.mark.parametrize("of", ["file", "directory"])
def test_a_name_that_is_taken_is_not_published_to(tmp_path: Path, kind: str, of: str) -> None:
    """Whatever has the name, links that lead nowhere too, stays what it is."""
    target = tmp_path / "taken"
    occupy(target, kind)
    before = os.lstat(target)
    staged = tmp_path / "staged"
    if of == "directory":
        staged.mkdir()
        (staged / "content").write_text("new")
    else:
        staged.write_text("new")
    with pytest.raises(WriteError, match="exists already and is not replaced; choose another name"):
        publish(staged, target)
    assert os.path.samestat(os.lstat(target), before)
    assert staged.exists()
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("kind", ["pipe", "directory"])
def test_what_is_no_file_is_not_replaced_by_one(tmp_path: Path, kind: str) -> None:
    """A pipe or a directory is refused at once, and stays."""
    occupy(tmp_path / "taken", kind)
    before = os.lstat(tmp_path / "taken")
    with pytest.raises(WriteError, match="taken cannot be replaced: it is not a regular file"):
        save_bytes(b"new", tmp_path / "taken")
    assert os.path.samestat(os.lstat(tmp_path / "taken"), before)
    assert listing(tmp_path) == ["taken"]


@pytest.mark.parametrize("kind", ["pipe", "file"])
def test_what_is_no_directory_is_not_replaced_by_one(tmp_path: Path, kind: str) -> None:
    """A directory is never swapped with a pipe or a file."""
    occupy(tmp_path / "taken", kind)
    (tmp_path / "staged").mkdir()
    with pytest.raises(WriteError, match="taken cannot be replaced: it is not a directory"):
        replace_directory(tmp_path / "staged", tmp_path / "taken")


@pytest.mark.parametrize("kind", ["link", "dangling", "pipe", "directory", "file"])
def test_new_files_are_made_where_nothing_is(tmp_path: Path, kind: str) -> None:
    """A copy is never written through a link, nor into what is there already."""
    occupy(tmp_path / "taken", kind)
    source = os.open(tmp_path, os.O_RDONLY)
    with pytest.raises(WriteError, match="taken cannot be written: File exists"):
        clone_file(source, tmp_path / "taken")
    os.close(source)
    with pytest.raises(FileExistsError):
        create(tmp_path / "taken")
    assert not (tmp_path / "nowhere").exists()


def test_a_forgotten_directory_that_is_a_link_is_left(tmp_path: Path) -> None:
    """The sweep does not follow a link that is called like a staging directory."""
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "data").touch()
    bait = tmp_path / f".m.1.{'0' * 16}{SUFFIX}"
    bait.symlink_to("precious")
    with Staging(tmp_path / "m"):
        pass
    assert (tmp_path / "precious" / "data").exists()
    assert bait.is_symlink()


def test_links_in_a_forgotten_directory_are_not_followed(tmp_path: Path) -> None:
    """What a forgotten staging directory links to outside of it survives its removal, mode and all."""
    (tmp_path / "precious").mkdir(mode=0o750)
    (tmp_path / "precious" / "data").touch()
    forgotten = tmp_path / f".m.1.{'0' * 16}{SUFFIX}"
    (forgotten / "locked").mkdir(parents=True)
    (forgotten / "locked" / "link").symlink_to(tmp_path / "precious")
    (forgotten / "locked").chmod(0o500)
    with Staging(tmp_path / "m"):
        pass
    assert not forgotten.exists()
    assert (tmp_path / "precious" / "data").exists()
    assert (tmp_path / "precious").stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize("pair", [CHECKPOINT, SHARDS], ids=["checkpoint", "shards"])
def test_a_model_of_several_files_with_a_link_is_refused(tmp_path: Path, pair: Pair) -> None:
    """One of several files that is a link is neither replaced nor followed: which is meant is unknown."""
    (tmp_path / HERE / "elsewhere").mkdir(parents=True)
    pair.old(tmp_path / HERE)
    files = files_of(tmp_path / HERE / pair.name)
    data = next(name for name in files.names if not name.endswith((".json", ".index")))
    (tmp_path / HERE / data).rename(tmp_path / HERE / "elsewhere" / data)
    (tmp_path / HERE / data).symlink_to(Path("elsewhere", data))
    before = names(tmp_path)
    with pytest.raises(WriteError, match=f"{data} is a link; write the new model to another place"):
        replaced(put(pair, tmp_path / "source"), tmp_path / HERE / pair.name)
    assert names(tmp_path) == before


def test_files_that_others_share_never_become_a_model(tmp_path: Path) -> None:
    """A staged file with a second name, in a version store perhaps, is refused: users write to models."""
    FILE.old(tmp_path)
    source = put(FILE, tmp_path / "source")
    with Staging(tmp_path / FILE.name) as staging:
        os.link(source, staging.path / FILE.name)
        files = files_of(staging.path / FILE.name)
        with pytest.raises(WriteError, match="shares its content with another file"):
            replace_model(files, files_of(tmp_path / FILE.name))
        with pytest.raises(WriteError, match="shares its content with another file"):
            publish_model(files, tmp_path / "other.keras")
    assert source.stat().st_nlink == 1


def test_a_record_of_a_stranger_removes_nothing_of_others(tmp_path: Path) -> None:
    """A record in a directory from the internet can name what it likes: only what it knows again goes."""
    CHECKPOINT.old(tmp_path)
    other = tmp_path / "other.data-00000-of-00001"
    other.write_text("precious")
    mine = tmp_path / "m.data-00007-of-00009"
    mine.write_text("left")
    changed = tmp_path / "m.data-00008-of-00009"
    changed.write_text("saved since then")
    outside = tmp_path.parent / "outside.data-00000-of-00001"
    outside.write_text("precious")
    marks: list[object] = [
        [path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in (other, mine)
    ]
    marks += [[f"../{outside.name}", outside.stat().st_size, outside.stat().st_mtime_ns], ["x"], 7, {}]
    marks.append([changed.name, changed.stat().st_size, 0])
    (tmp_path / ".m.index.weightaudit-log").write_text(json.dumps(marks))
    replaced(put(CHECKPOINT, tmp_path / "source"), tmp_path / "m")
    assert other.exists()
    assert outside.exists()
    assert changed.exists()
    assert not mine.exists()


def occupy(path: Path, kind: str) -> None:
    """Put something at a path."""
    if kind == "link":
        path.symlink_to(path.parent)
    elif kind == "dangling":
        path.symlink_to(path.parent / "nowhere")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "file":
        path.write_text("old")
    else:
        path.mkdir()
        if kind == "full directory":
            (path / "content").write_text("old")
