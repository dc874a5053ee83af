"""The directory stays private and bounded, and whatever is wrong with it is as if it were empty."""

from __future__ import annotations

import multiprocessing
import os
import resource
import stat
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from weightaudit.cache import Store
from weightaudit.cache import store as storing
from weightaudit.cache.store import Contents
from weightaudit.errors import WeightauditError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path


def _name(number: int) -> str:
    return f"{number:064x}"


def test_what_was_written_is_read(store: Store) -> None:
    """An entry is what was written last under its name."""
    assert store.read(_name(1)) is None
    store.write(_name(1), b"one")
    store.write(_name(1), b"two")
    assert store.read(_name(1)) == b"two"
    assert store.contents() == Contents(1, 3)


def test_directory_and_entries_are_private(store: Store) -> None:
    """Only the owner may list the directory, and read or write entries."""
    store.write(_name(1), b"one")
    assert stat.S_IMODE(store.directory.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in store.directory.iterdir()} == {0o600}


@pytest.mark.parametrize("mode", [0o770, 0o702])
def test_directory_that_others_may_write_to(store: Store, mode: int) -> None:
    """Such a directory is neither read nor written, and a person who asks is told."""
    store.write(_name(1), b"one")
    store.directory.chmod(mode)
    store.write(_name(2), b"two")
    assert store.read(_name(1)) is None
    assert len(list(store.directory.glob("*.stats"))) == 1
    with pytest.raises(WeightauditError, match="others may write to it"):
        store.clear()
    with pytest.raises(WeightauditError, match="others may write to it"):
        store.contents()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_directory_of_another_user(store: Store) -> None:
    """A directory that belongs to somebody else is not used, even by root."""
    store.write(_name(1), b"one")
    os.chown(store.directory, 12345, 12345)
    assert store.read(_name(1)) is None
    with pytest.raises(WeightauditError, match="another user"):
        store.clear()


def test_entries_that_are_no_plain_files(store: Store, tmp_path: Path) -> None:
    """Links, pipes, directories, files of others' hands and endless files are no entries."""
    store.write(_name(0), b"one")
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    (store.directory / f"{_name(1)}.stats").symlink_to(secret)
    os.mkfifo(store.directory / f"{_name(2)}.stats")
    (store.directory / f"{_name(3)}.stats").mkdir()
    (store.directory / f"{_name(4)}.stats").write_bytes(b"writable")
    (store.directory / f"{_name(4)}.stats").chmod(0o666)
    with (store.directory / f"{_name(5)}.stats").open("wb") as file:
        file.truncate(store.max_entry + 1)
    assert [store.read(_name(number)) for number in range(6)] == [b"one", *[None] * 5]


def test_oldest_use_goes_first(tmp_path: Path) -> None:
    """Beyond the number of entries, the one that was not used for longest is removed."""
    store = Store(tmp_path / "cache", max_entries=3)
    for number in range(3):
        store.write(_name(number), b"x")
        os.utime(store.directory / f"{_name(number)}.stats", (number, number))
    assert store.read(_name(0)) == b"x"
    store.write(_name(3), b"x")
    assert [number for number in range(4) if store.read(_name(number))] == [0, 2, 3]


def test_size_is_bounded(tmp_path: Path) -> None:
    """All entries together never exceed the bound, and one that is too large is not kept."""
    store = Store(tmp_path / "cache", max_bytes=100, max_entry=50)
    for number in range(10):
        store.write(_name(number), bytes(40))
        assert store.contents().nbytes <= 100
    store.write(_name(10), bytes(51))
    assert store.read(_name(10)) is None
    assert store.read(_name(9)) is not None


def _count_looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that gets the name of every entry whose status is asked for while entries are listed."""
    looks: list[str] = []
    listed = storing._entries

    def counted(directory: int) -> Generator[tuple[str, os.stat_result]]:
        for name, status in listed(directory):
            looks.append(name)
            yield name, status

    monkeypatch.setattr(storing, "_entries", counted)
    return looks


def test_few_writes_look_at_other_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many entries there are, a write looks at fewer than ten on average; the bound is kept."""
    looks = _count_looks(monkeypatch)
    counts: list[int] = []
    for number in range(2500):  # each from a store of its own, as in processes that write one entry
        store = Store(tmp_path / "cache", max_entries=800)
        store.write(_name(number), b"x")
        if number % 50 == 0:
            counts.append(len(os.listdir(store.directory)) - 1)  # noqa: PTH208 - as short as it gets
    assert len(looks) < 10 * 2500
    assert 700 <= max(counts) <= 800
    assert store.read(_name(2499)) == b"x"


