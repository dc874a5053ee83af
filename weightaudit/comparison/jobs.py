"""Reads pairs of tensors on a few threads: first whether any bit differs, then how much."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from weightaudit.comparison.channels import ChannelTally, tally_of
from weightaudit.comparison.steps import Operand, numbers_in_step, same_bits, stretches
from weightaudit.comparison.tally import Tally
from weightaudit.engine.plan import Unit, runs
from weightaudit.engine.threads import thread_count
from weightaudit.errors import ReadError
from weightaudit.statistics.block import Scratch

if TYPE_CHECKING:
    from weightaudit.comparison.pairing import Pair

Progress = Callable[[str, int, int], None]
"""Called with what is being done, the bytes that were read for it, and the bytes that there are."""

_Work = Callable[["Job", Unit, Scratch], "Tally | None"]


@dataclass(slots=True)
class Job:
    """Two tensors of one decoded shape whose bytes have to be read.

    Attributes:
        pair: What both are.
        one: The first of them.
        other: The second.
        differs: Whether it is known that they differ. Threads set it, and never take it back.
        failure: Why one of them cannot be read, as a sentence.
        tally: What was measured.
    """

    pair: Pair
    one: Operand
    other: Operand
    differs: bool
    failure: str = ""
    tally: Tally = field(default_factory=Tally)

    @property
    def is_plain(self) -> bool:
        """Whether the numbers of both are the stored ones: then equal bits prove equal numbers."""
        return self.one.is_plain and self.other.is_plain

    def channels(self) -> ChannelTally | None:
        """Start counting output channels, as far as the tensor has any."""
        return tally_of(self.pair.second, self.other.decoder.info.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of both."""
        return self.pair.first.nbytes + self.pair.second.nbytes


@dataclass(frozen=True, slots=True)
class _Done:
    """What a thread brings back from one stretch."""

    unit: Unit
    tally: Tally | None = None
    failure: str = ""


def look(jobs: Sequence[Job], workers: int | None, progress: Progress | None) -> None:
    """Find out which tensors differ; of those, no more is read than up to the first difference."""
    same = [job for job in jobs if not job.differs]
    for job, done in _each(same, _look, workers, partial(progress, "comparing") if progress else None):
        job.failure = job.failure or done.failure


def measure(jobs: Sequence[Job], workers: int | None, progress: Progress | None) -> None:
    """Measure the tensors that differ, and those whose numbers depend on others, as quantized ones do."""
    worth = [job for job in jobs if not job.failure and (job.differs or not job.is_plain)]
    for job, done in _each(worth, _measure, workers, partial(progress, "measuring") if progress else None):
        job.failure = job.failure or done.failure
        if done.tally is None:
            continue
        if job.tally.channels is None:
            job.tally.channels = job.channels()
        job.tally.merge(done.tally)


def _each(
    jobs: Sequence[Job], work: _Work, workers: int | None, progress: Callable[[int, int], None] | None
) -> Iterator[tuple[Job, _Done]]:
    """Do some work on every stretch of every job; the results come in order, whatever the threads did."""
    units = [
        Unit(number, start, count)
        for number, job in enumerate(jobs)
        for start, count in stretches(job.one, job.other)
    ]
    total = sum(job.nbytes for job in jobs)
    read = 0
    batches = (run.units for run in runs(units))
    with ThreadPoolExecutor(thread_count(workers)) as pool:
        for results in pool.map(partial(_run, jobs, work, threading.local()), batches):
            for done in results:
                job = jobs[done.unit.tensor]
                yield job, done
                read += job.nbytes * done.unit.count // max(1, job.one.size)
            if progress is not None:
                progress(min(read, total), total)


def _run(jobs: Sequence[Job], work: _Work, local: threading.local, batch: tuple[Unit, ...]) -> list[_Done]:
    scratch: Scratch | None = getattr(local, "scratch", None)
    if scratch is None:
        scratch = local.scratch = Scratch()
    results: list[_Done] = []
    with np.errstate(all="ignore"):
        for unit in batch:
            try:
                results.append(_Done(unit, work(jobs[unit.tensor], unit, scratch)))
            except ReadError as error:
                results.append(_Done(unit, failure=str(error)))
    return results


def _look(job: Job, unit: Unit, scratch: Scratch) -> None:
    if not job.differs and not same_bits(job.one, job.other, unit.start, unit.count, scratch):
        job.differs = True


def _measure(job: Job, unit: Unit, scratch: Scratch) -> Tally:
    tally = Tally(channels=job.channels())
    for one, other in numbers_in_step(job.one, job.other, unit.start, unit.count, scratch):
        tally.add(one, other, scratch)
    return tally
