"""Puts the elements of many tensors into batches of equal blocks, in the order in which they are read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from weightaudit.engine.tensorflow.layout import WIDEST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from weightaudit.engine.tensorflow.layout import Layout

BATCH_ELEMENTS = 1 << 20
"""Elements of a batch, 4 MiB of float32: it stays in the caches of a CPU. Plain statistics and a norm
by columns ran at 0.58 GB/s with these, and at 0.43 with eight times as many (two cores, best of five)."""

OPEN_BYTES = 32 << 20
"""What may wait in batches that are not full, before the fullest of them is sent."""

Values = NDArray[np.floating[Any]]


class Shape(NamedTuple):
    """What the blocks of a batch have in common.

    Attributes:
        dtype: ``float32`` or ``float64``.
        height: Rows of a block.
        width: Elements of a row.
        rows: Orders of the norms that are wanted of every row.
        columns: Orders of the norms that are wanted of every column of a block.
    """

    dtype: str
    height: int
    width: int
    rows: tuple[float, ...] = ()
    columns: tuple[float, ...] = ()


def shape_for(layout: Layout, dtype: str) -> Shape:
    """Return the shape of the blocks for numbers of a type in a layout."""
    rows = {one.order for one in layout.norms if not one.is_columns}
    columns = {one.order for one in layout.norms if one.is_columns}
    return Shape(dtype, layout.height, layout.width, tuple(sorted(rows)), tuple(sorted(columns)))


class Stretch(NamedTuple):
    """Consecutive elements of a tensor that lie below each other in a batch.

    Attributes:
        start: Index of the first element in the flattened tensor.
        row: Row of the tensor that it belongs to.
        base: Column of that row which the first place of a line stands for.
        column: Place of the first element in its line; 0 if there are several lines.
        size: Elements of each line.
        lines: Lines that are filled.
    """

    start: int
    row: int
    base: int
    column: int
    size: int
    lines: int


@dataclass(slots=True)
class Span:
    """Neighbouring blocks of a batch that hold rows of one run of one tensor.

    Attributes:
        tensor: Number of the tensor.
        run: Number of the run of rows.
        base: Column of the tensor's rows that the blocks' first column stands for.
        first: First block.
        stretches: What lies in them, each with its first line in the batch.
    """

    tensor: int
    run: int
    base: int
    first: int
    stretches: list[tuple[int, Stretch]] = field(default_factory=list[tuple[int, Stretch]])

    @property
    def elements(self) -> int:
        """Elements of the tensor in these blocks; all others are padding."""
        return sum(one.lines * one.size for _, one in self.stretches)


class Batch:
    """Blocks under way: lines that are filled from the top; what no tensor fills is NaN.

    Attributes:
        shape: What the blocks have in common.
        spans: Whose rows they are.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.spans: list[Span] = []
        blocks = max(1, BATCH_ELEMENTS // (shape.height * shape.width))
        self._lines: Values = np.empty((blocks * shape.height, shape.width), shape.dtype)
        self._used = 0

    @property
    def nbytes(self) -> int:
        """Bytes of the lines that are used."""
        return self._used * self.shape.width * self._lines.itemsize

    @property
    def is_full(self) -> bool:
        """Whether no further line fits."""
        return self._used == len(self._lines)

    @property
    def lines(self) -> Values:
        """All lines, blocks one below the other."""
        return self._lines

    @property
    def blocks(self) -> Values:
        """The blocks that are used, as an array of (blocks, height, width)."""
        self._close()
        return self._lines[: self._used].reshape(-1, self.shape.height, self.shape.width)

    @property
    def padded(self) -> Values:
        """The same with a number of blocks that is a power of two, so that XLA compiles for few shapes."""
        used = len(self.blocks)
        every = self._lines.reshape(-1, self.shape.height, self.shape.width)
        wanted = min(1 << max(0, used - 1).bit_length(), len(every))
        every[used:wanted] = np.nan
        return every[:wanted]

    def put(self, tensor: int, run: int, stretch: Stretch, values: Values) -> int:
        """Copy as many lines of a stretch as fit, and return how many.

        Args:
            tensor: Number of the tensor.
            run: Number of the run that the stretch belongs to.
            stretch: Where the elements belong.
            values: The elements, `stretch.size` for each of its lines.
        """
        last = self.spans[-1] if self.spans else None
        owner = (tensor, run, stretch.base)
        if last is None or owner != (last.tensor, last.run, last.base):
            self._close()
            if self.is_full:
                return 0
            last = Span(*owner, self._used // self.shape.height)
            self.spans.append(last)
        lines = min(stretch.lines, len(self._lines) - self._used)
        target = self._lines[self._used : self._used + lines]
        end = stretch.column + stretch.size
        target[:, : stretch.column] = np.nan
        target[:, stretch.column : end] = values[: lines * stretch.size].reshape(lines, -1)
        target[:, end:] = np.nan
        last.stretches.append((self._used, stretch._replace(lines=lines)))
        self._used += lines
        return lines

    def _close(self) -> None:
        """Fill up the last block."""
        end = -(-self._used // self.shape.height) * self.shape.height
        self._lines[self._used : end] = np.nan
        self._used = end


class Packer:
    """Batches that are being filled, one for each shape of blocks, and a bound on what waits in them."""

    def __init__(self) -> None:
        self._open: dict[Shape, Batch] = {}
        self._waiting = 0

    def add(self, tensor: int, layout: Layout, start: int, values: Values) -> Iterator[Batch]:
        """Take in a stretch of a tensor, and yield the batches that are to be computed now.

        Args:
            tensor: Number of the tensor.
            layout: How its elements lie in blocks.
            start: Index of the first element in the flattened tensor.
            values: float32 or float64, one-dimensional; copied.
        """
        shape = shape_for(layout, values.dtype.name)
        for stretch in stretches(layout, start, values.size):
            begin, left = stretch.start - start, stretch.lines
            while left:
                batch = self._open.get(shape) or self._open.setdefault(shape, Batch(shape))
                before = batch.nbytes
                row = stretch.row + stretch.lines - left
                rest = stretch._replace(start=start + begin, row=row, lines=left)
                done = batch.put(tensor, stretch.row // max(1, layout.run), rest, values[begin:])
                self._waiting += batch.nbytes - before
                begin, left = begin + done * stretch.size, left - done
                if batch.is_full:
                    yield self._take(batch)
        while self._waiting > OPEN_BYTES:
            yield self._take(max(self._open.values(), key=lambda batch: batch.nbytes))

    def rest(self) -> Iterator[Batch]:
        """Yield what is left, at the end."""
        while self._open:
            yield self._take(next(iter(self._open.values())))

    def _take(self, batch: Batch) -> Batch:
        del self._open[batch.shape]
        self._waiting -= batch.nbytes
        return batch


def stretches(layout: Layout, start: int, size: int) -> Iterator[Stretch]:
    """Cut consecutive elements of a tensor into lines, and lines into those of one run.

    Rows of more than `WIDEST` elements take several lines, each in a block of its own.

    Args:
        layout: How the tensor's elements lie in blocks.
        start: Index of the first element.
        size: Number of elements.
    """
    stop = start + size
    while start < stop:
        row, place = divmod(start, layout.length)
        base = place // WIDEST * WIDEST
        count = min(WIDEST, layout.length - base)
        column = place - base
        lines = 1
        if column or stop - start < count:
            count = min(count - column, stop - start)
        elif layout.length <= WIDEST:
            lines = min((stop - start) // count, layout.run - row % layout.run)
        yield Stretch(start, row, base, column, count, lines)
        start += lines * count
