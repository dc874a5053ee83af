"""Copies of files and ranges, on file systems that help and on those that do not."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.faults.scenarios import listing
from weightaudit.errors import ReadError, WriteError
from weightaudit.storage import copying
from weightaudit.storage.copying import clone_file, copy_range, create, link_or_copy, write_at

CONTENT = bytes(range(256)) * 12289
"""Some megabytes, so that it takes several pieces, of no round number."""

needs_kernel_copy = pytest.mark.skipif(not hasattr(os, "copy_file_range"), reason="no copy_file_range here")


@contextmanager
def opened(path: Path, flags: int = os.O_RDONLY) -> Iterator[int]:
    """Open a file by descriptor."""
    fd = os.open(path, flags)
    try:
        yield fd
    finally:
        os.close(fd)


def failing(number: int) -> Callable[..., Any]:
    """Return a function that fails with an error."""

    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return fail


@given(
    size=st.integers(0, 3 << 10),
    offset=st.integers(0, 3 << 10),
    nbytes=st.integers(0, 3 << 10),
    place=st.integers(0, 100),
    in_kernel=st.booleans(),
)
def test_a_range_is_copied_exactly(
    tmp_path_factory: pytest.TempPathFactory,
    *,
    size: int,
    offset: int,
    nbytes: int,
    place: int,
    in_kernel: bool,
) -> None:
    """What is outside the range stays, in the kernel and outside; a source that is too short is an error."""
    folder = tmp_path_factory.mktemp("range")
    (folder / "source").write_bytes(CONTENT[:size])
    (folder / "target").write_bytes(b"\xff" * 64)
    with (
        pytest.MonkeyPatch.context() as patch,
        opened(folder / "source") as source,
        opened(folder / "target", os.O_RDWR) as target,
    ):
        if not in_kernel:
            patch.delattr(os, "copy_file_range", raising=False)
        if offset + nbytes > size and nbytes:
            with pytest.raises(ReadError, match="changed while it was read"):
                copy_range(source, offset, nbytes, target, place)
            return
        copy_range(source, offset, nbytes, target, place)
        assert os.lseek(source, 0, os.SEEK_CUR) == os.lseek(target, 0, os.SEEK_CUR) == 0
    expected = bytearray(b"\xff" * 64)
    if nbytes:
        expected.extend(bytes(max(0, place - len(expected))))
        expected[place : place + nbytes] = CONTENT[offset : offset + nbytes]
    assert (folder / "target").read_bytes() == expected


@needs_kernel_copy
@pytest.mark.parametrize("name", ["EXDEV", "EINVAL", "ENOSYS", "EOPNOTSUPP", "EPERM"])
def test_where_the_kernel_does_not_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A kernel, a file system or a sandbox that refuses to copy costs time and nothing else."""
    monkeypatch.setattr(os, "copy_file_range", failing(getattr(errno, name)))
    assert cloned(tmp_path) == CONTENT


@needs_kernel_copy
def test_a_kernel_that_stops_half_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short counts, and an end of file that is none, are made up for."""
    real, counts = os.copy_file_range, iter([5, 0])

    def short(source: int, target: int, count: int, *places: int) -> int:
        return real(source, target, min(count, next(counts)), *places)

    monkeypatch.setattr(os, "copy_file_range", short)
    assert cloned(tmp_path) == CONTENT


def test_short_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that takes less than it was given is continued."""
    real = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, offset: real(fd, bytes(data)[:70_001], offset))
    monkeypatch.delattr(os, "copy_file_range", raising=False)
    assert cloned(tmp_path) == CONTENT


def cloned(folder: Path) -> bytes:
    """Return what a clone of the content holds."""
    (folder / "source").write_bytes(CONTENT)
    with opened(folder / "source") as source:
        clone_file(source, folder / "target")
    return (folder / "target").read_bytes()


def test_a_clone_is_private_and_new(tmp_path: Path) -> None:
    """A clone has the mode that is asked for, and never goes over something that is there."""
    (tmp_path / "source").write_bytes(CONTENT)
    with opened(tmp_path / "source") as source:
        clone_file(source, tmp_path / "private")
        clone_file(source, tmp_path / "readable", 0o444)
        with pytest.raises(WriteError, match="private cannot be written: File exists"):
            clone_file(source, tmp_path / "private")
    assert stat.S_IMODE((tmp_path / "private").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "readable").stat().st_mode) == 0o444
    assert (tmp_path / "readable").read_bytes() == CONTENT


@pytest.mark.parametrize("name", ["ENOSPC", "EDQUOT", "EIO"])
def test_a_clone_that_fails_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A full disk leaves no piece of a file, and the error names it."""
    monkeypatch.delattr(os, "copy_file_range", raising=False)
    monkeypatch.setattr(os, "pwrite", failing(getattr(errno, name)))
    with pytest.raises(WriteError, match=rf"target cannot be written: {os.strerror(getattr(errno, name))}"):
        cloned(tmp_path)
    assert listing(tmp_path) == ["source"]


def test_a_source_that_shrinks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that becomes shorter while it is copied is an error of reading, and leaves no copy."""
    (tmp_path / "source").write_bytes(CONTENT)
    monkeypatch.setattr(copying, "_share", lambda source, _: os.truncate(source, 9))
    with (
        opened(tmp_path / "source", os.O_RDWR) as source,
        pytest.raises(ReadError, match=f"ends at byte 9, {len(CONTENT) - 9} bytes too early"),
    ):
        clone_file(source, tmp_path / "target")
    assert listing(tmp_path) == ["source"]


def test_a_second_name_where_there_can_be_one(tmp_path: Path) -> None:
    """A link shares the file; a name that is taken is left alone."""
    (tmp_path / "source").write_bytes(CONTENT)
    link_or_copy(tmp_path / "source", tmp_path / "target")
    assert (tmp_path / "target").samefile(tmp_path / "source")
    with pytest.raises(WriteError, match="target cannot be written: File exists"):
        link_or_copy(tmp_path / "source", tmp_path / "target")


@pytest.mark.parametrize("name", ["EXDEV", "EPERM", "EMLINK", "EOPNOTSUPP"])
def test_a_copy_where_there_can_be_no_second_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Where files cannot be linked, the copy has content, mode and time of the original."""
    (tmp_path / "source").write_bytes(CONTENT)
    (tmp_path / "source").chmod(0o640)
    os.utime(tmp_path / "source", ns=(10**18, 10**18 + 1))
    monkeypatch.setattr(os, "link", failing(getattr(errno, name)))
    link_or_copy(tmp_path / "source", tmp_path / "target")
    source, target = (tmp_path / "source").stat(), (tmp_path / "target").stat()
    assert (target.st_mode, target.st_mtime_ns) == (source.st_mode, source.st_mtime_ns)
    assert target.st_ino != source.st_ino
    assert (tmp_path / "target").read_bytes() == CONTENT


def test_other_errors_of_a_link_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fails is not answered with a copy on the same disk."""
    (tmp_path / "source").write_bytes(b"x")
    monkeypatch.setattr(os, "link", failing(errno.EIO))
    with pytest.raises(WriteError, match="target cannot be written: Input/output error"):
        link_or_copy(tmp_path / "source", tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_bytes_are_written_at_their_place(tmp_path: Path) -> None:
    """A new file can be written to in any order, and read by the same descriptor."""
    fd = create(tmp_path / "new")
    try:
        write_at(fd, b"world", 6)
        write_at(fd, b"hello ", 0)
        assert os.pread(fd, 100, 0) == b"hello world"
    finally:
        os.close(fd)
