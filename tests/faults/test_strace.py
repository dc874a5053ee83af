"""The same kills and errors, at the real system calls: nothing that Python or C does is missed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from tests.faults.harness import Confines, ForkServer, Outcome, Trial

CALLS = (
    "mkdir,mkdirat,rmdir,unlink,unlinkat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,"
    "chmod,fchmod,fchmodat,chown,fchown,fchownat,utimensat,fsync,fdatasync,ftruncate,"
    "pwrite64,writev,pwritev,copy_file_range,sendfile,ioctl"
)
"""System calls that change a file system, but for opening and writing to standard streams."""

_NAME = re.compile(r"^(\w+)\(", re.MULTILINE)


@pytest.mark.parametrize("scenario", ["publish a directory", "replace a checkpoint"])
def test_a_kill_at_any_system_call(server: ForkServer, worlds: Path, scenario: str) -> None:
    """Killed by the kernel at any call that changes something, the model is old or new."""
    trial = Trial(server, scenario, worlds)
    log = worlds / "log"
    under_strace(server, trial, scenario, log, "--trace", CALLS)
    states = set()
    count: Counter[str] = Counter()
    for name in _NAME.findall(log.read_text()):
        count[name] += 1
        fault = f"--inject={name}:signal=KILL:when={count[name]}"
        outcome = under_strace(server, trial, scenario, log, "--trace", CALLS, fault)
        assert outcome.signal == signal.SIGKILL, fault
        trial.assert_kept(outcome, fault)
        states.add(trial.state())
        trial.assert_next_run_succeeds()
    assert states == {"old", "new"}


@pytest.mark.parametrize("name", ["pwrite64", "fsync", "rename", "renameat2", "copy_file_range", "linkat"])
@pytest.mark.parametrize("error", ["EIO", "ENOSPC", "EINTR"])
def test_an_error_of_a_system_call(server: ForkServer, worlds: Path, name: str, error: str) -> None:
    """An error that the kernel reports leaves the old model, and an interrupted call is made again."""
    for scenario in ("publish a directory", "replace a checkpoint"):
        trial = Trial(server, scenario, worlds / scenario)
        fault = f"--inject={name}:error={error}:when=1"
        outcome = under_strace(server, trial, scenario, worlds / "log", "--trace", CALLS, fault)
        trial.assert_kept(outcome, fault)
        trial.assert_next_run_succeeds()


def under_strace(server: ForkServer, trial: Trial, scenario: str, log: Path, *options: str) -> Outcome:
    """Run a scenario in an old world under strace."""
    if not can_attach():
        pytest.skip("needs strace, and the right to attach it to a process")
    trial.renew()
    process = server.start(scenario, trial.world, confines=Confines(stopped=True))
    wait_for(process, "State:\tT")
    tracer = subprocess.Popen(
        ["strace", "--quiet=all", f"--output={log}", *options, f"--attach={process}"]  # noqa: S607 - the one on the path
    )
    wait_for(process, f"TracerPid:\t{tracer.pid}")
    os.kill(process, signal.SIGCONT)
    outcome = server.outcome()
    tracer.wait()
    return outcome


@cache
def can_attach() -> bool:
    """Say whether strace is there and may follow a process that it has not started."""
    strace = shutil.which("strace")
    if strace is None:
        return False
    with subprocess.Popen(["sleep", "60"]) as sleeper:  # noqa: S607 - any one will do
        command = [strace, "--quiet=all", "--output=/dev/null", f"--attach={sleeper.pid}"]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as tracer:
            try:
                wait_for(sleeper.pid, f"TracerPid:\t{tracer.pid}")
            except TimeoutError:
                return False
            finally:
                sleeper.kill()
    return True


def wait_for(process: int, line: str) -> None:
    """Wait until the kernel says something of a process.

    Raises:
        TimeoutError: It does not within five seconds.
    """
    end = time.monotonic() + 5
    while line not in Path(f"/proc/{process}/status").read_text():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.001)
