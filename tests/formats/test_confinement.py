"""The process that parses a stranger's HDF5 file can do nothing but parse it."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from weightaudit.errors import ReadError
from weightaudit.formats import confinement, lister
from weightaudit.limits import DEFAULT_LIMITS, Limits
from weightaudit.source import LocalFile

TRIES = {
    "open a file": "os.open('/etc/hosts', os.O_RDONLY)",
    "make a file": "os.open('made', os.O_CREAT | os.O_WRONLY)",
    "remove a file": "os.unlink('there')",
    "rename a file": "os.rename('there', 'elsewhere')",
    "use the network": "socket.socket()",
    "start a program": "os.execv(sys.executable, ['python', '-c', ''])",
    "start a process": "os.fork()",
    "end another process": "os.kill(os.getppid(), 0)",
    "write more to a file that is open": "os.write(there, b'more')",
}
ONLY_WITH_A_FILTER = {
    "remove a file",
    "rename a file",
    "start a program",
    "start a process",
    "end another process",
}

CODE = """
import os, signal, socket, sys
sys.path.insert(0, {folder!r})
import confinement
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
there = os.open('there', os.O_WRONLY)
is_filtered = confinement.confine(1 << 30, 5)
try:
    {attempt}
except OSError as error:
    answer = 'refused'
else:
    answer = 'done'
os.write(1, f'{{answer}} {{is_filtered}}'.encode())
"""


@pytest.mark.parametrize("what", TRIES)
def test_what_a_confined_process_cannot_do(tmp_path: Path, what: str) -> None:
    """A process that took libhdf5 over could not read, write, connect, or start anything."""
    (tmp_path / "there").touch()
    code = CODE.format(folder=str(Path(confinement.__file__).parent), attempt=TRIES[what])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    answer, is_filtered = done.stdout.split()
    if what in ONLY_WITH_A_FILTER and is_filtered == "False":
        pytest.skip("this system has no filter of system calls")
    assert answer == "refused"
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


@pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in {"x86_64", "aarch64"}, reason="filters are Linux's"
)
def test_system_calls_are_filtered(tmp_path: Path) -> None:
    """On Linux the filter is there, so the test above is not passed over without notice."""
    (tmp_path / "there").touch()
    code = CODE.format(folder=str(Path(confinement.__file__).parent), attempt="pass")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "done True"


def test_a_confined_process_lists_all_kinds_of_attributes(tmp_path: Path) -> None:
    """What h5py imports late is there already: text of every kind is read in confinement, and errors told."""
    path = tmp_path / "x.h5"
    with h5py.File(path, "w", libver="latest") as file:
        file.attrs["backend"] = np.bytes_(b"tensorflow")
        file.attrs["keras_version"] = "2.0"
        file.attrs["layer_names"] = ["é", "b"]
        file.attrs["model_config"] = np.bytes_(b"{}")
        file["x"] = np.zeros(3, ">f4")
    answer = _asked(path, DEFAULT_LIMITS)
    assert answer["groups"][""]["layer_names"] == ["é", "b"]
    assert answer["groups"][""]["backend"] == "tensorflow"
    assert answer["datasets"][0]["big_endian"]


def test_processor_time_goes_by_size(tmp_path: Path) -> None:
    """A small file that sends libhdf5 in circles is given up after a second, not after the time-out."""
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file.attrs["keras_version"] = "2.0"
    raw = bytearray(path.read_bytes())
    heap = raw.index(b"GCOL")
    raw[heap + 48 : heap + 56] = bytes(8)
    path.write_bytes(raw)
    with pytest.raises(ReadError, match=r"more than the 1 s that suffice .* \(--timeout gives more\)"):
        _asked(path, DEFAULT_LIMITS)


@pytest.mark.parametrize(
    ("size", "timeout", "seconds"),
    [(0, 60, 1), (1 << 20, 60, 17), (1 << 40, 60, 60), (1 << 20, 120, 34), (0, 0.1, 1)],
)
def test_seconds_for_a_size(size: int, timeout: float, seconds: int) -> None:
    """Large files get up to the time-out, and a longer time-out gives all of them more."""
    assert lister._cpu_seconds(size, timeout) == seconds


def _asked(path: Path, limits: Limits) -> dict[str, Any]:
    file = LocalFile(path)
    try:
        return lister.ask_lister(file, 0, file.size, limits)
    finally:
        file.close()
