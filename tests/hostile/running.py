"""Audits a hostile input in a process of its own, and tells what came of it and what it cost."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.hostile.canary import make_canary
from tests.hostile.case import CANARY, Case, Outcome
from tests.hostile.watching import CAN_WATCH, Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CPU_SECONDS = 5.0
"""Processor time that any input may take; the clock on the wall depends on what else runs."""

PEAK_BYTES = 300_000_000
WALL_SECONDS = 60.0
"""When a process counts as hanging, and is killed."""

_LAUNCHER = Path(__file__).with_name("launch.py")
_ROOT = Path(__file__).parents[2]
_UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200e\u200f\ufeff]")
"""What could command a terminal or hide text in one."""

_EXITS = {
    Outcome.EITHER: {0, 3},
    Outcome.UNKNOWN: {2},
    Outcome.REFUSED: {3},
    Outcome.FOUND: {0, 1},
    Outcome.READ: {0},
}


@dataclass(frozen=True, slots=True)
class Result:
    """What came of an input.

    Attributes:
        status: Exit code; the negative number of a signal.
        wall: Seconds that it took.
        cpu: Seconds of processor time, of all processes.
        peak: Bytes of the largest process at its peak.
        report: What was written to stdout.
        errors: What was written to stderr.
        touched: Files beside the model that were opened or changed.
        changed: Files of the model that were written, made or removed.
    """

    status: int
    wall: float
    cpu: float
    peak: int
    report: str
    errors: str
    touched: tuple[str, ...]
    changed: tuple[str, ...]

    def faults(self, case: Case) -> Iterator[str]:
        """Yield what is not as it has to be, in words."""
        if self.status not in _EXITS[case.outcome]:
            yield f"exit code {self.status}, where {case.outcome} is expected"
        if not re.search(case.says, self.report + self.errors):
            yield f"the report does not say {case.says!r}"
        if case.outcome is Outcome.FOUND and not re.search(r"\bWA\d{3}\b", self.report):
            yield "there is no finding"
        if "Traceback" in self.report + self.errors:
            yield "there is a traceback"
        if self.cpu > CPU_SECONDS or self.wall > WALL_SECONDS:
            yield f"{self.cpu:.1f} s of processor time in {self.wall:.1f} s"
        if self.peak > PEAK_BYTES:
            yield f"{self.peak / 1e6:.0f} MB at the peak"
        if self.touched or self.changed:
            yield f"touched {self.touched}, changed {self.changed}"
        # With further options the report may be commands for a CI service, which begin so.
        commands = None if case.options else re.search("^::", self.report, re.MULTILINE)
        if _UNSAFE.search(self.report + self.errors) or commands:
            yield "a name in the report could command a terminal or a CI service"


def run(case: Case, folder: Path) -> Result:
    """Make an input below an empty folder, audit it, and tell what came of it."""
    make_canary(folder / CANARY)
    home = folder / "model"
    home.mkdir()
    target = case.make(home)
    before = {} if case.during else _state(home)
    with Watch(folder / CANARY) if CAN_WATCH else nullcontext() as watch:
        figures, report, errors = _audited(case, target, folder)
        touched = watch.touched() if watch else []
    after = {} if case.during else _state(home)
    changed = sorted(name for name in before | after if before.get(name) != after.get(name))
    return Result(
        int(figures["status"]),
        figures["wall"],
        figures["cpu"],
        int(figures["peak"]),
        report,
        errors,
        tuple(touched),
        tuple(changed),
    )


def _audited(case: Case, target: Path, folder: Path) -> tuple[dict[str, float], str, str]:
    """Run the audit of a path, and return figures, stdout and stderr."""
    reader, writer = os.pipe()
    command = [sys.executable, "-I", "-S", str(_LAUNCHER), str(writer), str(WALL_SECONDS)]
    audit = [sys.executable, "-m", "weightaudit", "check", "--no-cache", *case.options, str(target)]
    done = threading.Event()
    meddler = threading.Thread(target=_meddle, args=(case.during, target, done))
    meddler.start()
    try:
        ended = subprocess.run(
            [*command, *audit],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            pass_fds=[writer],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": f"{_ROOT}:{_ROOT / 'rules'}", "PYTHONSAFEPATH": "1"},
        )
    finally:
        os.close(writer)
        done.set()
        meddler.join()
    with os.fdopen(reader, "rb") as pipe:
        figures: dict[str, float] = json.loads(pipe.read())
    return figures, ended.stdout.decode(), ended.stderr.decode()


def _meddle(during: Callable[[Path], None] | None, target: Path, done: threading.Event) -> None:
    """Change an input again and again until the audit is over."""
    while during is not None and not done.wait(0.001):
        during(target)


def _state(folder: Path) -> dict[str, tuple[int, int, int]]:
    """Return kind, size and time of last change of everything below a folder, by name."""
    found: dict[str, tuple[int, int, int]] = {}
    for path in folder.rglob("*"):
        status = path.lstat()
        found[str(path.relative_to(folder))] = status.st_mode, status.st_size, status.st_mtime_ns
    return found
