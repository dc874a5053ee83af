"""Writers and readers that meet, and processes that are killed at random."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.harness import DONE, FAILED, ForkServer, Trial
from tests.faults.models import FILE
from tests.faults.scenarios import ENDLESS, HERE, PAIRS, PAUSES, SCENARIOS, known, look
from weightaudit.errors import ReadError

TOGETHER = 6
"""How often two writers meet in each scenario."""
KILLS = 13
"""How often a process is killed in each endless scenario."""
SECONDS = 1.0
"""For how long a reader reads."""
PATIENCE = 30.0
"""For how long it does so on a busy machine, until it has seen both models."""


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_two_writers(server: ForkServer, worlds: Path, scenario: str) -> None:
    """Of two processes that write a model at once, one succeeds; the other one does, too, or says why not."""
    trial = Trial(server, scenario, worlds)
    with ForkServer() as other:
        for _ in range(TOGETHER):
            trial.renew()
            for each in (server, other):
                each.start(scenario, trial.world)
            outcomes = [each.outcome() for each in (server, other)]
            codes = Counter(outcome.code for outcome in outcomes)
            both = SCENARIOS[scenario].repeatable and codes == {DONE: 2}
            assert both or codes == {DONE: 1, FAILED: 1}, outcomes
            assert trial.state() == "new", outcomes
            assert trial.is_clean(), outcomes


@pytest.mark.parametrize("scenario", PAIRS)
def test_a_reader_while_models_are_replaced(server: ForkServer, worlds: Path, scenario: str) -> None:
    """Who opens a model while it is replaced again and again gets one or the other, never a mixture.

    A model that is one file is always there, and what was opened stays what it was. With one of
    several, the reader may see that it changed, and say so.
    """
    pair, endless, world = PAIRS[scenario], f"{scenario} again and again", worlds / "world"
    states = {known(pair.name, make)[1]: word for word, make in (("old", pair.old), ("new", pair.new))}
    ENDLESS[endless].build(world)
    (world / PAUSES).touch()
    seen = Counter({"changed": 0})
    process = server.start(endless, world)
    begin = time.monotonic()
    while time.monotonic() < begin + SECONDS or (len(seen) < 3 and time.monotonic() < begin + PATIENCE):
        try:
            found = look(world / HERE / pair.name, check=pair is not FILE)
        except ReadError as error:
            seen[str(error) if pair is FILE else "changed"] += 1
        else:
            seen[states.get(found, f"mixed: {found}")] += 1
    os.kill(process, signal.SIGKILL)
    assert server.outcome().signal == signal.SIGKILL
    assert seen.keys() == {"old", "new", "changed"}, seen


@pytest.mark.parametrize("scenario", PAIRS)
def test_kills_at_random(server: ForkServer, worlds: Path, scenario: str) -> None:
    """Killed at whatever moment, again and again in one place, the model stays old or new and usable."""
    trial, endless = Trial(server, scenario, worlds), f"{scenario} again and again"
    chance = random.Random(scenario)  # noqa: S311 - no secret
    ENDLESS[endless].build(worlds / "endless")
    (worlds / "endless" / "again").rename(trial.world / "again")
    for _ in range(KILLS):
        process = server.start(endless, trial.world)
        time.sleep(chance.uniform(0.005, 0.06))
        os.kill(process, signal.SIGKILL)
        trial.assert_kept(server.outcome(), "killed at random")
    trial.assert_next_run_succeeds()
