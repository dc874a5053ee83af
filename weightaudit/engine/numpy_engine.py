"""The default engine: a few threads, one read of every byte, flat memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from weightaudit.catalog import Defect, Flaw, Region
from weightaudit.checksums import join
from weightaudit.engine.folds import Folds, Tables
from weightaudit.engine.plan import Run, plan, runs
from weightaudit.engine.scanning import Part, Scanned, Scanner, Subject, TimedScanner
from weightaudit.engine.threads import thread_count
from weightaudit.statistics import Stats

if TYPE_CHECKING:
    from weightaudit.profiling import Profile
    from weightaudit.source import Files

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Measurement:
    """What one pass over a model gives.

    Attributes:
        stats: Finished statistics, by tensor name.
        failures: Tensors that could not be read whole, with the reason.
        defects: Checksums that do not match.
    """

    stats: dict[str, Stats] = field(default_factory=dict[str, Stats])
    failures: dict[str, str] = field(default_factory=dict[str, str])
    defects: list[Defect] = field(default_factory=list[Defect])


def measure(
    files: Files,
    subjects: Sequence[Subject],
    regions: Sequence[Region] = (),
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    compiled: bool = True,
    profile: Profile | None = None,
) -> Measurement:
    """Read every byte of the subjects once and fold it into their statistics.

    Results of stretches are merged in the order of the tensor, so they are the same bits in
    every run, whatever the number of workers.

    Args:
        files: Open files of the model.
        subjects: Tensors to be measured.
        regions: Byte ranges whose checksum is verified on the way.
        workers: Threads at most; by default one per CPU that the process may use, at most 8.
        progress: Called with the bytes that were read since the last call.
        compiled: Whether compiled kernels are used, if there are any.
        profile: Told what took how long.
    """
    gather = _Gather(subjects, regions)

    def take(run: Run, results: list[Scanned]) -> None:
        for scanned in results:
            gather.take(scanned)
        if progress is not None:
            progress(run.weight)

    tasks = list(runs(plan([subject.entry for subject in subjects], regions)))
    # A thread with nothing to do costs more than all that a small model, or a known one, takes.
    threads = min(thread_count(workers), max(1, len(tasks)))
    line = _Line(tasks, take, 4 * threads)

    def work() -> None:
        if profile is None:
            line.work(Scanner(files, subjects, compiled=compiled).scan)
        else:
            line.work(TimedScanner(files, subjects, profile, compiled=compiled).scan)

    with ThreadPoolExecutor(threads) as pool:
        others = [pool.submit(work) for _ in range(threads - 1)]
        work()
    for other in others:
        other.result()
    return gather.finish()


class _Line:
    """Gives runs to workers, and what they bring back to `take`, in the order of the runs.

    The thread that calls is a worker too: one that only waited for the others would be woken for every
    run, and keep them waiting for Python's lock.

    Args:
        tasks: The runs.
        take: Called with each run and its results, by one thread at a time.
        most: How many runs may be under way, or waiting for one before them.
    """

    def __init__(self, tasks: Iterable[Run], take: Callable[[Run, list[Scanned]], None], most: int) -> None:
        self._tasks = enumerate(tasks)
        self._take = take
        self._most = most
        self._waiting: dict[int, tuple[Run, list[Scanned]]] = {}
        self._next = 0
        self._stopped = False
        self._moved = threading.Condition()

    def work(self, scan: Callable[[Run], list[Scanned]]) -> None:
        """Scan runs until none is left, or another worker has failed."""
        try:
            while (task := self._given()) is not None:
                number, run = task
                self._bring(number, run, scan(run))
        finally:
            with self._moved:
                self._stopped = True
                self._moved.notify_all()

    def _given(self) -> tuple[int, Run] | None:
        with self._moved:
            task = None if self._stopped else next(self._tasks, None)
            if task is not None:
                self._moved.wait_for(lambda: self._stopped or task[0] < self._next + self._most)
            return task

    def _bring(self, number: int, run: Run, results: list[Scanned]) -> None:
        with self._moved:
            self._waiting[number] = run, results
            while self._next in self._waiting:
                self._take(*self._waiting.pop(self._next))
                self._next += 1
            self._moved.notify_all()


class _Gather:
    """Merges the results of units, which come in the order of the files."""

    def __init__(self, subjects: Sequence[Subject], regions: Sequence[Region]) -> None:
        self._subjects = subjects
        self._regions = regions
        self._stats: list[Stats | None] = [None] * len(subjects)
        self._folds: dict[int, Folds] = {}
        self._tensor_sums: dict[int, int] = {}
        self._region_sums: dict[int, int] = {}
        self._broken: set[int] = set()
        self._failures: dict[str, str] = {}

    def take(self, scanned: Scanned) -> None:
        if scanned.failure:
            self._broken.add(scanned.region)
            if not scanned.parts:
                self._failures.setdefault("", scanned.failure)
        elif scanned.region >= 0:
            kind = self._regions[scanned.region].checksum.kind
            before = self._region_sums.get(scanned.region, 0)
            self._region_sums[scanned.region] = join(kind, before, scanned.checksum, scanned.nbytes)
        for part in scanned.parts:
            self._merge(part)

    def _merge(self, part: Part) -> None:
        unit = part.unit
        if part.failure:
            self._failures.setdefault(self._subjects[unit.tensor].info.name, part.failure)
            return
        if unit.checksum and unit.region < 0:
            before = self._tensor_sums.get(unit.tensor)
            self._tensor_sums[unit.tensor] = (
                part.checksum
                if before is None
                else join(unit.checksum, before, part.checksum, unit.extent.nbytes if unit.extent else 0)
            )
        if isinstance(part.found, Stats):
            self._stats[unit.tensor] = part.found
        elif unit.tensor not in self._folds:
            self._folds[unit.tensor] = part.found or []
        else:
            for (_, fold), (_, other) in zip(self._folds[unit.tensor], part.found or [], strict=True):
                fold.merge(other)

    def finish(self) -> Measurement:
        tables = Tables()
        for number, folds in self._folds.items():
            if self._subjects[number].info.name not in self._failures:
                self._stats[number] = tables.finished(self._subjects[number].statistics, folds)
        found = zip(self._subjects, self._stats, strict=True)
        stats = {subject.info.name: stats for subject, stats in found if stats is not None}
        return Measurement(stats, self._failures, list(self._checksum_defects()))

    def _checksum_defects(self) -> Iterator[Defect]:
        for number, value in sorted(self._tensor_sums.items()):
            subject = self._subjects[number]
            stored = subject.entry.checksum
            if stored and subject.info.name not in self._failures and stored.value != value:
                message = (
                    f"The stored bytes do not match their {stored.kind.upper()} checksum "
                    f"({value:08x}, expected {stored.value:08x}): the file was damaged after it was written."
                )
                yield Defect(Flaw.CHECKSUM, message, subject.info.name)
        for number, region in enumerate(self._regions):
            value = self._region_sums.get(number, 0)
            if number not in self._broken and value != region.checksum.value:
                message = (
                    f"{region.label} does not match its {region.checksum.kind.upper()} checksum "
                    f"({value:08x}, expected {region.checksum.value:08x}): "
                    "it was damaged after it was written."
                )
                yield Defect(Flaw.CHECKSUM, message)
