"""Runs commands in processes of their own and measures them from outside.

The process that calls this must stay small, and so imports no numpy: Linux counts what a process
occupied before it started the measured program to the peak memory of that program.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Sequence

CHECKOUT = Path(__file__).resolve().parents[1]


class CommandError(Exception):
    """A measured command failed."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a command.

    Attributes:
        wall: Seconds from the start of the process to its end.
        cpu: Seconds of processor time, its children's included.
        peak: Bytes of memory that were resident at most, in it or in the largest of its children.
        output: What it wrote to its standard output.
    """

    wall: float
    cpu: float
    peak: int
    output: str


def run_python(*arguments: str) -> Run:
    """Run this Python in the checkout and measure it.

    Raises:
        CommandError: It exited with another code than 0.
    """
    return run_command([sys.executable, *arguments])


def run_job(job: str, path: Path, *arguments: str) -> tuple[dict[str, Any], Run]:
    """Run one of `benchmarks.jobs`, and return its figures and those of the whole process.

    Raises:
        CommandError: It failed.
    """
    run = run_python("-m", "benchmarks.jobs", job, str(path), *arguments)
    return cast("dict[str, Any]", json.loads(run.output.splitlines()[-1])), run


def settle(folder: Path) -> None:
    """Bring new files to the disk and out of the page cache.

    Else the disk is busy while they are measured; and how fast cached bytes are read would depend on
    how they were written, up to three times: the kernel caches small writes in small pages.
    """
    os.sync()
    if hasattr(os, "posix_fadvise"):
        for file in (path for path in folder.rglob("*") if path.is_file()):
            with file.open("rb") as stream:
                os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def run_command(command: Sequence[str], accepted: Sequence[int] = (0,)) -> Run:
    """Run a command in the checkout and measure it.

    Raises:
        CommandError: It exited with a code that is not accepted, or could not be started.
    """
    with tempfile.TemporaryFile("w+", errors="replace") as errors:
        begin = perf_counter()
        try:
            process = subprocess.Popen(
                command, cwd=CHECKOUT, env=_environment(), stdout=subprocess.PIPE, stderr=errors, text=True
            )
        except OSError as error:
            raise CommandError(f"{command[0]} could not be started: {error}") from error
        with process:
            output = process.stdout.read() if process.stdout else ""
            _, status, usage = os.wait4(process.pid, 0)
            wall = perf_counter() - begin
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in accepted:
            errors.seek(0)
            tail = f"{output[-500:]}{errors.read()[-1500:]}".strip()
            raise CommandError(f"{' '.join(command)} exited with {process.returncode}: {tail}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit, output)


def _environment() -> dict[str, str]:
    # Without compiled bytecode every start would be a compilation.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    # What is compared must not be held up by messages, nor by telling somebody that it was started.
    return environment | {"TF_CPP_MIN_LOG_LEVEL": "3", "DO_NOT_TRACK": "1", "NO_ANALYTICS": "1"}
