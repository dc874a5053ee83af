"""Measurements, each beside what it is compared to, and what they say of a goal."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks.timing import CommandError, Run, run_job, run_python

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CHECK = ("-m", "weightaudit", "check", "--no-progress", "--no-cache", "--max-tensors=1000000")
"""The command that is measured. With the cache, only its first run would read."""

WALL, CPU = 0, 1

Times = list[list[float]]
"""Of every round: wall seconds, and seconds of processor time."""


@dataclass(frozen=True, slots=True)
class Goal:
    """A goal and what was measured.

    Attributes:
        what: What is measured, and of what.
        limit: The goal: at most that much.
        unit: Of goal and measurement; empty for ratios.
        measured: By the clock on the wall, unless `what` says otherwise.
        cpu: The same by processor time; None where that says nothing.
        detail: The figures behind it.
        group: Goals of one group are bars of one picture.
        label: Name of the bar.
    """

    what: str
    limit: float
    unit: str
    measured: float
    cpu: float | None
    detail: str
    group: str = ""
    label: str = ""

    @property
    def is_met(self) -> bool:
        """Whether the measurement is at most the goal."""
        return self.measured <= self.limit


@dataclass(frozen=True, slots=True)
class Usual:
    """A model looked at the usual way, beside its audit; times are medians, in seconds.

    Attributes:
        label: The format.
        megabytes: Size of the tensors.
        seconds: Loading and looking, imports left out.
        wall: The whole process of the usual way.
        peak: Its peak memory in bytes.
        audit: The audit, imports left out.
        check: The whole process of ``weightaudit check``.
        check_peak: Its peak memory in bytes.
        ratio: Median over the rounds of the ratio of both processes.
    """

    label: str
    megabytes: float
    seconds: float
    wall: float
    peak: int
    audit: float
    check: float
    check_peak: int
    ratio: float


def measure_bound(path: Path, job: str, rounds: int) -> dict[str, Any]:
    """Audit a model beside what the audit cannot be faster than; see `benchmarks.jobs`."""
    run_job("read", path)  # This first read brings the files into the page cache.
    return run_job(job, path, "--rounds", str(rounds))[0]


def bound_goal(figures: dict[str, Any], limit: float, what: str, group: str, label: str) -> Goal:
    """Compare an audit with reading or inflating the same bytes."""
    audit, reference = figures["audit"], figures["reference"]
    detail = (
        f"{_least(audit) * 1e3:.0f} / {_least(reference) * 1e3:.0f} ms; "
        f"{figures['bytes'] / _least(audit) / 1e9:.1f} GB/s on {figures['threads']} threads"
    )
    ratios = _ratio(audit, reference), _ratio(audit, reference, CPU)
    return Goal(what, limit, "", *ratios, detail, group, label)


def process_goals(path: Path, rounds: int, label: str) -> list[Goal]:
    """Measure the whole process for a model of 100 MB: processor time and peak memory."""
    runs = check_runs(path, rounds)
    cpu, peak = min(run.cpu for run in runs), max(run.peak for run in runs)
    detail = f"{min(run.wall for run in runs):.2f} s on the wall; best of {rounds}"
    return [
        Goal(f"{label}: whole process, CPU seconds", 0.5, "s", cpu, cpu, detail),
        Goal(f"{label}: whole process, peak memory", 100, "MB", peak / 1e6, None, f"largest of {rounds}"),
    ]


def startup_goal(path: Path, rounds: int) -> Goal:
    """Measure the check of a small model beside the import of numpy and h5py."""
    checks, imports = _processes([*CHECK, str(path)], ["-c", "import numpy, h5py"], rounds)
    detail = f"{_typical(checks) * 1e3:.0f} / {_typical(imports) * 1e3:.0f} ms"
    what = 'check of a 100 KB `.keras` / `python -c "import numpy, h5py"`'
    return Goal(what, 1.5, "", _ratio(checks, imports), _ratio(checks, imports, CPU), detail)


def tensors_goal(path: Path, count: int, rounds: int, label: str) -> Goal:
    """Measure what a tensor costs a whole process beyond reading the files."""
    reads = run_job("read", path, "--rounds", "3")[0]["read"]
    runs = check_runs(path, rounds)
    micro = 1e6 / count
    whole, peak = median(run.wall for run in runs), max(run.peak for run in runs)
    wall = (whole - _least(reads)) * micro
    cpu = (median(run.cpu for run in runs) - _least(reads, CPU)) * micro
    detail = f"{whole:.2f} s, of which reading {_least(reads):.3f} s; {peak / 1e6:.0f} MB"
    return Goal(f"{count:,} small tensors, {label}: per tensor, beyond reading", 30, "µs", wall, cpu, detail)


def again_goal(path: Path, rounds: int, label: str) -> Goal:
    """Measure a second audit with other thresholds, inside the process."""
    figures = run_job("again", path, "--rounds", str(rounds))[0]
    first, second = figures["first"], figures["second"]
    wall, cpu = _typical(second) * 1e3, _typical(second, CPU) * 1e3
    detail = f"{_ratio(second, first):.2f} of the first audit ({_typical(first) * 1e3:.0f} ms)"
    return Goal(f"second audit with other thresholds, {label}", 100, "ms", wall, cpu, detail)


def measure_usual(path: Path, rounds: int, label: str) -> Usual:
    """Measure the check and the usual way in turn, as whole processes.

    Raises:
        CommandError: One of them failed, or the usual way saw fewer tensors.
    """
    audit = measure_bound(path, "audit", rounds)
    pairs: list[tuple[dict[str, Any], Run, Run]] = []
    for _ in range(rounds):
        check = run_python(*CHECK, str(path))
        pairs.append((*run_job("usual", path), check))
    seen = pairs[0][0]["tensors"]
    if seen < audit["tensors"]:
        raise CommandError(f"Of {audit['tensors']} tensors of {path} the usual way saw {seen}.")
    return Usual(
        label,
        audit["bytes"] / 1e6,
        median(figures["usual"][0][WALL] for figures, _, _ in pairs),
        median(usual.wall for _, usual, _ in pairs),
        max(usual.peak for _, usual, _ in pairs),
        _typical(audit["audit"]),
        median(check.wall for _, _, check in pairs),
        max(check.peak for _, _, check in pairs),
        median(usual.wall / check.wall for _, usual, check in pairs),
    )


def check_runs(path: Path, rounds: int) -> list[Run]:
    """Run ``weightaudit check`` on a model, once uncounted, as it compiles and caches."""
    run_python(*CHECK, str(path))
    return [run_python(*CHECK, str(path)) for _ in range(rounds)]


def _processes(command: Sequence[str], other: Sequence[str], rounds: int) -> tuple[Times, Times]:
    run_python(*command)  # The first run compiles bytecode and fills the page cache.
    pairs = [(run_python(*command), run_python(*other)) for _ in range(rounds)]
    return [[one.wall, one.cpu] for one, _ in pairs], [[two.wall, two.cpu] for _, two in pairs]


def _ratio(times: Times, others: Times, clock: int = WALL) -> float:
    """Return the median over the rounds of the ratio of two times of the same round."""
    return median(one[clock] / other[clock] for one, other in zip(times, others, strict=True))


def _least(times: Times, clock: int = WALL) -> float:
    return min(one[clock] for one in times)


def _typical(times: Times, clock: int = WALL) -> float:
    return median(one[clock] for one in times)
