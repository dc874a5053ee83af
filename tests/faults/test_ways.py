"""Some of each way in which commands can go wrong; `python -m tests.faults --all` lets all of them."""

from __future__ import annotations

from collections import Counter
from errno import EIO
from pathlib import Path

import pytest

from tests.faults.commands import COMMANDS
from tests.faults.harness import DONE, FAILED, NOT_READY, ForkServer, Trial
from tests.faults.injection import Fault
from tests.faults.tracing import can_attach
from tests.faults.ways import WAYS

MOST = 2
"""Moments of each command and way, spread over those that there are."""

TRACED = {"kill", "space", "error"}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scenario", COMMANDS)
def test_what_is_promised_is_kept(server: ForkServer, worlds: Path, scenario: str, way: str) -> None:
    """Whatever goes wrong, the model is old or new and whole, and what is said is the truth."""
    if way in TRACED and not can_attach():
        pytest.skip("needs strace, and the right to attach it to a process")
    trial = Trial(server, scenario, worlds)
    faults = list(WAYS[way].faults(server, trial))
    begin = sum(f"{scenario}{way}".encode())  # other moments for each
    count = min(MOST, len(faults))
    chosen = [faults[(begin + number * len(faults) // count) % len(faults)] for number in range(count)]
    assert {WAYS[way].suffer(server, trial, fault) for fault in chosen} <= {"old", "new"}


def test_a_store_that_cannot_be_synced(server: ForkServer, worlds: Path) -> None:
    """Where it fails after the store has its name, what is said is about the store: the model is old."""
    trial = Trial(server, "repair a file in place", worlds)
    syncs = [number for number, call in enumerate(trial.calls) if call.name == "fsync"]
    outcomes = [trial.suffer(Fault("error", number, EIO))[0] for number in syncs[:4]]
    told = [outcome.message for outcome in outcomes if NOT_READY in outcome.message]
    assert any("weightaudit-store.json is in place, but it may not survive" in message for message in told)


def test_no_room_to_inflate_what_is_replaced(server: ForkServer, worlds: Path) -> None:
    """A full disk is no wrong usage: a restore that cannot read the model in its place ends with 3."""
    if not can_attach():
        pytest.skip("needs strace, and the right to attach it to a process")
    trial = Trial(server, "restore: deflated .keras", worlds)
    assert WAYS["space"].suffer(server, trial, "--inject=write:error=ENOSPC:when=1") == "old"


@pytest.mark.parametrize("scenario", [name for name in COMMANDS if name != "repair to a copy"])
def test_two_commands_at_once(server: ForkServer, worlds: Path, scenario: str) -> None:
    """Of two commands that write the same at once, one succeeds; the other one does, too, or says why not."""
    trial = Trial(server, scenario, worlds)
    with ForkServer() as other:
        trial.renew()
        for each in (server, other):
            each.start(scenario, trial.world)
        outcomes = [each.outcome() for each in (server, other)]
        codes = Counter(outcome.code for outcome in outcomes)
        assert codes.keys() <= {DONE, FAILED}, outcomes
        assert codes[DONE] >= 1, outcomes
        assert trial.state() in {"new", "versions [1, 2, 3]"}, outcomes
