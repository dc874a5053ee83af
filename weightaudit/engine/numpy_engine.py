"""The default engine: a few threads, one read of every byte, flat memory."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from weightaudit.catalog import Defect, Flaw, Region
from weightaudit.checksums import join
from weightaudit.engine.plan import Run, plan, runs
from weightaudit.engine.scanning import Folds, Part, Scanned, Scanner, Subject, TimedScanner
from weightaudit.statistics import Statistic, Stats

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
        workers: Threads; by default one per CPU that the process may use, at most 8.
        progress: Called with the bytes that were read since the last call.
        compiled: Whether compiled kernels are used, if there are any.
        profile: Told what took how long.
    """
    gather = _Gather(subjects, regions)
    threads = workers or min(8, available_cpus())
    local = threading.local()

    def scan(run: Run) -> list[Scanned]:
        scanner: Scanner | None = getattr(local, "scanner", None)
        if scanner is None:
            if profile is None:
                scanner = Scanner(files, subjects, compiled=compiled)
            else:
                scanner = TimedScanner(files, subjects, profile, compiled=compiled)
            local.scanner = scanner
        return scanner.scan(run)

    tasks = runs(plan([subject.entry for subject in subjects], regions))
    for run, results in _in_order(scan, tasks, threads):
        for scanned in results:
            gather.take(scanned)
        if progress is not None:
            progress(run.weight)
    return gather.finish()


def available_cpus() -> int:
    """Return how many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _in_order(
    scan: Callable[[Run], list[Scanned]], tasks: Iterator[Run], threads: int
) -> Iterator[tuple[Run, list[Scanned]]]:
    """Scan in parallel and yield results in order, never more than a few of them waiting."""
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[tuple[Run, Future[list[Scanned]]]] = deque()
        try:
            for run in tasks:
                waiting.append((run, pool.submit(scan, run)))
                if len(waiting) >= 4 * threads:
                    done, future = waiting.popleft()
                    yield done, future.result()
            while waiting:
                done, future = waiting.popleft()
                yield done, future.result()
        finally:
            for _, future in waiting:
                future.cancel()


class _Gather:
    """Merges the results of units, which come in the order of the files."""

    def __init__(self, subjects: Sequence[Subject], regions: Sequence[Region]) -> None:
        self._subjects = subjects
        self._regions = regions
        self._folds: dict[int, Folds] = {}
        self._results: dict[int, dict[Statistic[Any], Any]] = {}
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
        if part.results:
            self._results[unit.tensor] = part.results
        have = self._folds.setdefault(unit.tensor, part.folds)
        if have is not part.folds:
            for statistic, fold in part.folds.items():
                have[statistic].merge(fold)

    def finish(self) -> Measurement:
        result = Measurement(failures=self._failures)
        for number, folds in sorted(self._folds.items()):
            name = self._subjects[number].info.name
            if name not in self._failures:
                results = self._results.get(number, {})
                for statistic, fold in folds.items():
                    results[statistic] = fold.finish()
                result.stats[name] = Stats(results)
        result.defects.extend(self._checksum_defects())
        return result

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
