"""The default engine: numpy on a few threads, one read of every byte, flat memory."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.catalog import Defect, Entry, Flaw, Region
from weightaudit.checksums import checksum, join
from weightaudit.engine.plan import Unit, batches, plan
from weightaudit.engine.reading import PIECE_BYTES, Bytes, read_pieces
from weightaudit.errors import ReadError
from weightaudit.statistics import Block, Fold, Statistic, Stats
from weightaudit.statistics.block import Scratch
from weightaudit.statistics.sums import Sums, sums_for

if TYPE_CHECKING:
    from weightaudit.engine.decoding import Decoder
    from weightaudit.source import Files
    from weightaudit.tensor import TensorInfo

BLOCK_ELEMENTS = 1 << 19
"""Elements of one block, 2 MiB of float32.

Each numpy call hands Python's lock over, and longer calls do so less often: with two workers,
blocks of 1 MiB gave 8 GB/s and blocks of 2 MiB 11 (float32 kernels, default rules, best of six).
"""

Folds = dict[Statistic[Any], Fold[Any]]
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Subject:
    """A tensor to be measured: what it is, where it is, how it is decoded, what is wanted of it."""

    info: TensorInfo
    entry: Entry
    decoder: Decoder
    statistics: tuple[Statistic[Any], ...]


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


@dataclass(frozen=True, slots=True)
class _Done:
    """What a worker brings back from one unit."""

    unit: Unit
    folds: Folds
    checksum: int = 0
    failure: str = ""


def measure(
    files: Files,
    subjects: Sequence[Subject],
    regions: Sequence[Region] = (),
    *,
    workers: int | None = None,
    progress: Progress | None = None,
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
    """
    units = plan([subject.entry for subject in subjects], regions)
    gather = _Gather(subjects, regions)
    threads = workers or min(8, available_cpus())
    sums = sums_for(sum(unit.weight for unit in units))
    with np.errstate(all="ignore"), ThreadPoolExecutor(threads) as pool:
        work = partial(_run_batch, files, subjects, threading.local(), sums)
        for results in _in_order(pool, work, batches(units), ahead=4 * threads):
            for done in results:
                gather.take(done)
                if progress is not None:
                    progress(done.unit.weight)
    return gather.finish()


def available_cpus() -> int:
    """Return how many CPUs this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _in_order(
    pool: ThreadPoolExecutor,
    work: Callable[[tuple[Unit, ...]], list[_Done]],
    tasks: Iterator[tuple[Unit, ...]],
    ahead: int,
) -> Iterator[list[_Done]]:
    """Run tasks in parallel and yield their results in order, never more than `ahead` of them waiting."""
    waiting: deque[Future[list[_Done]]] = deque()
    try:
        for task in tasks:
            waiting.append(pool.submit(work, task))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _run_batch(
    files: Files, subjects: Sequence[Subject], local: threading.local, sums: Sums, batch: tuple[Unit, ...]
) -> list[_Done]:
    scratch: Scratch | None = getattr(local, "scratch", None)
    if scratch is None:
        scratch = local.scratch = Scratch(sums)
    with np.errstate(all="ignore"):
        return [_run(files, subjects, scratch, unit) for unit in batch]


def _run(files: Files, subjects: Sequence[Subject], scratch: Scratch, unit: Unit) -> _Done:
    try:
        if unit.tensor < 0:
            return _Done(unit, {}, _checksum_gap(files, unit, scratch))
        subject = subjects[unit.tensor]
        folds: Folds = {statistic: statistic.start(subject.decoder.info) for statistic in subject.statistics}
        return _Done(unit, folds, _fold(files, subject, unit, folds, scratch))
    except ReadError as error:
        return _Done(unit, {}, failure=str(error))


def _fold(files: Files, subject: Subject, unit: Unit, folds: Folds, scratch: Scratch) -> int:
    value = 0
    take = partial(_buffer, scratch)
    for first, raw in read_pieces(files, subject.entry, unit.start, unit.count, take):
        if unit.checksum:
            value = checksum(unit.checksum, raw, value)
        for start, values in subject.decoder.blocks(first, raw, BLOCK_ELEMENTS):
            block = Block(values, start, scratch)
            for fold in folds.values():
                fold.update(block)
    return value


def _checksum_gap(files: Files, unit: Unit, scratch: Scratch) -> int:
    if unit.extent is None:
        return 0
    value = 0
    for place in range(0, unit.extent.nbytes, PIECE_BYTES):
        buffer = _buffer(scratch, min(PIECE_BYTES, unit.extent.nbytes - place))
        files[unit.extent.file].read_into(unit.extent.offset + place, buffer.data)
        value = checksum(unit.checksum, buffer, value)
    return value


def _buffer(scratch: Scratch, size: int) -> Bytes:
    return scratch.take("piece", size, np.uint8)


class _Gather:
    """Merges the results of units, which come in the order of the files."""

    def __init__(self, subjects: Sequence[Subject], regions: Sequence[Region]) -> None:
        self._subjects = subjects
        self._regions = regions
        self._folds: dict[int, Folds] = {}
        self._tensor_sums: dict[int, int] = {}
        self._region_sums: dict[int, int] = {}
        self._broken: set[int] = set()
        self._failures: dict[str, str] = {}

    def take(self, done: _Done) -> None:
        unit = done.unit
        if done.failure:
            name = self._subjects[unit.tensor].info.name if unit.tensor >= 0 else ""
            self._failures.setdefault(name, done.failure)
            self._broken.add(unit.region)
            return
        size = unit.extent.nbytes if unit.extent else 0
        if unit.region >= 0:
            kind = self._regions[unit.region].checksum.kind
            before = self._region_sums.get(unit.region, 0)
            self._region_sums[unit.region] = join(kind, before, done.checksum, size)
        elif unit.checksum:
            before = self._tensor_sums.get(unit.tensor, 0)
            self._tensor_sums[unit.tensor] = join(unit.checksum, before, done.checksum, size)
        if unit.tensor >= 0:
            self._merge(unit.tensor, done.folds)

    def _merge(self, tensor: int, folds: Folds) -> None:
        have = self._folds.setdefault(tensor, folds)
        if have is not folds:
            for statistic, fold in folds.items():
                have[statistic].merge(fold)

    def finish(self) -> Measurement:
        result = Measurement(failures=self._failures)
        for number, folds in sorted(self._folds.items()):
            name = self._subjects[number].info.name
            if name not in self._failures:
                result.stats[name] = Stats({statistic: fold.finish() for statistic, fold in folds.items()})
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
