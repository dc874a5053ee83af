"""Names for finished files, on file systems with and without the renames that Linux has for it."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.faults.scenarios import listing
from weightaudit.errors import WriteError
from weightaudit.storage import attributes, renaming, syncing
from weightaudit.storage.publishing import publish, replace_directory, replace_file, save_bytes
from weightaudit.storage.renaming import exchange, rename_new
from weightaudit.storage.syncing import fsync_tree

NOBODY = 65534


def failing(number: int) -> Callable[..., Any]:
    """Return a function that fails with an error."""

    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.fixture(params=["renames", "links", "looks"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the file system offers: the renames with flags, or hard links only, or neither."""
    if request.param != "renames":
        monkeypatch.setattr(renaming, "rename_flagged", failing(errno.EINVAL))
    if request.param == "looks":
        monkeypatch.setattr(os, "link", failing(errno.EPERM))
    return str(request.param)


def tree(path: Path, text: str) -> Path:
    """Make a directory with files in it, and return it."""
    (path / "inner" / "empty").mkdir(parents=True)
    (path / "inner" / "file").write_text(text)
    (path / "top").write_text(text)
    return path


@pytest.mark.usefixtures("system")
def test_a_new_name(tmp_path: Path) -> None:
    """A file and a directory get their names, and only these are there afterwards."""
    (tmp_path / "staged").write_text("new")
    publish(tmp_path / "staged", tmp_path / "file")
    publish(tree(tmp_path / "staged", "new"), tmp_path / "directory")
    assert listing(tmp_path) == ["directory", "file"]
    assert (tmp_path / "file").read_text() == "new"
    assert (tmp_path / "directory" / "inner" / "file").read_text() == "new"


@pytest.mark.usefixtures("system")
def test_a_name_that_is_taken(tmp_path: Path) -> None:
    """Neither kind goes over the other, nor over its own, whatever the file system offers."""
    (tmp_path / "file").write_text("old")
    tree(tmp_path / "directory", "old")
    for destination in ("file", "directory"):
        staged = tmp_path / "staged"
        staged.write_text("new")
        with pytest.raises(WriteError, match=f"{destination} exists already"):
            publish(staged, tmp_path / destination)
        staged.unlink()
        with pytest.raises(WriteError, match=f"{destination} exists already"):
            publish(tree(tmp_path / "tree", "new"), tmp_path / destination)
        (tmp_path / "tree").rename(tmp_path / f"{destination}-staged")
    assert (tmp_path / "file").read_text() == "old"
    assert (tmp_path / "directory" / "top").read_text() == "old"


@pytest.mark.parametrize("system", ["renames", "links"], indirect=True)
def test_only_one_of_many_gets_the_name(tmp_path: Path, system: str) -> None:
    """Of threads that want one name for their file at the same time, one gets it, by links as well."""
    won: list[int] = []
    start = threading.Barrier(8)

    def run(number: int) -> None:
        staged = tmp_path / f"{system} {number}"
        staged.write_text(str(number))
        start.wait()
        try:
            rename_new(staged, tmp_path / "name")
        except FileExistsError:
            return
        won.append(number)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "name").read_text() == "".join(map(str, won))


def test_two_directories_change_places(tmp_path: Path) -> None:
    """The new directory is in place, and nothing of the old one is left."""
    tree(tmp_path / "old", "old")
    (tmp_path / "old" / "only in the old one").touch()
    replace_directory(tree(tmp_path / "staged", "new"), tmp_path / "old")
    assert listing(tmp_path) == ["old"]
    assert (tmp_path / "old" / "inner" / "file").read_text() == "new"
    assert not (tmp_path / "old" / "only in the old one").exists()


@pytest.mark.parametrize("name", ["EINVAL", "ENOSYS", "EOPNOTSUPP"])
def test_directories_that_cannot_change_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Without an exchange, a directory is not replaced in two steps: the sentence says what to do instead."""
    monkeypatch.setattr(renaming, "rename_flagged", failing(getattr(errno, name)))
    tree(tmp_path / "old", "old")
    with pytest.raises(WriteError, match="in one step on this file system; write the new model to another"):
        replace_directory(tree(tmp_path / "staged", "new"), tmp_path / "old")
    assert (tmp_path / "old" / "top").read_text() == "old"


def test_a_system_without_renames_that_take_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A C library that does not have the call counts as a file system that cannot do it."""
    monkeypatch.setattr(renaming, "_system_call", lambda: None)
    tree(tmp_path / "a", "a")
    with pytest.raises(NotImplementedError):
        exchange(tmp_path / "a", tmp_path / "a")
    rename_new(tmp_path / "a", tmp_path / "b")
    assert listing(tmp_path) == ["b"]


