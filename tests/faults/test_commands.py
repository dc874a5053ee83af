"""Whole commands are killed, or fail, where a name changes; what is between is tested elsewhere."""

from __future__ import annotations

from itertools import cycle
from pathlib import Path

import pytest

from tests.faults.commands import COMMANDS, SIGNATURES
from tests.faults.harness import DONE, TERMINATED, ForkServer, Trial
from tests.faults.injection import CHANGES, NAMES, PLAUSIBLE, RENAMES, USUAL, Fault
from tests.faults.test_one_thing_goes_wrong import first_of_each_site

every_command = pytest.mark.parametrize("scenario", COMMANDS)


@every_command
def test_a_kill_at_any_rename(server: ForkServer, worlds: Path, scenario: str) -> None:
    """Killed at any rename, the model is old or new, its old state is kept, and all versions are intact."""
    trial = Trial(server, scenario, worlds)
    renames = [number for number, call in enumerate(trial.calls) if call.name in RENAMES]
    states = {trial.suffer(Fault("kill", number))[1] for number in (*renames, renames[-1] + 1)}
    assert states == {"old", "new"}


@every_command
def test_a_name_that_cannot_be_given(server: ForkServer, worlds: Path, scenario: str) -> None:
    """Whichever name cannot be given, the command says so in a sentence, and leaves nothing behind."""
    trial = Trial(server, scenario, worlds)
    names = [(number, call) for number, call in first_of_each_site(trial.calls) if call.name in NAMES]
    for turn, (number, call) in zip(cycle(range(60)), names, strict=False):
        ways = PLAUSIBLE.get(call.name, USUAL)
        outcome, _ = trial.suffer(Fault("error", number, ways[turn % len(ways)]))
        assert outcome.code == DONE or outcome.message.strip().endswith("."), outcome
        assert outcome.code == DONE or "[Errno" not in outcome.message, outcome


@every_command
def test_an_end_at_any_rename(server: ForkServer, worlds: Path, scenario: str) -> None:
    """On SIGTERM a command clears up and ends with 143, whichever name it was about to give."""
    trial = Trial(server, scenario, worlds)
    for number, call in first_of_each_site(trial.calls):
        if call.name in RENAMES:
            outcome, _ = trial.suffer(Fault("terminate", number))
            assert outcome.code == TERMINATED, outcome


@pytest.mark.parametrize("scenario", SIGNATURES)
def test_signatures(server: ForkServer, worlds: Path, scenario: str) -> None:
    """Killed or ended at any change, a version has its signature and a signature its version."""
    trial = Trial(server, scenario, worlds)
    for number, call in enumerate(trial.calls):
        if call.name in CHANGES:
            trial.suffer(Fault("kill", number))
            outcome, _ = trial.suffer(Fault("terminate", number))
            assert outcome.code == TERMINATED, outcome
