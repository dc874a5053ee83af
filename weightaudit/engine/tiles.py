"""Puts tiled tensors (HDF5 chunks, partitioned TensorFlow variables) together, slab by slab."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from itertools import product
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from weightaudit.catalog import Entry, Tile, Tiles
from weightaudit.dtypes import itemsize
from weightaudit.engine.filters import undo
from weightaudit.errors import ReadError
from weightaudit.source import Files

SLAB_BYTES = 32 << 20
"""Most bytes of a tiled tensor that are put together at once."""

SMALL_SLAB_BYTES = 4 << 20
"""How many bytes are put together where tiles are smaller."""

KEPT_BYTES = 64 << 20
"""How many bytes of unpacked tiles are kept for the next slab, besides the last one."""

ROOM_BYTES = 256 << 20
"""How much all threads together take for tiles and what is put together, unless one tensor takes more."""

Bytes = NDArray[np.uint8]
Shape = tuple[int, ...]


def read_slabs(
    files: Files, entry: Entry, tiles: Tiles, start: int, count: int
) -> Iterator[tuple[int, Bytes]]:
    """Yield whole rows of a tiled tensor as (first element, bytes), together `count` elements from `start`.

    Raises:
        ReadError: A tile is not there, or cannot be unpacked.
    """
    row = prod(entry.shape[1:])
    if not count or not row:
        return
    reader = _TileReader(files, entry, tiles)
    strides = [prod(reader.shape[axis + 1 :]) for axis in range(len(reader.shape))]
    cut = _cut(reader)
    with _ROOM.taken(_memory(reader, cut)):
        for origin, shape in _boxes(reader, cut, start // row, (start + count) // row):
            first = sum(place * stride for place, stride in zip(origin, strides, strict=True))
            yield first, reader.slab(origin, shape)


def filled(element: bytes, count: int, size: int) -> Bytes:
    """Return `count` elements of `size` bytes that are all the same; no bytes at all mean zero."""
    return np.tile(np.frombuffer(element.ljust(size, b"\0")[:size], np.uint8), count)


class Room:
    """Memory that threads share: who needs more than is left waits until others are done.

    Args:
        nbytes: All there is.
    """

    def __init__(self, nbytes: int) -> None:
        self._whole = self._left = nbytes
        self._holders: list[int] = []
        self._moved = threading.Condition()

    @contextmanager
    def taken(self, nbytes: int) -> Generator[None]:
        """Hold some of it for a block; who asks for more than there is gets it once nobody else has any."""
        me, nbytes = threading.get_ident(), min(nbytes, self._whole)
        with self._moved:
            # Whoever compares two tensors holds room for one already: two of them would wait for each other.
            self._moved.wait_for(lambda: me in self._holders or nbytes <= self._left)
            self._left -= nbytes
            self._holders.append(me)
        try:
            yield
        finally:
            with self._moved:
                self._left += nbytes
                self._holders.remove(me)
                self._moved.notify_all()


_ROOM = Room(ROOM_BYTES)


class _TileReader:
    """The tiles of one tensor, found by position, and the last ones that were unpacked."""

    def __init__(self, files: Files, entry: Entry, tiles: Tiles) -> None:
        self._files = files
        self._entry = entry
        self._fill = tiles.fill
        self.size = itemsize(entry.dtype)
        self.shape = entry.shape or (1,)
        self._tiles = sorted(
            ((tile.origin or (0,), tile.shape or (1,), tile) for tile in tiles.tiles),
            key=lambda item: item[0],
        )
        self._starts = [origin[0] for origin, _, _ in self._tiles]
        shapes = [shape for _, shape, _ in self._tiles]
        self.tallest = tuple(max((1, *lengths)) for lengths in zip(*shapes, strict=True)) or (1,) * len(
            self.shape
        )
        self.packed_bytes = self.size * max(
            (prod(shape) for _, shape, tile in self._tiles if tile.filters), default=0
        )
        self._kept: dict[int, Bytes] = {}
        self._kept_bytes = 0

    def slab(self, origin: Shape, shape: Shape) -> Bytes:
        """Return the bytes of a box of the tensor."""
        slab = filled(self._fill, prod(shape), self.size).reshape(*shape, self.size)
        low = bisect_left(self._starts, origin[0] - self.tallest[0] + 1)
        high = bisect_left(self._starts, origin[0] + shape[0])
        for number in range(low, high):
            self._place(number, slab, origin)
        return slab.reshape(-1)

    def _place(self, number: int, slab: Bytes, origin: Shape) -> None:
        """Copy the part of a tile that lies in the slab; parts beyond the tensor's edge are dropped."""
        begin, lengths, tile = self._tiles[number]
        target: list[slice] = []
        source: list[slice] = []
        again = False
        for place, length, corner, edge, whole in zip(
            begin, lengths, origin, slab.shape, self.shape, strict=False
        ):
            low, high = max(place, corner), min(place + length, corner + edge)
            if low >= high:
                return
            target.append(slice(low - corner, high - corner))
            source.append(slice(low - place, high - place))
            again = again or place < corner or high < min(place + length, whole)
        if tile.filters:
            slab[tuple(target)] = self._unpacked(number, tile, lengths, keep=again)[tuple(source)]
        else:
            rows, source[0] = source[0], slice(None)
            slab[tuple(target)] = self._rows(tile, lengths, rows)[tuple(source)]

    def _rows(self, tile: Tile, shape: Shape, rows: slice) -> Bytes:
        """Return some rows of a tile that is stored as it is; it may be as large as the tensor."""
        row = prod(shape[1:]) * self.size
        held, needed = tile.extent.nbytes, shape[0] * row
        if held != needed:
            raise ReadError(f"{self._label(tile)} has a part of {held} bytes where {needed} are expected.")
        count = rows.stop - rows.start
        raw = self._files[tile.extent.file].read(tile.extent.offset + rows.start * row, count * row)
        return np.frombuffer(raw, np.uint8).reshape(count, *shape[1:], self.size)

    def _unpacked(self, number: int, tile: Tile, shape: Shape, *, keep: bool) -> Bytes:
        kept = self._kept.get(number)
        if kept is not None:
            return kept
        raw = np.frombuffer(
            self._files[tile.extent.file].read(tile.extent.offset, tile.extent.nbytes), np.uint8
        )
        if keep:
            # Make room first: the tile that comes may be a huge one.
            while self._kept_bytes > KEPT_BYTES:
                self._kept_bytes -= self._kept.pop(next(iter(self._kept))).size
        label = self._label(tile)
        box = undo(raw, tile.filters, prod(shape) * self.size, self.size, label).reshape(*shape, self.size)
        if keep:
            self._kept[number] = box
            self._kept_bytes += box.size
        return box

    def _label(self, tile: Tile) -> str:
        return f"{self._files[tile.extent.file].label}: {self._entry.key}"


