"""The same kills and errors at the real system calls; `python -m tests.faults --all` does all of them."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.faults.commands import MATRIX
from tests.faults.harness import ForkServer, Trial
from tests.faults.tracing import SystemCall, can_attach, system_calls, under_strace

if not can_attach():
    pytest.skip("needs strace, and the right to attach it to a process", allow_module_level=True)

KILLS = 2
"""How many are killed of each command on each container, evenly spread over its calls."""


@pytest.mark.parametrize("scenario", ["publish a directory", "replace a checkpoint"])
def test_a_kill_at_any_system_call(server: ForkServer, worlds: Path, scenario: str) -> None:
    """Killed by the kernel at any call that changes something, the model is old or new."""
    trial = Trial(server, scenario, worlds)
    calls = system_calls(server, trial, worlds / "log")
    states = {killed(server, trial, worlds / "log", call) for call in calls}
    assert states == {"old", "new"}


@pytest.mark.parametrize("scenario", MATRIX)
def test_a_kill_of_a_command(server: ForkServer, worlds: Path, scenario: str) -> None:
    """Whatever command is killed by the kernel on whatever container, no model is lost."""
    trial = Trial(server, scenario, worlds)
    calls = system_calls(server, trial, worlds / "log")
    begin = sum(scenario.encode())  # so that different commands are killed at different calls
    for number in range(KILLS):
        killed(server, trial, worlds / "log", calls[(begin + number * len(calls) // KILLS) % len(calls)])


def killed(server: ForkServer, trial: Trial, log: Path, call: SystemCall) -> str:
    """Kill a run at a call, assert what is promised, and return what was there then."""
    fault = f"--inject={call.name}:signal=KILL:when={call.when}"
    outcome = under_strace(server, trial, log, fault)
    assert outcome.signal == signal.SIGKILL, fault
    trial.assert_kept(outcome, fault)
    state = trial.state()
    trial.assert_next_run_succeeds()
    return state


@pytest.mark.parametrize("name", ["pwrite64", "fsync", "rename", "renameat2", "copy_file_range", "linkat"])
@pytest.mark.parametrize("error", ["EIO", "ENOSPC", "EINTR"])
def test_an_error_of_a_system_call(server: ForkServer, worlds: Path, name: str, error: str) -> None:
    """An error that the kernel reports leaves the old model, and an interrupted call is made again."""
    for scenario in ("publish a directory", "replace a checkpoint"):
        trial = Trial(server, scenario, worlds / scenario)
        fault = f"--inject={name}:error={error}:when=1"
        outcome = under_strace(server, trial, worlds / "log", fault)
        trial.assert_kept(outcome, fault)
        trial.assert_next_run_succeeds()
