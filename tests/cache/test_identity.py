"""What tells a changed model from an unchanged one."""

from __future__ import annotations

import dataclasses
import fcntl
import multiprocessing
import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.cache.models import Model, later, write
from weightaudit.cache.identity import (
    MARGIN,
    file_system,
    fingerprint,
    has_writer,
    is_settled,
    layout,
    place,
    program,
    stamps,
)
from weightaudit.catalog import Checksum, Extent, Fill, Inline, Region, Tile, Tiles
from weightaudit.engine.decoding import PlainDecoder
from weightaudit.tensor import Quantization, Role

if TYPE_CHECKING:
    from weightaudit.engine.scanning import Subject

LEASES = pytest.mark.skipif(not hasattr(fcntl, "F_SETLEASE"), reason="this system has no leases")


def test_stamps_come_from_open_files(model: Model) -> None:
    """Another file under the same name does not change the stamps of the one that is open."""
    with model.opened() as files:
        before = stamps(files)
        model.path.rename(model.path.with_name("moved"))
        write(model.path.parent, {"x": np.ones(3, np.float32)})
        after = stamps(files)
    assert [one[:4] for one in before] == [one[:4] for one in after]


def test_settled_files(model: Model) -> None:
    """A file counts as settled once both its times lie more than the margin back, and none in the future."""
    with model.opened() as files:
        newest = max(stamps(files)[0].modified, stamps(files)[0].changed)
        assert not is_settled(files, newest + MARGIN - 1)
        assert is_settled(files, newest + MARGIN)
        tomorrow = time.time() + 86400
        os.utime(model.path, (tomorrow, tomorrow))
        assert not is_settled(files, later())


@LEASES
@pytest.mark.parametrize("folder", ["tmp_path", "/dev/shm"])  # noqa: S108 - a tmpfs, if there is one
def test_writable_maps_are_seen(tmp_path: Path, folder: str) -> None:
    """A file that is mapped for writing has a writer: it may change and keep its stamps."""
    home = tmp_path if folder == "tmp_path" else _memory(folder)
    path = home / f"weightaudit-test-{os.getpid()}"
    try:
        path.write_bytes(bytes(8192))
        array: np.memmap[Any, np.dtype[np.uint8]] = np.memmap(path, np.uint8, "r+")
        array[0] = 1
        fd = os.open(path, os.O_RDONLY)
        before = os.fstat(fd)
        time.sleep(0.02)
        array[1] = 2
        changed = os.fstat(fd)
        assert has_writer(fd)
        # The reason for all this: the second write left no trace.
        assert (changed.st_mtime_ns, changed.st_ctime_ns) == (before.st_mtime_ns, before.st_ctime_ns)
        del array
        assert not has_writer(fd)
        os.close(fd)
    finally:
        path.unlink()


def _memory(folder: str) -> Path:
    if not os.access(folder, os.W_OK):
        pytest.skip(f"there is no {folder}")
    return Path(folder)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the type of a file system")
def test_nothing_is_settled_in_memory() -> None:
    """On a tmpfs a map that has read a page writes to it without a new stamp, so nothing there is settled."""
    home = _memory("/dev/shm")  # noqa: S108 - a tmpfs, if there is one
    if file_system(home.stat().st_dev) != "tmpfs":
        pytest.skip("there is no tmpfs")
    with TemporaryDirectory(dir=home) as folder:
        model = write(Path(folder), {"x": np.ones(4096, np.float32)})
        with model.opened() as files:
            before = stamps(files)
            settled = is_settled(files, later())
        array: np.memmap[Any, np.dtype[np.uint8]] = np.memmap(model.path, np.uint8, "r+")
        assert array[0] == 0
        array[0] = 1
        del array
        with model.opened() as files:
            # The reason: a writer came and went, and nothing tells of it.
            assert stamps(files) == before
            assert files[0].read(0, 1) == b"\1"
        assert not settled


def test_file_systems_have_names(tmp_path: Path) -> None:
    """The type of a file system is told by its device; that of a device which is not mounted is not."""
    assert file_system(os.makedev(4095, 1)) == ""
    if sys.platform == "linux":
        assert file_system(Path("/proc").stat().st_dev) == "proc"
    assert file_system(tmp_path.stat().st_dev) != "proc"


