"""The ways in which things go wrong, each with the moments at which they can and what is promised then."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.harness import (
    DONE,
    FAILED,
    INTERRUPTED,
    TERMINATED,
    Confines,
    ForkServer,
    Outcome,
    Trial,
)
from tests.faults.injection import AWAY, CHANGES, WRITES, Fault, FaultKind
from tests.faults.scenarios import HERE
from tests.faults.tracing import SystemCall, system_calls, under_strace

NOBODY = 65534

_FULL = "write,pwrite64,copy_file_range,fsync,rename,renameat2,mkdir,openat,link,linkat"
"""System calls that fail on a full disk."""

_ERRORS = {
    "openat": ("EMFILE", "ENFILE", "EIO", "EACCES"),
    "mkdir": ("EDQUOT", "EROFS", "EACCES", "EIO"),
    "fsync": ("EIO", "EDQUOT", "EINTR"),
    "pwrite64": ("EIO", "EDQUOT", "EINTR", "EFBIG"),
    "write": ("EIO", "EDQUOT", "EINTR", "EFBIG"),
    "copy_file_range": ("EIO", "EXDEV", "ENOSYS", "EINTR"),
    "ioctl": ("EOPNOTSUPP", "EIO", "EXDEV"),
    "renameat2": ("EIO", "EACCES", "EROFS", "EXDEV"),
}
_WRITES = WRITES - {"ioctl"}

_USUAL = ("EIO", "EACCES", "EROFS", "EPERM")


@dataclass(frozen=True, slots=True)
class Way:
    """One way.

    Attributes:
        faults: Says what can go wrong in a run of a scenario: one fault for each moment.
        suffer: Lets it, asserts what is promised, and says what came of it.
    """

    faults: Callable[[ForkServer, Trial], Iterable[Any]]
    suffer: Callable[[ForkServer, Trial, Any], str]


def _calls(server: ForkServer, trial: Trial) -> list[SystemCall]:
    return system_calls(server, trial, trial.world.with_name("log"))


def _errors(server: ForkServer, trial: Trial) -> list[str]:
    """Return an error for each system call: another one for each in turn."""
    found: list[str] = []
    for turn, call in enumerate(_calls(server, trial)):
        ways = _ERRORS.get(call.name, _USUAL)
        found.append(f"--inject={call.name}:error={ways[turn % len(ways)]}:when={call.when}")
    return found


def _full(server: ForkServer, trial: Trial) -> list[str]:
    """Return a full disk for each system call that needs room."""
    calls = (call for call in _calls(server, trial) if call.name in _FULL.split(","))
    return [f"--inject={call.name}:error=ENOSPC:when={call.when}" for call in calls]


def _kills(server: ForkServer, trial: Trial) -> list[str]:
    return [f"--inject={call.name}:signal=KILL:when={call.when}" for call in _calls(server, trial)]


def _traced(server: ForkServer, trial: Trial, fault: str) -> str:
    outcome = under_strace(server, trial, trial.world.with_name("log"), fault)
    if "signal=KILL" in fault:
        assert outcome.signal == signal.SIGKILL, outcome
    return _judged(trial, outcome, fault)


def _judged(trial: Trial, outcome: Outcome, story: str) -> str:
    trial.assert_kept(outcome, story)
    said = outcome.message.strip()
    assert outcome.code in {None, DONE, INTERRUPTED, TERMINATED} or said.endswith("."), outcome
    assert "Traceback" not in said, outcome
    assert outcome.code == DONE or "[Errno" not in said, outcome
    state = trial.state()
    trial.assert_next_run_succeeds()
    return state


def _moments(kind: FaultKind, names: frozenset[str]) -> Callable[[ForkServer, Trial], Iterable[Fault]]:
    def faults(_: ForkServer, trial: Trial) -> Iterable[Fault]:
        place = str(trial.world / HERE)
        return [
            Fault(kind, number, place=place) for number, call in enumerate(trial.calls) if call.name in names
        ]

    return faults


def _lies(server: ForkServer, trial: Trial) -> Iterable[Fault]:
    """Return the writes that can lie: not those of small files, which are not read back."""
    return _moments("lie", _WRITES)(server, trial) if ":" in trial.name else ()


def _forbidden(server: ForkServer, trial: Trial) -> Iterable[Fault]:
    """Return the moments at which a directory can be forbidden; what the cache has is not in it."""
    return _moments("forbid", CHANGES)(server, trial) if "cache" not in trial.name else ()


def _short(_: ForkServer, _trial: Trial) -> Iterable[Fault]:
    """Return the one fault that makes every write short."""
    return [Fault("short")]


def _in_process(server: ForkServer, trial: Trial, fault: Fault) -> str:
    trial.renew()
    outcome = server.run(trial.name, trial.world, fault)
    wanted = {"terminate": TERMINATED, "interrupt": INTERRUPTED, "short": DONE}.get(fault.kind, outcome.code)
    assert outcome.code == wanted, outcome
    return _judged(trial, outcome, f"{fault}")


def _without_place(server: ForkServer, trial: Trial, fault: Fault) -> str:
    """Let the directory vanish, or its owner lose the right to write there, until the run has ended."""
    trial.renew()
    here = Path(fault.place)
    user = NOBODY if fault.kind == "forbid" and os.geteuid() == 0 else 0
    if user:
        own(trial.world, user)
    outcome = server.run(trial.name, trial.world, fault, Confines(user=user))
    if fault.kind == "vanish":
        assert not here.exists(), "it was made again"
        here.with_name(here.name + AWAY).rename(here)
    here.chmod(0o755)
    assert outcome.code in {DONE, FAILED}, outcome
    assert trial.state() in {"old", "new"}, f"{outcome}: {trial.state()}"
    assert outcome.code == FAILED or trial.state() == "new", outcome
    assert outcome.code == DONE or outcome.message.strip().endswith("."), outcome
    state = trial.state()
    trial.assert_next_run_succeeds(Confines(user=user))
    return state


def own(world: Path, user: int) -> None:
    """Give a world to a user."""
    for path in (world, *world.rglob("*")):
        os.chown(path, user, user, follow_symlinks=False)


WAYS = {
    "kill": Way(_kills, _traced),
    "half": Way(_moments("kill", _WRITES), _in_process),
    "space": Way(_full, _traced),
    "error": Way(_errors, _traced),
    "terminate": Way(_moments("terminate", CHANGES), _in_process),
    "interrupt": Way(_moments("interrupt", CHANGES), _in_process),
    "short": Way(_short, _in_process),
    "lie": Way(_lies, _in_process),
    "vanish": Way(_moments("vanish", CHANGES), _without_place),
    "forbid": Way(_forbidden, _without_place),
}
"""All ways, by name.

``kill``: by the kernel, at each system call that changes a file. ``half``: in the middle of a write.
``space``: no room at a call that needs some. ``error``: another error of a system call. ``terminate``,
``interrupt``: a signal. ``short``: every write does half. ``lie``: a write says that it is done, and is not.
``vanish``: the directory is renamed. ``forbid``: nobody may write to it any more.
"""
