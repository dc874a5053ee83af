"""Disks that are full, directories that cannot be written to, and limits on what a process may write."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.harness import DONE, FAILED, Confines, ForkServer, Trial
from tests.faults.scenarios import HERE, SCENARIOS
from weightaudit.errors import WriteError
from weightaudit.storage.room import require_space
from weightaudit.storage.staging import SUFFIX

NOBODY = 65534


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_directory_that_may_not_be_written_to(server: ForkServer, worlds: Path, scenario: str) -> None:
    """Without the right to write, nothing happens, and the sentence says what to do instead."""
    trial = Trial(server, scenario, worlds)
    trial.renew()
    (trial.world / HERE).chmod(0o555)
    outcome = server.run(scenario, trial.world, confines=Confines(user=NOBODY))
    (trial.world / HERE).chmod(0o755)
    trial.assert_kept(outcome, "a directory that may not be written to")
    assert outcome.code == FAILED
    assert "Permission denied; choose another place." in outcome.message


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("largest", [0x100, 0x1000])
def test_a_limit_on_the_size_of_files(server: ForkServer, worlds: Path, scenario: str, largest: int) -> None:
    """A write that is cut short by a limit of the process (ulimit -f) leaves the old model."""
    outcome, state = Trial(server, scenario, worlds).suffer(confines=Confines(largest_file=largest))
    if scenario == "save a report":
        assert (outcome.code, state) == (DONE, "new")
    else:
        assert (outcome.code, state) == (FAILED, "old")
        assert "File too large" in outcome.message


def test_a_full_disk(has_own_mounts: Callable[[], bool], tmp_path: Path) -> None:
    """Whatever room is left on a disk, the old model or the new one is whole on it."""
    if not has_own_mounts():
        return
    mount("-t", "tmpfs", "-o", "size=1m", "none", tmp_path)
    codes = set()
    with ForkServer() as server:
        for scenario in (
            "publish a directory",
            "replace a directory",
            "replace a checkpoint",
            "replace shards",
            "commit",
            "repair a file in place",
        ):
            folder = tmp_path / scenario
            folder.mkdir()
            trial = Trial(server, scenario, folder)
            for room in range(0, 160 << 10, 20 << 10):
                trial.renew()
                fill(tmp_path / "ballast", leave=room)
                outcome = server.run(scenario, trial.world)
                (tmp_path / "ballast").unlink()
                trial.assert_kept(outcome, f"{room} bytes free")
                trial.assert_next_run_succeeds()
                codes.add(outcome.code)
                if outcome.code == FAILED:
                    assert "; free some space, or choose" in outcome.message
                    assert SUFFIX not in outcome.message
            shutil.rmtree(folder)
    assert codes == {DONE, FAILED}


def mount(*arguments: str | Path) -> None:
    """Mount something that only this process and its children see."""
    subprocess.run(["mount", *arguments], check=True)  # noqa: S607 - the one that `has_own_mounts` tried


def fill(path: Path, leave: int) -> None:
    """Write a file that leaves so many bytes of its disk free."""
    status = os.statvfs(path.parent)
    with path.open("wb") as stream:
        stream.write(bytes(max(0, status.f_bavail * status.f_frsize - leave)))


def test_a_disk_that_is_read_only(has_own_mounts: Callable[[], bool], tmp_path: Path) -> None:
    """A disk that was mounted for reading only gives one sentence, and stays as it is."""
    if not has_own_mounts():
        return
    with ForkServer() as server:
        trial = Trial(server, "replace a checkpoint", tmp_path)
        trial.renew()
        mount("--bind", trial.world, trial.world)
        mount("-o", "remount,bind,ro", trial.world)
        outcome = server.run("replace a checkpoint", trial.world)
        trial.assert_kept(outcome, "a read-only disk")
        assert (outcome.code, trial.state()) == (FAILED, "old")
        assert "Read-only file system; choose another place." in outcome.message


def test_room_is_asked_for_before_the_work(tmp_path: Path) -> None:
    """What cannot fit is refused with both numbers, and what can is not."""
    require_space(tmp_path, 1)
    with pytest.raises(WriteError, match=rf"{1 << 62} are needed; free some space"):
        require_space(tmp_path, 1 << 62)
    with pytest.raises(WriteError, match="No such file"):
        require_space(tmp_path / "missing", 1)