class _Cut(NamedTuple):
    """How a tensor is cut into boxes.

    Attributes:
        axis: The axis that is cut; boxes are one step long along those before it, and whole along those
            behind it.
        rows: Steps of a box along it.
        nbytes: Bytes of a box at most.
    """

    axis: int
    rows: int
    nbytes: int


def _cut(reader: _TileReader) -> _Cut:
    """Choose boxes that end where tiles end, so that a packed tile is rarely needed for two of them."""
    shape, size = reader.shape, reader.size
    # A single row may be as large as the tensor: cut the outermost axis of which one step is small.
    axis = next(n for n in range(len(shape)) if prod(shape[n + 1 :]) * size <= SLAB_BYTES)
    step = prod(shape[axis + 1 :]) * size
    height = reader.tallest[axis]
    rows = max(height, SMALL_SLAB_BYTES // step // height * height)
    rows = max(1, min(rows, SLAB_BYTES // step))
    return _Cut(axis, rows, rows * step)


def _memory(reader: _TileReader, cut: _Cut) -> int:
    """Return the bytes that reading takes: a box, a tile while it is unpacked, and tiles for the next box."""
    keeps = max(reader.tallest[: cut.axis], default=1) > 1 or reader.tallest[cut.axis] > cut.rows
    return cut.nbytes + 2 * reader.packed_bytes + (KEPT_BYTES if keeps and reader.packed_bytes else 0)


def _boxes(reader: _TileReader, cut: _Cut, begin: int, end: int) -> Iterator[tuple[Shape, Shape]]:
    """Cut the rows from `begin` to `end` into boxes, as (origin, shape), whose elements follow each other."""
    shape, axis, rows = reader.shape, cut.axis, cut.rows
    inner = shape[axis + 1 :]
    ranges = [range(begin, end), *(range(length) for length in shape[1:axis])]
    for outer in product(*ranges[:axis]):
        low, last = (begin, end) if axis == 0 else (0, shape[axis])
        while low < last:
            high = min(last, low + rows - low % rows)
            yield (*outer, low, *(0 for _ in inner)), (*(1 for _ in outer), high - low, *inner)
            low = high
