"""The power goes off, on a disk of our own, after each step: what was said to be done is there afterwards."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults.harness import DONE, ForkServer, Trial
from tests.faults.injection import RENAMES, Fault, cut_power
from weightaudit.storage.copying import share_file

_MEGABYTE = 1 << 20
_DISKS = {
    # Without what ext4 does for programs that forget to sync, and without an order of data and names.
    "ext4": (32, ("-q", "-F"), "loop,noauto_da_alloc,data=writeback"),
    "xfs": (320, ("-q", "-f"), "loop"),
}
"""Megabytes, options of mkfs, options of mount."""

SCENARIOS = (
    "publish a file",
    "replace a directory",
    "replace a checkpoint",
    "commit",
    "prune",
    "repair a file in place",
    "restore a checkpoint",
)

_SHARED = 20 * _MEGABYTE


class Disk:
    """A file system in a file.

    Args:
        kind: What kind of.
        folder: Empty directory for the file and its mount point.

    Attributes:
        path: Where it is mounted.
    """

    def __init__(self, kind: str, folder: Path) -> None:
        megabytes, make, self._options = _DISKS[kind]
        self._image, self.path = folder / "image", folder / "disk"
        self.path.mkdir()
        with self._image.open("wb") as stream:
            stream.truncate(megabytes * _MEGABYTE)
        subprocess.run([_tool(f"mkfs.{kind}"), *make, self._image], check=True)
        self.mount()

    def mount(self) -> None:
        """Mount it, and repair it as after a power cut."""
        subprocess.run([_tool("mount"), "-o", self._options, self._image, self.path], check=True)

    def cut_and_mount(self) -> None:
        """Let the power go off, if it is on, and on again."""
        with suppress(OSError):  # xfs cannot even be opened any more once it is off
            cut_power(str(self.path))
        subprocess.run([_tool("umount"), self.path], check=True)
        self.mount()


@pytest.mark.parametrize("kind", _DISKS)
def test_the_power_goes_off(has_own_mounts: Callable[[], bool], tmp_path: Path, kind: str) -> None:
    """Cut off at any step, the model is old or new, whole; cut off after the end, it is new."""
    _tool(f"mkfs.{kind}")
    if not has_own_mounts():
        return
    disk = Disk(kind, tmp_path)
    states = set()
    with ForkServer() as server:
        for scenario in SCENARIOS:
            trial = Trial(server, scenario, disk.path / scenario)
            steps = [number for number, call in enumerate(trial.calls) if call.name in RENAMES | {"fsync"}]
            for step in (*steps, None):
                trial.renew()
                os.sync()
                fault = Fault() if step is None else Fault("cut", step, place=str(disk.path))
                outcome = server.run(scenario, trial.world, fault)
                disk.cut_and_mount()
                if step is None:
                    assert (outcome.code, trial.state()) == (DONE, "new")
                else:
                    trial.assert_kept(outcome, f"{fault}")
                states.add(trial.state())
                trial.assert_next_run_succeeds()
    assert states == {"old", "new"}


def test_a_file_system_with_copy_on_write(has_own_mounts: Callable[[], bool], tmp_path: Path) -> None:
    """Where files can share blocks, versions share them: no space is taken, and damage to one is its own."""
    _tool("mkfs.xfs")
    if not has_own_mounts():
        return
    disk = Disk("xfs", tmp_path)
    source, target = disk.path / "source", disk.path / "target"
    source.write_bytes(os.urandom(_SHARED))
    source.chmod(0o440)
    os.sync()
    before = os.statvfs(disk.path)
    share_file(source, target)
    os.sync()
    after = os.statvfs(disk.path)
    assert (before.f_bfree - after.f_bfree) * before.f_frsize < _SHARED / 4
    assert not target.samefile(source)
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_mode == source.stat().st_mode
    assert target.stat().st_mtime_ns == source.stat().st_mtime_ns
    source.chmod(0o640)
    source.write_bytes(b"damage")
    assert target.stat().st_size == _SHARED


def _tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"needs {name}")
    return path
