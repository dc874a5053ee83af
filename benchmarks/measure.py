"""The three measurements: speed, peak memory, start-up."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.timing import CHECKOUT, CommandError, run_job, run_python

if TYPE_CHECKING:
    from pathlib import Path

HEALTHY = str(CHECKOUT / "fixtures" / "models" / "healthy.keras")

PAIRS = {
    "check of a small model / import of numpy and h5py": (
        ("-m", "weightaudit", "check", HEALTHY),
        ("-c", "import numpy, h5py"),
    ),
    "`weightaudit --help` / bare Python": (("-m", "weightaudit", "--help"), ("-c", "pass")),
}
"""Commands whose start-up is compared, each with what it is compared to."""


@dataclass(frozen=True, slots=True)
class Round:
    """One measurement of a model's audit and of what it is compared to; times are seconds.

    Attributes:
        audit: The audit, imports left out.
        read_one: Reading the files once on one thread.
        read_all: The same on as many threads as the audit uses.
        usual: The usual way, imports left out.
        check: The whole process ``weightaudit check``.
        check_cpu: Processor time of that process.
        usual_process: The whole process of the usual way.
    """

    audit: float
    read_one: float
    read_all: float
    usual: float
    check: float
    check_cpu: float
    usual_process: float


@dataclass(frozen=True, slots=True)
class Speed:
    """All rounds for one model.

    Attributes:
        nbytes: Bytes of its tensors.
        tensors: Number of its tensors.
        threads: How many threads the audit uses.
        rounds: At least one.
    """

    nbytes: int
    tensors: int
    threads: int
    rounds: tuple[Round, ...]

    def best(self, time: str) -> float:
        """Return the least of a time over the rounds."""
        return min(self._times(time))

    def typical(self, time: str) -> float:
        """Return the median of a time over the rounds."""
        return median(self._times(time))

    def ratio(self, time: str, other: str) -> float:
        """Return the median over the rounds of the ratio of two times of the same round."""
        pairs = zip(self._times(time), self._times(other), strict=True)
        return median(one / two for one, two in pairs)

    def _times(self, name: str) -> list[float]:
        return [getattr(one, name) for one in self.rounds]


@dataclass(frozen=True, slots=True)
class Memory:
    """Peak memory of the audit of one model, in bytes.

    Attributes:
        own: Of the process that audits.
        child: Upper bound for the process that parses HDF5 metadata; 0 if there was none.
    """

    own: int
    child: int


@dataclass(frozen=True, slots=True)
class Startup:
    """Wall time of a command, in seconds, beside that of another.

    Attributes:
        best: Best time of the command.
        typical: Median time of the command.
        other: Median time of what it is compared to.
        ratio: Median over the rounds of the ratio of both.
    """

    best: float
    typical: float
    other: float
    ratio: float


def measure_speed(path: Path, rounds: int) -> Speed:
    """Measure the audit, the plain reads and the usual way in turn, so that noise hits them alike.

    Raises:
        CommandError: One of them failed, or ``weightaudit check`` did not pass the model.
    """
    run_job("read-one", path)  # This first read brings the files into the page cache.
    facts = run_job("audit", path)
    threads = run_job("read-all", path)["threads"]
    done = tuple(_round(path) for _ in range(rounds))
    return Speed(int(facts["bytes"]), int(facts["tensors"]), int(threads), done)


def _round(path: Path) -> Round:
    one, every = run_job("read-one", path), run_job("read-all", path)
    audit = run_job("audit", path)
    check = run_python("-m", "weightaudit", "check", "--no-progress", str(path))
    usual = run_job("usual", path)
    if usual["tensors"] < audit["tensors"]:
        raise CommandError(f"Of {audit['tensors']} tensors of {path} the usual way saw {usual['tensors']}.")
    if one["bytes"] != every["bytes"]:
        raise CommandError(f"{path} has {one['bytes']} bytes on one thread and {every['bytes']} on several.")
    times = (audit["seconds"], one["seconds"], every["seconds"], usual["seconds"])
    return Round(*times, check.wall, check.cpu, usual["wall"])


def measure_memory(path: Path) -> Memory:
    """Measure the peak memory of one audit.

    Raises:
        CommandError: The audit failed.
    """
    figures = run_job("memory", path)
    return Memory(int(figures["own"]), int(figures["child"]))


def measure_startup(rounds: int) -> dict[str, Startup]:
    """Measure the pairs of commands in turn.

    Raises:
        CommandError: A command failed.
    """
    results: dict[str, Startup] = {}
    for label, (command, other) in PAIRS.items():
        run_python(*command)  # The first run compiles bytecode and fills the page cache.
        walls = [(run_python(*command).wall, run_python(*other).wall) for _ in range(rounds)]
        own = [wall for wall, _ in walls]
        ratios = [wall / other_wall for wall, other_wall in walls]
        others = [other_wall for _, other_wall in walls]
        results[label] = Startup(min(own), median(own), median(others), median(ratios))
    return results
