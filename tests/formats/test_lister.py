"""The process that lists HDF5 files is started early, outlives bad files, and is never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest

from weightaudit.errors import ReadError
from weightaudit.formats import lister
from weightaudit.limits import DEFAULT_LIMITS, Limits
from weightaudit.source import LocalFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A small HDF5 file."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["x"] = np.zeros(3)
    return tmp_path / "x.h5"


def _list(path: Path) -> list[str]:
    file = LocalFile(path)
    try:
        answer = lister.ask_lister(file, 0, file.size, DEFAULT_LIMITS)
    finally:
        file.close()
    return [item["path"] for item in answer["datasets"]]


@pytest.fixture(autouse=True)
def no_server() -> Iterator[None]:
    """Begin and end without a server."""
    lister.discard()
    yield
    lister.discard()


def test_one_server_for_all(path: Path) -> None:
    """Preparing starts one process, however often, and all listings use it."""
    lister.prepare()
    server = lister._servers[0]
    lister.prepare()
    assert _list(path) == _list(path) == ["x"]
    assert lister._servers == [server]


def test_discarded_server_ends() -> None:
    """A server that is not needed any more is ended."""
    lister.prepare()
    process = lister._servers[0].process
    lister.discard()
    assert process.poll() is not None


def test_server_that_died(path: Path) -> None:
    """A server that was killed is replaced."""
    lister.prepare()
    lister._servers[0].process.kill()
    lister._servers[0].process.wait()
    assert _list(path) == ["x"]


def test_server_that_dies_at_work(path: Path) -> None:
    """A server that is killed while it lists is an error in one sentence; the next listing works."""
    lister.prepare()
    server = lister._servers[0]
    os.kill(server.process.pid, signal.SIGSTOP)
    killer = threading.Timer(0.3, server.process.kill)
    killer.start()
    with pytest.raises(ReadError, match=r"x\.h5 could not be listed: the HDF5 parser was ended"):
        _list(path)
    killer.join()
    assert _list(path) == ["x"]


def test_server_outlives_a_crash(path: Path) -> None:
    """A file that breaks its fork leaves the server able to list the next one."""
    lister.prepare()
    server = lister._servers[0]
    file = LocalFile(path)
    with pytest.raises(ReadError, match="breaks the HDF5 parser"):
        lister.ask_lister(file, 0, file.size, Limits(parser_memory=1))
    file.close()
    assert _list(path) == ["x"]
    assert lister._servers == [server]


def test_several_threads(path: Path) -> None:
    """Listings from several threads do not get each other's answers."""
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(_list, [path] * 8)) == [["x"]] * 8


def test_no_descriptor_is_left_open(path: Path) -> None:
    """Listing many files does not use up descriptors."""
    _list(path)
    before = os.dup(0)
    os.close(before)
    for _ in range(20):
        _list(path)
    # The system gives the lowest number that is free.
    after = os.dup(0)
    os.close(after)
    assert after == before


def test_nothing_outlives_the_program() -> None:
    """A program that prepares and ends leaves no process behind."""
    code = "from weightaudit.formats import lister\nlister.prepare()\nprint(lister._servers[0].process.pid)\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    with pytest.raises(ProcessLookupError):
        os.kill(int(done.stdout), 0)


def test_time_limit(path: Path) -> None:
    """A file that keeps the process busy for longer than the limit is an error that says so."""
    lister.prepare()
    os.kill(lister._servers[0].process.pid, signal.SIGSTOP)
    file = LocalFile(path)
    with pytest.raises(ReadError, match=r"x\.h5 keeps the HDF5 parser busy for more than 0\.2 s"):
        lister.ask_lister(file, 0, file.size, Limits(timeout=0.2))
    file.close()
    assert _list(path) == ["x"]


def test_asked_about_what_is_not_known(tmp_path: Path) -> None:
    """A file that only libhdf5 knows is listed by the process, and h5py stays out of this one."""
    with h5py.File(tmp_path / "x.h5", "w", libver="latest") as file:
        file["layers/d/vars/0"] = np.zeros(3)
    code = (
        "import sys, weightaudit\n"
        "from weightaudit.formats import lister\n"
        f"report = weightaudit.audit({str(tmp_path / 'x.h5')!r})\n"
        "assert report.models[0].is_complete\n"
        "assert len(lister._servers) == 1\n"
        "print(sorted({'h5py', 'tensorflow', 'keras'} & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
