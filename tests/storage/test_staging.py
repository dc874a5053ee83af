"""Directories for what is not finished: made, locked, removed, and swept when they were forgotten."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.faults.scenarios import listing
from weightaudit.errors import WriteError
from weightaudit.storage import locking, staging
from weightaudit.storage.staging import SUFFIX, Staging

NOBODY = 65534


def test_it_is_there_for_as_long_as_it_is_used(tmp_path: Path) -> None:
    """It lies beside the destination, for its user alone, and is removed with what is in it."""
    with Staging(tmp_path / "m.keras") as staged:
        assert staged.path.parent == tmp_path
        assert staged.path.name.startswith(f".m.keras.{os.getpid()}.")
        assert stat.S_IMODE(staged.path.stat().st_mode) == 0o700
        (staged.path / "inner").mkdir()
        (staged.path / "inner" / "file").touch()
    assert listing(tmp_path) == []


def test_an_error_passes_and_leaves_nothing(tmp_path: Path) -> None:
    """An exception comes through unchanged, whatever was being made."""

    def work() -> None:
        with Staging(tmp_path / "m") as staged:
            (staged.path / "half").write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert listing(tmp_path) == []


def test_it_may_be_renamed_away(tmp_path: Path) -> None:
    """What becomes the destination itself is not there any more to be removed."""
    with Staging(tmp_path / "m") as staged:
        (staged.path / "file").touch()
        staged.path.rename(tmp_path / "m")
    assert listing(tmp_path) == ["m"]
    assert listing(tmp_path / "m") == ["file"]


def test_read_only_content_is_removed() -> None:
    """Files and directories that may not be written to are no obstacle, not only for root; links are cut."""
    script = (
        "import os, sys; from pathlib import Path; from weightaudit.storage.staging import remove_tree\n"
        f"if os.geteuid() == 0: os.setegid({NOBODY}); os.seteuid({NOBODY})\n"
        "tree = Path(sys.argv[1], 'tree'); inner = tree / 'a' / 'b'; inner.mkdir(parents=True)\n"
        "(inner / 'file').touch(0o400)\n"
        "precious = tree.with_name('precious'); precious.mkdir(0o750)\n"
        "(inner / 'link').symlink_to(precious)\n"
        "for folder in (inner, tree / 'a', tree): folder.chmod(0o500)\n"
        "remove_tree(tree); assert precious.stat().st_mode & 0o777 == 0o750"
    )
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        subprocess.run([sys.executable, "-c", script, folder], check=True)
        assert listing(Path(folder)) == ["precious"]


@pytest.mark.parametrize("length", [100, 255])
def test_long_names(tmp_path: Path, length: int) -> None:
    """A name as long as file systems allow leaves room for what is added, and is still swept."""
    name = "ä" * (length // 2) + "x" * (length % 2)
    forgotten = forget(tmp_path / name)
    with Staging(tmp_path / name) as staged:
        assert len(os.fsencode(staged.path.name)) <= 255
        assert not forgotten.exists()


def test_names_that_are_no_text(tmp_path: Path) -> None:
    """A name that is not UTF-8 is a name."""
    with Staging(tmp_path / os.fsdecode(b"m\xff")) as staged:
        assert staged.path.exists()


def forget(beside: Path) -> Path:
    """Return a staging directory that a process has left behind, with content, when it was killed."""
    script = (
        "import os, sys; from pathlib import Path; from weightaudit.storage.staging import Staging\n"
        "staged = Staging(Path(os.fsdecode(sys.stdin.buffer.read()))).__enter__()\n"
        "(staged.path / 'file').touch()\n"
        "os.kill(os.getpid(), 9)"
    )
    before = set(listing(beside.parent))
    subprocess.run(
        [sys.executable, "-c", script], input=os.fsencode(beside), capture_output=True, check=False
    )
    (left,) = set(listing(beside.parent)) - before
    return beside.parent / left


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    """The next one for the same destination removes it; that of another destination it leaves alone."""
    mine, other = forget(tmp_path / "m"), forget(tmp_path / "m.keras")
    with Staging(tmp_path / "m"):
        assert not mine.exists()
        assert other.exists()


def test_what_is_in_use_is_not_swept(tmp_path: Path) -> None:
    """Two for the same destination, in one process or in several, do not disturb each other."""
    with Staging(tmp_path / "m") as first, Staging(tmp_path / "m") as second:
        assert first.path.exists()
        assert second.path.exists()
    assert listing(tmp_path) == []


@pytest.mark.parametrize(("age", "is_swept"), [(0.0, False), (2 * 86400.0, True)])
def test_without_locks_it_takes_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, age: float, is_swept: bool
) -> None:
    """Where the file system has no locks, what a dead process left is removed when it is a day old."""
    forgotten = forget(tmp_path / "m")
    os.utime(forgotten, (time.time() - age,) * 2)
    living = tmp_path / f".m.{os.getpid()}.{'0' * 16}{SUFFIX}"
    living.mkdir()
    os.utime(living, (time.time() - age,) * 2)
    monkeypatch.setattr(staging, "lock", lambda _: None)
    with Staging(tmp_path / "m"):
        assert forgotten.exists() is not is_swept
        assert living.exists()


def test_what_others_own_is_not_swept(tmp_path: Path) -> None:
    """A directory of another user, who may have made it to be followed into, is left alone."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to give a directory away")
    forgotten = forget(tmp_path / "m")
    os.chown(forgotten, NOBODY, NOBODY)
    with Staging(tmp_path / "m"):
        assert forgotten.exists()


@pytest.mark.parametrize(
    "name", ["m.1.0.weightaudit-tmp", f".m.x.{'0' * 16}{SUFFIX}", f".m.1.{'0' * 16}.tmp"]
)
def test_other_directories_are_not_swept(tmp_path: Path, name: str) -> None:
    """Only what is named exactly like a staging directory of this destination is taken for one."""
    (tmp_path / name).mkdir()
    with Staging(tmp_path / "m"):
        pass
    assert listing(tmp_path) == [name]


def test_one_that_was_taken_for_a_forgotten_one_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If another process sweeps it before it is locked, there is another one."""
    answers = iter([False, True])
    monkeypatch.setattr(staging, "lock", lambda _: next(answers))
    with Staging(tmp_path / "m") as staged:
        assert listing(tmp_path) == [staged.path.name]


def test_there_is_no_directory(tmp_path: Path) -> None:
    """A destination in a directory that does not exist is refused with a sentence that names both."""
    with pytest.raises(WriteError, match=rf"There is no directory {tmp_path}/no to write to; make it"):
        Staging(tmp_path / "no" / "m").__enter__()
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="There is no directory"):
        Staging(tmp_path / "file" / "m").__enter__()


def test_a_lock_that_somebody_holds(tmp_path: Path) -> None:
    """Who waits for a directory in vain is told which one, and why; who waits long enough gets it."""
    with (
        locking.locked(tmp_path),
        pytest.raises(WriteError, match=rf"Another process is replacing a model in {tmp_path}; try again"),
        locking.locked(tmp_path, patience=0.05),
    ):
        pass
    with locking.locked(tmp_path, patience=0.0):
        pass
    with pytest.raises(WriteError, match="No such file or directory"), locking.locked(tmp_path / "no"):
        pass
