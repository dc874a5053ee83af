"""What a power cut leaves depends on what was brought to the disk before what: here is the order."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.faults.harness import ForkServer, Trial
from tests.faults.injection import NAMES, RENAMES, WRITES, Call
from tests.faults.scenarios import HERE, SCENARIOS
from weightaudit.storage.staging import SUFFIX


@pytest.mark.parametrize("scenario", [name for name, each in SCENARIOS.items() if each.main])
def test_everything_is_on_the_disk_before_what_relies_on_it(
    server: ForkServer, worlds: Path, scenario: str
) -> None:
    """Content is synced before its rename, names before the main file's, and that before anything later."""
    trial = Trial(server, scenario, worlds)
    renames = check(trial.calls, trial.world / HERE, SCENARIOS[scenario].main)
    assert renames, "the main file never got its name"


def check(calls: Iterable[Call], here: Path, main: str) -> int:
    """Assert the order of calls, and return how often the main file got its name.

    Args:
        calls: What was called.
        here: The directory that the model is in.
        main: Name of the file, or directory, that makes the model another one.
    """
    volatile: set[int] = set()  # inodes with content, or directories with names, that are in memory only
    names_synced = main_synced = True
    renames = 0
    directory = here.stat().st_ino
    for call in calls:
        places = [Path(path) for path in (call.path, call.target) if path and SUFFIX not in path]
        if call.name == "fsync":
            volatile -= {*call.inodes}
            if directory in call.inodes:
                names_synced = main_synced = True
        elif call.name in WRITES:
            volatile |= {*call.inodes}
        elif call.name in NAMES and any(place.parent == here for place in places):
            assert main_synced, f"{call} comes before the new main file is on the disk"
            if call.name in RENAMES:
                assert volatile.isdisjoint(call.inodes), f"{call} before its content is on the disk"
            if Path(call.target) == here / main:
                assert names_synced, f"{call} before the names that it relies on are on the disk"
                main_synced = False
                renames += 1
            names_synced = False
        elif call.name in NAMES:
            volatile |= {*call.parents}
    assert main_synced, "it was said to be done before it was on the disk"
    return renames