def test_an_interrupted_rename_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal in the middle of a rename is no error."""
    answers = iter([errno.EINTR, errno.EINTR, 0])
    monkeypatch.setattr(renaming, "_system_call", lambda: lambda *_: next(answers))
    rename_new(tmp_path / "a", tmp_path / "b")
    assert next(answers, None) is None


def test_a_replaced_file_keeps_mode_and_owner(tmp_path: Path) -> None:
    """Who could read a file can read the new one, and nobody else; setuid is not kept."""
    (tmp_path / "old").write_text("old")
    if os.geteuid() == 0:
        os.chown(tmp_path / "old", NOBODY, NOBODY)
    (tmp_path / "old").chmod(0o4640)
    before = (tmp_path / "old").stat()
    save_bytes(b"new", tmp_path / "old")
    after = (tmp_path / "old").stat()
    assert (tmp_path / "old").read_text() == "new"
    assert (after.st_uid, after.st_gid) == (before.st_uid, before.st_gid)
    assert stat.S_IMODE(after.st_mode) == 0o640


def test_an_owner_that_may_not_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who may not give files away still replaces a file of his group, with its mode."""
    calls: list[tuple[int, int]] = []

    def chown(_: Any, user: int, group: int) -> None:
        calls.append((user, group))
        raise PermissionError(errno.EPERM, "Operation not permitted")

    (tmp_path / "old").write_text("old")
    (tmp_path / "old").chmod(0o660)
    (tmp_path / "new").touch()
    os.chown(tmp_path / "new", os.getuid(), os.getgid())
    real = Path.stat
    monkeypatch.setattr(
        Path,
        "stat",
        lambda path, **options: (
            os.stat_result((*real(path)[:4], 7, 8, *real(path)[6:]))
            if path.name == "old"
            else real(path, **options)
        ),
    )
    monkeypatch.setattr(os, "chown", chown)
    attributes.keep_attributes(tmp_path / "old", tmp_path / "new")
    assert calls == [(7, 8), (-1, 8)]
    assert stat.S_IMODE(real(tmp_path / "new").st_mode) == 0o660


def test_access_lists_are_kept_and_other_labels_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What says who may do what is copied; what may describe the old content is not."""
    monkeypatch.setattr(attributes, "_LABELS", ("user.access",))
    (tmp_path / "old").touch()
    try:
        os.setxattr(tmp_path / "old", "user.access", b"all")
        os.setxattr(tmp_path / "old", "user.checksum", b"123")
    except (AttributeError, OSError):
        pytest.skip("no extended attributes here")
    save_bytes(b"new", tmp_path / "old")
    assert os.listxattr(tmp_path / "old") == ["user.access"]


def test_a_replaced_directory_keeps_modes(tmp_path: Path) -> None:
    """Files and folders of the same names have the old modes, and a new file that of the directory."""
    old = tree(tmp_path / "old", "old")
    modes = {"": 0o750, "inner": 0o700, "inner/file": 0o640, "top": 0o444}
    for name, mode in modes.items():
        (old / name).chmod(mode)
    staged = tree(tmp_path / "staged", "new")
    (staged / "more").touch(0o604)
    (staged / "more").chmod(0o604)
    replace_directory(staged, old)
    kept = {name: stat.S_IMODE((old / name).stat().st_mode) for name in (*modes, "more")}
    assert kept == modes | {"more": 0o640}


def test_a_new_file_has_the_mode_of_new_files(tmp_path: Path) -> None:
    """A report that was not there before is readable as the umask says."""
    umask = os.umask(0o027)
    try:
        save_bytes(b"new", tmp_path / "report")
        save_bytes(b"new", tmp_path / "secret", 0o600)
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "report").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


def test_what_is_checked_last_stops_it(tmp_path: Path) -> None:
    """An error of the check leaves the old file, and comes through as it is."""
    (tmp_path / "old").write_text("old")
    (tmp_path / "staged").write_text("new")

    def check(_: Path) -> None:
        raise WriteError("It changed.")

    with pytest.raises(WriteError, match=r"^It changed\.$"):
        replace_file(tmp_path / "staged", tmp_path / "old", check)
    assert (tmp_path / "old").read_text() == "old"


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_what_is_put_there_in_the_last_moment_goes_back(tmp_path: Path, kind: str) -> None:
    """A model that another program puts there between the last look and the rename is not lost."""
    place, staged, other = (tmp_path / name for name in ("place", "staged", "other"))
    for path in (place, staged, other):
        path.mkdir() if kind == "directory" else path.touch()
    old = place.stat()

    def check(path: Path) -> None:
        if not os.path.samestat(path.stat(), old):
            raise WriteError("It changed.")
        if other.exists():  # the first look is right, and what it saw is gone at once
            place.rename(tmp_path / "before")
            other.rename(place)

    last = other.stat()
    with pytest.raises(WriteError, match=r"^It changed\.$"):
        (replace_directory if kind == "directory" else replace_file)(staged, place, check)
    assert os.path.samestat(place.stat(), last)
    assert listing(tmp_path) == ["before", "place", "staged"]


def test_a_file_system_that_swaps_no_names_replaces_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where two names cannot be swapped, what is checked before the rename is all that can be."""
    (tmp_path / "old").write_text("old")
    (tmp_path / "staged").write_text("new")
    asked: list[Path] = []
    monkeypatch.setattr(renaming, "rename_flagged", failing(errno.EINVAL))
    replace_file(tmp_path / "staged", tmp_path / "old", asked.append)
    assert (tmp_path / "old").read_text() == "new"
    assert asked == [tmp_path / "old"]
    assert listing(tmp_path) == ["old"]


