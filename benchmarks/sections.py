"""What one run measures, section by section: one model at a time is written, measured and removed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.formats import DTYPES, FLOAT32, HALF, MANY, PACKED, USUAL
from benchmarks.measure import (
    CHECK,
    Goal,
    again_goal,
    bound_goal,
    check_runs,
    measure_bound,
    measure_usual,
    process_goals,
    startup_goal,
    tensors_goal,
)
from benchmarks.others import TOOLS, environment, measure_other
from benchmarks.results import Peak, Results
from benchmarks.timing import run_python, settle

GIANT_MB = 4400
"""From this size on, models whose memory is measured have one tensor of 4 GiB."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured, and how large it is.

    Attributes:
        sections: Names of `SECTIONS`.
        formats: Formats that are measured.
        megabytes: Size of the large models.
        memory: Sizes in MB at which only memory is measured.
        tensors: Number of the small tensors; a fifth of them in HDF5.
        rounds: Repetitions of each figure; the usual ways take longest, and a fifth of them.
    """

    sections: tuple[str, ...]
    formats: tuple[str, ...]
    megabytes: int
    memory: tuple[int, ...]
    tensors: int
    rounds: int

    @property
    def largest(self) -> int:
        """Size in MB of the largest model."""
        return max(self.megabytes, 100, *self.memory)


@dataclass(frozen=True, slots=True)
class Bench:
    """A run under way: its plan, where models are written, what it found, and whom it tells."""

    plan: Plan
    folder: Path
    results: Results
    say: Callable[[str], None]

    @contextmanager
    def model(self, kind: str, size: float, *flags: str) -> Generator[Path]:
        """Write a model in a process of its own, and remove it at the end."""
        self.say(" ".join([kind, f"{size:g}", *flags]))
        home = self.folder / "model"
        home.mkdir()
        try:
            run = run_python("-m", "benchmarks.models", kind, f"{size}", str(home), *flags)
            settle(home)
            yield Path(run.output.splitlines()[-1])
        finally:
            shutil.rmtree(home)

    def chosen(self, kinds: Sequence[str]) -> list[str]:
        """Return those kinds that are to be measured, in their order."""
        return [kind for kind in kinds if kind in self.plan.formats]

    def remember_peak(self, path: Path, label: str, megabytes: float) -> None:
        """Measure the peak memory of a check, and keep it."""
        self.results.peaks.append(Peak(label, megabytes, check_runs(path, 1)[0].peak))


def reading(bench: Bench) -> None:
    """Compare audits of large float32 models with reading, and measure second audits and memory."""
    size = bench.plan.megabytes
    for kind in bench.chosen(tuple(FLOAT32)):
        label = FLOAT32[kind]
        with bench.model(kind, size) as path:
            figures = measure_bound(path, "audit", bench.plan.rounds)
            what = f"{_size(size)} float32 {label}: audit / `pread`"
            bench.results.goals.append(bound_goal(figures, 1.5, what, "reading", f"{label}, float32"))
            if kind == "keras":
                bench.results.goals.append(again_goal(path, bench.plan.rounds, f"{_size(size)} {label}"))
            bench.remember_peak(path, label, figures["bytes"] / 1e6)


def half(bench: Bench) -> None:
    """Compare audits of float16 and bfloat16 models with reading."""
    size = max(1, bench.plan.megabytes // 8)
    for dtype in DTYPES[1:]:
        for kind in bench.chosen(HALF):
            label = FLOAT32[kind]
            with bench.model(kind, size, "--dtype", dtype) as path:
                figures = measure_bound(path, "audit", bench.plan.rounds)
                what = f"{_size(size)} {dtype} {label}: audit / `pread`"
                bench.results.goals.append(bound_goal(figures, 2, what, "reading", f"{label}, {dtype}"))


def packed(bench: Bench) -> None:
    """Compare audits of packed models with inflating."""
    size = max(1, bench.plan.megabytes // 32)
    for kind in bench.chosen(tuple(PACKED)):
        with bench.model(kind, size) as path:
            figures = measure_bound(path, "unpack", bench.plan.rounds)
            what = f"{_size(size)} {PACKED[kind]}: audit / inflating once"
            bench.results.goals.append(bound_goal(figures, 1.5, what, "reading", PACKED[kind]))


def processes(bench: Bench) -> None:
    """Measure whole processes for ResNet50 and for a small model, and a second audit of ResNet50."""
    goals, rounds = bench.results.goals, bench.plan.rounds
    with bench.model("resnet50", 100) as path:
        goals += process_goals(path, rounds, "ResNet50 (102 MB, 320 tensors)")
        goals.append(again_goal(path, rounds, "ResNet50"))
    with bench.model("small", 0.1) as path:
        goals.append(startup_goal(path, 2 * rounds))


def many(bench: Bench) -> None:
    """Measure what small tensors cost beyond reading."""
    for kind, label in MANY.items():
        count = bench.plan.tensors // (5 if kind == "many-h5" else 1)
        with bench.model(kind, count) as path:
            bench.results.goals.append(tensors_goal(path, count, min(3, bench.plan.rounds), label))


def usual(bench: Bench) -> None:
    """Compare checks with the usual ways of looking at a model."""
    size = max(1, bench.plan.megabytes // 10)
    for kind in bench.chosen(tuple(USUAL)):
        with bench.model(kind, size) as path:
            one = measure_usual(path, -(-bench.plan.rounds // 5), USUAL[kind])
            bench.results.usual.append(one)
            bench.results.peaks.append(Peak(one.label, one.megabytes, one.check_peak))


def memory(bench: Bench) -> None:
    """Measure peak memory at other sizes; large models have one tensor of 4 GiB."""
    for size in bench.plan.memory:
        flags = ("--giant",) if size >= GIANT_MB else ()
        for kind in bench.chosen(("checkpoint", "keras", "h5")):
            with bench.model(kind, size, *flags) as path:
                bench.remember_peak(path, FLOAT32[kind], size)


def others(bench: Bench) -> None:
    """Run other tools on ResNet50 and on a checkpoint of the same size."""
    programs = environment(bench.folder / "environment", bench.say)
    for kind, label in (("resnet50", "ResNet50, `.keras`"), ("checkpoint", "102 MB checkpoint")):
        with bench.model(kind, 102) as path:
            for tool in TOOLS:
                if (tool.takes == "keras") == (kind == "resnet50"):
                    bench.say(tool.package)
                    bench.results.others.append(measure_other(tool, programs, path, label, CHECK))


SECTIONS: dict[str, Callable[[Bench], None]] = {
    "reading": reading,
    "half": half,
    "packed": packed,
    "processes": processes,
    "many": many,
    "usual": usual,
    "memory": memory,
    "others": others,
}
"""What can be measured, in this order."""

ON_REQUEST = ("memory", "others")
"""Sections that take many GB of disk, or install packages."""


def run(bench: Bench) -> None:
    """Measure all sections of the plan.

    Raises:
        CommandError: A measured command failed.
    """
    for name, section in SECTIONS.items():
        if name in bench.plan.sections:
            section(bench)
    if bench.results.peaks:
        largest = max(bench.results.peaks, key=lambda peak: peak.peak)
        size = max(peak.megabytes for peak in bench.results.peaks)
        what = f"peak memory, every model up to {_size(size)}"
        detail = f"largest: {largest.label}, {_size(largest.megabytes)}"
        bench.results.goals.append(Goal(what, 200, "MB", largest.peak / 1e6, None, detail))


def _size(megabytes: float) -> str:
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes:g} MB"