@pytest.mark.parametrize("content", [b"", b"torn", bytes(99), b"\xff" * 800])
def test_a_damaged_journal_does_no_harm(tmp_path: Path, content: bytes) -> None:
    """Whatever is in the file that counts writes, new entries are kept, and never more than the bound."""
    store = Store(tmp_path / "cache", max_entries=80)
    store.write(_name(0), b"x")
    (store.directory / "written.journal").write_bytes(content)
    for number in range(1, 200):
        store.write(_name(number), b"x")
        assert store.contents().count <= 80
    assert store.read(_name(199)) == b"x"


@pytest.mark.parametrize("kind", ["directory", "link", "pipe"])
def test_a_journal_that_is_no_file(tmp_path: Path, kind: str) -> None:
    """Where writes cannot be counted the bound is kept, and what a link leads to is not touched."""
    store = Store(tmp_path / "cache", max_entries=80)
    store.write(_name(0), b"x")
    journal, outside = store.directory / "written.journal", tmp_path / "outside"
    journal.unlink()
    outside.write_bytes(b"mine")
    make = {"directory": journal.mkdir, "link": lambda: journal.symlink_to(outside)}
    make.get(kind, lambda: os.mkfifo(journal))()
    for number in range(1, 100):
        store.write(_name(number), b"x")
        assert store.contents().count <= 80
    assert outside.read_bytes() == b"mine"


def test_other_files_are_never_touched(tmp_path: Path) -> None:
    """Where the directory holds other things too, they stay."""
    store = Store(tmp_path, max_entries=1)
    (tmp_path / "thesis.tex").write_text("years of work")
    (tmp_path / "model.stats").write_text("not ours")
    os.chmod(tmp_path, 0o700)  # noqa: PTH101 - as short as it gets
    for number in range(3):
        store.write(_name(number), b"x")
    assert store.clear() == Contents(1, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.stats", "thesis.tex"]


def test_leftovers_of_dead_processes_are_removed(tmp_path: Path) -> None:
    """A half-written entry goes when it is old, and stays while somebody may be writing it."""
    store = Store(tmp_path / "cache", max_entries=4)  # so few that each write looks at all
    store.write(_name(0), b"x")
    old, new = (store.directory / f"{_name(9)}.stats.{number:016x}.tmp" for number in (1, 2))
    old.write_bytes(b"half")
    new.write_bytes(b"half")
    hours_ago = time.time() - 7200
    os.utime(old, (hours_ago, hours_ago))
    store.write(_name(1), b"x")
    assert not old.exists()
    assert new.exists()


@pytest.mark.parametrize("place", ["file/cache", "file", "link"])
def test_impossible_place(tmp_path: Path, place: str) -> None:
    """Where no directory can be made, nothing is kept and nothing fails."""
    (tmp_path / "file").write_text("a file")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    store = Store(tmp_path / place)
    store.write(_name(1), b"x")
    assert store.read(_name(1)) is None


@contextmanager
def _largest_file(nbytes: int) -> Generator[None]:
    """Let writes beyond a size fail, as they do when a disk is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_full_disk(store: Store) -> None:
    """An entry that cannot be written whole leaves nothing behind, and the old one stays."""
    store.write(_name(1), b"old")
    with _largest_file(1000):
        store.write(_name(1), bytes(5000))
    assert store.read(_name(1)) == b"old"
    assert len(list(store.directory.glob("*.stats*"))) == 1


def _write_often(store: Store, letter: bytes) -> None:
    for size in range(1, 200):
        store.write(_name(1), letter * size * 100)


def test_two_processes_at_once(tmp_path: Path) -> None:
    """While two processes write one entry, every read gets a whole one of either."""
    store = Store(tmp_path / "cache")
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write_often, args=(store, letter)) for letter in (b"a", b"b")]
    for writer in writers:
        writer.start()
    reads = 0
    while any(writer.is_alive() for writer in writers):
        data = store.read(_name(1))
        if data is not None:
            assert len(set(data)) == 1
            assert len(data) % 100 == 0
            reads += 1
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert reads
    assert store.contents().count == 1