def test_a_disk_that_fails_at_the_very_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the name cannot be brought to the disk, it is said that the new state is there, for now."""
    (tmp_path / "staged").write_text("new")
    real = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda fd: failing(errno.EIO)() if stat.S_ISDIR(os.fstat(fd).st_mode) else real(fd)
    )
    sentence = r"^m is in place, but it may not survive a power cut: Input/output error\.$"
    with pytest.raises(WriteError, match=sentence):
        publish(tmp_path / "staged", tmp_path / "m")
    assert (tmp_path / "m").read_text() == "new"


@pytest.mark.parametrize("name", ["EINVAL", "EBADF", "EOPNOTSUPP"])
def test_file_systems_that_do_not_sync_directories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Some network file systems have nothing to sync a directory for, and that is no error."""
    real = os.fsync
    monkeypatch.setattr(
        os,
        "fsync",
        lambda fd: failing(getattr(errno, name))() if stat.S_ISDIR(os.fstat(fd).st_mode) else real(fd),
    )
    publish(tree(tmp_path / "staged", "new"), tmp_path / "m")
    assert listing(tmp_path) == ["m"]


def test_the_drive_is_told_where_that_takes_another_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where fsync does not reach the drive, the call that does is used, and fsync if it fails there."""
    calls: list[int] = []

    def control(fd: int, command: int) -> int:
        calls.append(command)
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(errno.ENOTSUP, "Operation not supported")
        return 0

    synced: list[int] = []
    monkeypatch.setattr(syncing, "_FULL_SYNC", 51)
    monkeypatch.setattr("fcntl.fcntl", control)
    monkeypatch.setattr(os, "fsync", synced.append)
    fsync_tree(tree(tmp_path / "m", "new"))
    assert calls == [51] * 5  # two files, three directories
    assert len(synced) == 3


def test_everything_in_a_tree_is_synced_inside_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files come before the directory that names them, and that one before the one above."""
    order: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda fd: order.append(os.fstat(fd).st_ino))
    root = tree(tmp_path / "m", "new")
    fsync_tree(root)
    place = {
        path.relative_to(tmp_path).as_posix(): order.index(path.stat().st_ino)
        for path in [root, *root.rglob("*")]
    }
    assert place["m/inner/file"] < place["m/inner"] > place["m/inner/empty"]
    assert place["m/inner"] < place["m"] > place["m/top"]


def test_a_tree_that_cannot_be_synced(tmp_path: Path) -> None:
    """What is not there, or is a link, is an error that names the tree."""
    with pytest.raises(WriteError, match="no cannot be brought to the disk: No such file"):
        fsync_tree(tmp_path / "no")
    root = tree(tmp_path / "m", "new")
    (root / "link").symlink_to("top")
    with pytest.raises(WriteError, match="m cannot be brought to the disk: "):
        fsync_tree(root)


def test_what_is_new_in_a_directory_gets_the_mode_of_the_directory(tmp_path: Path) -> None:
    """Files and directories that the old model did not have can be read by whoever can read the model."""
    old, new = tmp_path / "m", tmp_path / "new"
    for folder in (old, new, new / "extra"):
        folder.mkdir(0o700)
    (new / "extra" / "a.json").touch(0o600)
    old.chmod(0o755)
    replace_directory(new, old)
    assert stat.S_IMODE((old / "extra").stat().st_mode) == 0o755
    assert stat.S_IMODE((old / "extra" / "a.json").stat().st_mode) == 0o644
