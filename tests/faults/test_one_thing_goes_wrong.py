"""Each call to the file system goes wrong, one by one, in every way that it can."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.harness import DONE, FAILED, TERMINATED, ForkServer, Trial
from tests.faults.injection import CHANGES, PLAUSIBLE, USUAL, Call, Fault
from tests.faults.scenarios import SCENARIOS

every_scenario = pytest.mark.parametrize("scenario", SCENARIOS)


@every_scenario
def test_a_kill_at_any_change(server: ForkServer, worlds: Path, scenario: str) -> None:
    """Killed at any call that changes something, in the middle of writes too, the model is old or new."""
    trial = Trial(server, scenario, worlds)
    changes = [number for number, call in enumerate(trial.calls) if call.name in CHANGES]
    states = {trial.suffer(Fault("kill", number))[1] for number in changes}
    assert states == {"old", "new"}


@every_scenario
def test_an_error_of_any_call(server: ForkServer, worlds: Path, scenario: str) -> None:
    """Whichever call fails, what is said is one sentence and the truth, and nothing is left behind."""
    trial = Trial(server, scenario, worlds)
    codes = set()
    begin = list(SCENARIOS).index(scenario)  # so that a call fails in another way in each scenario
    for turn, (number, call) in enumerate(first_of_each_site(trial.calls), begin):
        ways = PLAUSIBLE.get(call.name, USUAL)
        outcome, _ = trial.suffer(Fault("error", number, ways[turn % len(ways)]))
        codes.add(outcome.code)
        assert outcome.code == DONE or outcome.message.strip().endswith("."), outcome
        assert "\n" not in outcome.message.strip(), outcome
    assert codes == {DONE, FAILED}


@every_scenario
def test_an_end_that_is_asked_for(server: ForkServer, worlds: Path, scenario: str) -> None:
    """On SIGTERM the process clears up and ends with 143, wherever it is."""
    trial = Trial(server, scenario, worlds)
    for number, call in first_of_each_site(trial.calls):
        if call.name in CHANGES:
            outcome, _ = trial.suffer(Fault("terminate", number))
            assert outcome.code == TERMINATED, outcome


def first_of_each_site(calls: tuple[Call, ...]) -> list[tuple[int, Call]]:
    """Return the first call, with its number, that comes in each way from each line."""
    first: dict[tuple[str, str], int] = {}
    for number, call in enumerate(calls):
        first.setdefault((call.name, call.site), number)
    return [(number, calls[number]) for number in first.values()]
