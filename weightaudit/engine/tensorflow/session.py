"""One pass over a model: a thread that computes batches while the next ones are filled."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from weightaudit.engine.tensorflow.device import Work, measure_blocks
from weightaudit.engine.tensorflow.packing import Batch, Packer
from weightaudit.engine.tensorflow.scalars import Sum, sums_of
from weightaudit.engine.tensorflow.tally import Computed
from weightaudit.errors import ReadError
from weightaudit.projections.tensorflow.library import tf
from weightaudit.statistics import Block, Statistic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from weightaudit.engine.tensorflow.spectra import Spectra
    from weightaudit.engine.tensorflow.tally import Tally
    from weightaudit.tensor import TensorInfo

AHEAD = 2
"""Batches that may wait while one is computed."""


class Session:
    """Takes in the elements of tensors, and gives the results of their statistics.

    Host memory is bounded, whatever the model: 32 MiB in batches that are not full, at most
    three of 8 MiB that are, and what is bounded in `Spectra`.

    Args:
        tallies: The tensors whose blocks are computed, by number.
        spectra: The tensors whose spectral norms are computed.
        compiled: Whether XLA compiles: on GPUs, where TensorFlow has no kernels for some of the
            integer operations. On a CPU it wins nothing at this size of batches.
    """

    def __init__(self, tallies: dict[int, Tally], spectra: Spectra, *, compiled: bool) -> None:
        self._tallies = tallies
        self._spectra = spectra
        self._compiled = compiled
        self._sums = _union(statistic for tally in tallies.values() for statistic in tally.statistics)
        self._packer = Packer()
        self._pool = ThreadPoolExecutor(1)
        self._under_way: deque[Future[None]] = deque()
        self._failure = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._pool.shutdown(cancel_futures=True)

    def feed(self, tensor: int, block: Block) -> None:
        """Take in a block of a tensor; blocks of a tensor come in their order.

        Raises:
            ReadError: TensorFlow failed.
        """
        if tensor in self._tallies:
            layout = self._tallies[tensor].layout
            for batch in self._packer.add(tensor, layout, block.start, block.values):
                self._send(self._compute, batch)
        for stack in self._spectra.add(tensor, block):
            self._send(self._spectra.compute, stack)

    def results(self, tensor: int) -> dict[Statistic[Any], Any]:
        """Return the statistics of a tensor, once everything was fed.

        Raises:
            ReadError: TensorFlow failed.
        """
        for batch in self._packer.rest():
            self._send(self._compute, batch)
        for stack in self._spectra.rest():
            self._send(self._spectra.compute, stack)
        self._wait(0)
        found = self._spectra.results(tensor)
        return {**self._tallies[tensor].finish(self._sums), **found} if tensor in self._tallies else found

    def _send(self, compute: Callable[[Any], None], what: object) -> None:
        self._wait(AHEAD - 1)
        self._under_way.append(self._pool.submit(compute, what))

    def _wait(self, most: int) -> None:
        while len(self._under_way) > most and not self._failure:
            try:
                self._under_way.popleft().result()
            except tf.errors.OpError as error:
                self._failure = str(error).partition("\n")[0]
        if self._failure:
            # What was fed is lost, so no tensor can be told any more.
            raise ReadError(f"TensorFlow failed ({self._failure}); measure with --engine numpy")

    def _compute(self, batch: Batch) -> None:
        shape = batch.shape
        blocks = batch.padded if self._compiled else batch.blocks
        work = Work(shape.dtype, self._sums, shape.rows, shape.columns)
        numbers = measure_blocks(work, blocks, compiled=self._compiled).fetched()
        for span in batch.spans:
            self._tallies[span.tensor].add(span, Computed(batch, work, numbers))


def _union(statistics: Iterable[Statistic[Any]]) -> tuple[Sum, ...]:
    """Return all sums that any tensor needs: one trace for the whole model."""
    return tuple(sorted({one for statistic in statistics for one in sums_of(statistic) or ()}))


@dataclass(frozen=True)
class Feed(Statistic[dict[Statistic[Any], Any]]):
    """A statistic that hands a tensor's elements to a session, and has its results in the end.

    Attributes:
        session: The session.
        tensor: Number of the tensor.
    """

    session: Session = field(repr=False)
    tensor: int

    def start(self, info: TensorInfo) -> FeedFold:
        return FeedFold(self)


class FeedFold:
    """Stretches need not be merged, for they come in the order of the tensor."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def update(self, block: Block) -> None:
        self._feed.session.feed(self._feed.tensor, block)

    def merge(self, other: Self) -> None:
        pass

    def finish(self) -> dict[Statistic[Any], Any]:
        return self._feed.session.results(self._feed.tensor)
