"""Faults at the real system calls, by strace: nothing that Python or C does is missed."""

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
from typing import NamedTuple

from tests.faults.harness import Confines, ForkServer, Outcome, Trial

CHANGING = (
    "mkdir,mkdirat,rmdir,unlink,unlinkat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,"
    "chmod,fchmod,fchmodat,chown,fchown,fchownat,utimensat,setxattr,fsetxattr,fsync,fdatasync,ftruncate,"
    "fallocate,write,pwrite64,writev,pwritev,copy_file_range,sendfile,ioctl,openat"
)
"""System calls that change a file system; between two of them the disk stays as it is."""

_ONLY = {"openat": "O_CREAT", "ioctl": "CLONE"}
"""What is in the arguments of those calls of a name that change something, where others do not."""

_LINE = re.compile(r"^(\w+)\((.*)$", re.MULTILINE)
_NOT_FILES = re.compile(r"[0-9]+<(?:pipe|socket|/dev/(?!shm))|[12]<")
"""Descriptors of no file, and of the standard streams."""


class SystemCall(NamedTuple):
    """One call of a run.

    Attributes:
        name: Name of the system call.
        when: How many of that name there were up to it, as strace counts them.
    """

    name: str
    when: int


def system_calls(server: ForkServer, trial: Trial, log: Path) -> list[SystemCall]:
    """Return the calls with which a run changes files, in their order.

    An ``openat`` is one if it makes a file, an ``ioctl`` if it shares blocks, a ``write`` if it does not go
    to a pipe or to a standard stream.
    """
    under_strace(server, trial, log, "--decode-fds=path")
    count: Counter[str] = Counter()
    found: list[SystemCall] = []
    for name, arguments in _LINE.findall(log.read_text(errors="replace")):
        count[name] += 1
        wanted = _ONLY.get(name, "")
        if wanted in arguments and not _NOT_FILES.match(arguments):
            found.append(SystemCall(name, count[name]))
    return found


def under_strace(server: ForkServer, trial: Trial, log: Path, *options: str) -> Outcome:
    """Run a scenario in an old world under strace.

    Args:
        server: Runs it.
        trial: The scenario.
        log: File for what strace sees.
        options: Further options of strace, such as what goes wrong.
    """
    trial.renew()
    process = server.start(trial.name, trial.world, confines=Confines(stopped=True))
    wait_for(process, "State:\tT")
    tracer = subprocess.Popen(
        ["strace", "--quiet=all", f"--output={log}", f"--trace={CHANGING}", *options, f"--attach={process}"]  # noqa: S607 - the one on the path
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
        TimeoutError: It does not within twenty seconds.
    """
    end = time.monotonic() + 20
    while line not in Path(f"/proc/{process}/status").read_text():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.001)
