"""The process that lists HDF5 files is started early, used once, and never left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest

from weightaudit.formats import lister, prepare
from weightaudit.limits import DEFAULT_LIMITS
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


def test_prepared_process_is_used(path: Path) -> None:
    """Preparing starts one process, however often; the next listing takes it."""
    prepare(path)
    prepare(path)
    assert len(lister._waiting) == 1
    assert _list(path) == ["x"]
    assert not lister._waiting


def test_only_for_what_needs_it(tmp_path: Path) -> None:
    """Nothing is started for a path that is not HDF5, or that cannot be opened."""
    (tmp_path / "a").write_text("hello")
    os.mkfifo(tmp_path / "pipe")
    for name in ("a", "pipe", "missing"):
        prepare(tmp_path / name)
    assert not lister._waiting


def test_discarded_process_ends(path: Path) -> None:
    """A process that was prepared and is not needed is ended."""
    prepare(path)
    process = lister._waiting[0]._process
    lister.discard()
    assert process.poll() is not None


def test_process_that_died_while_it_waited(path: Path) -> None:
    """If the waiting process was killed, the listing fails with a reason instead of hanging."""
    prepare(path)
    lister._waiting[0]._process.kill()
    lister._waiting[0]._process.wait()
    with pytest.raises(Exception, match=r"x\.h5 breaks the HDF5 parser \(signal 9\)"):
        _list(path)
    assert _list(path) == ["x"]


def test_several_threads(path: Path) -> None:
    """Listings from several threads do not take each other's process."""
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(_list, [path] * 8)) == [["x"]] * 8


def test_nothing_outlives_the_program(path: Path) -> None:
    """A program that prepares and ends leaves no process behind."""
    code = (
        "from pathlib import Path\n"
        "from weightaudit.formats import lister, prepare\n"
        f"prepare(Path({str(path)!r}))\n"
        "print(lister._waiting[0]._process.pid)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    with pytest.raises(ProcessLookupError):
        os.kill(int(done.stdout), 0)


def test_parent_never_imports_h5py(fixtures_dir: Path) -> None:
    """An audit of HDF5 files loads neither h5py nor TensorFlow into the auditing process."""
    code = (
        "import sys, weightaudit\n"
        f"report = weightaudit.audit({str(fixtures_dir / 'legacy.h5')!r})\n"
        "assert report.models[0].is_complete\n"
        "print(sorted({'h5py', 'tensorflow', 'keras'} & sys.modules.keys()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