@LEASES
def test_open_writer_keeps_a_model_from_being_settled(model: Model) -> None:
    """While a process has the file open for writing, what is measured is not kept; readers do not matter."""
    with model.opened() as files:
        with model.path.open("r+b"):
            assert not is_settled(files, later())
        with model.path.open("rb"):
            assert is_settled(files, later())


def test_asking_for_writers_leaves_the_file_free(model: Model) -> None:
    """After the question, others open the file for writing without waiting."""
    with model.opened() as files:
        has_writer(files[0].fd)
        with model.path.open("r+b") as file:
            file.write(b"x")


def _changed(subject: Subject, **changes: Any) -> Subject:
    entry = dataclasses.replace(subject.entry, **changes)
    return dataclasses.replace(subject, entry=entry)


def test_layout_depends_on_where_tensors_lie_and_how_they_are_decoded(model: Model) -> None:
    """Every fact that decides which numbers are measured changes the layout."""
    one = model.subjects()[0]
    tile = Tile((0, 0), (40, 30), Extent(0, 0, 4800), ("deflate",))
    entries: list[dict[str, Any]] = [
        {"key": "other"},
        {"shape": (30, 40)},
        {"dtype": "int32"},
        {"big_endian": True},
        {"checksum": Checksum("crc32c", 1)},
        {"checksum": None},
        {"storage": Extent(0, 4, 4800)},
        {"storage": Extent(1, 0, 4800)},
        {"storage": Fill()},
        {"storage": Fill(b"abcd")},
        {"storage": Inline(b"abcd")},
        {"storage": Inline(b"abce")},
        {"storage": Tiles((tile,))},
        {"storage": Tiles((dataclasses.replace(tile, filters=()),))},
        {"storage": Tiles((tile,), b"abcd")},
    ]
    infos: list[dict[str, Any]] = [
        {"name": "other"},
        {"quantization": Quantization("int8", "scale")},
        {"quantization": Quantization("int8", "scale"), "output_axes": (1,)},
        {"quantization": Quantization("int8", "scale"), "role": Role.EMBEDDING},
        {"quantization": Quantization("int4", "scale")},
    ]
    subjects = [one, *(_changed(one, **changes) for changes in entries)]
    for changes in infos:
        info = dataclasses.replace(one.info, **changes)
        subjects.append(dataclasses.replace(one, info=info, decoder=PlainDecoder(info, one.entry)))
    digests = [layout([subject], ()) for subject in subjects]
    region = Region("a", Extent(0, 0, 4), Checksum("crc32", 1))
    other = dataclasses.replace(region, checksum=Checksum("crc32", 2))
    digests += [layout([one], [region]), layout([one], [other]), layout([one, one], ())]
    assert len(set(digests)) == len(digests)


def test_place_is_of_model_and_engine(model: Model, tmp_path: Path) -> None:
    """Models elsewhere, and other engines, have entries of their own."""
    other = write(tmp_path / "other", {"x": np.ones(3, np.float32)})
    with model.opened() as first, model.opened() as again, other.opened() as second:
        assert place(first, "numpy") == place(again, "numpy")
        assert len({place(first, "numpy"), place(first, "tensorflow"), place(second, "numpy")}) == 3


def test_fingerprint_of_code(tmp_path: Path) -> None:
    """Code of another size, from another time or under another name is another program."""
    paths = [tmp_path / name for name in ("a.py", "b.py")]
    for path in paths:
        path.write_text("pass")
        os.utime(path, ns=(0, 10**18))
    before = fingerprint(paths)
    assert fingerprint(paths) == before
    assert fingerprint(paths[:1]) != before
    os.utime(paths[0], ns=(0, 10**18 + 1))
    assert fingerprint(paths) != before
    assert len(program().split()) == 3


def _open_for_writing(path: Path, times: int) -> None:
    for _ in range(times):
        with path.open("r+b"):
            pass


def test_asking_while_others_open_the_file(model: Model) -> None:
    """Neither the process that asks nor one that opens the file for writing meanwhile comes to harm."""
    opener = multiprocessing.get_context("spawn").Process(target=_open_for_writing, args=(model.path, 3000))
    opener.start()
    with model.opened() as files:
        while opener.is_alive():
            has_writer(files[0].fd)
        assert not has_writer(files[0].fd)
    opener.join()
    assert opener.exitcode == 0
