"""Puts tiled tensors (HDF5 chunks, partitioned TensorFlow variables) together, slab by slab."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import product
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from weightaudit.catalog import Entry, Tile, Tiles
from weightaudit.dtypes import itemsize
from weightaudit.engine.filters import undo
from weightaudit.engine.inflating import STREAM_BYTES, ShuffledStream, TileStream
from weightaudit.engine.room import Room
from weightaudit.errors import ReadError
from weightaudit.source import Files

SLAB_BYTES = 32 << 20
"""Most bytes of a tiled tensor that are put together at once."""

SMALL_SLAB_BYTES = 4 << 20
"""How many bytes are put together where tiles are smaller, or are inflated piece by piece."""

KEPT_BYTES = 64 << 20
"""How many bytes of unpacked tiles are kept for the next slab, unless one tile takes more."""

ROOM_BYTES = 128 << 20
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
            yield first, reader.slab(origin, shape, cut.axis)


def room_for(files: Sequence[Files], entries: Sequence[Entry]) -> AbstractContextManager[None]:
    """Return what holds the memory to read tensors side by side, as far as they are tiled.

    Args:
        files: The open files of each tensor.
        entries: How each is stored.
    """
    readers = [
        _TileReader(some, entry, entry.storage)
        for some, entry in zip(files, entries, strict=True)
        if isinstance(entry.storage, Tiles) and 0 not in entry.shape
    ]
    return _ROOM.taken(sum(_memory(reader, _cut(reader)) for reader in readers)) if readers else nullcontext()


def filled(element: bytes, count: int, size: int) -> Bytes:
    """Return `count` elements of `size` bytes that are all the same; no bytes at all mean zero."""
    if not any(element):
        return np.zeros(count * size, np.uint8)
    return np.tile(np.frombuffer(element.ljust(size, b"\0")[:size], np.uint8), count)


_ROOM = Room(ROOM_BYTES)


class _TileReader:
    """The tiles of one tensor, found by position, and those that are unpacked, or half so, and needed again.

    Slabs are asked for from front to back, and the same tiles again and again until the last of their rows.
    So none is dropped for another one: whichever goes is needed for the very next slab.
    """

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
        # So many reach into the same rows, and are half read at the same time.
        self.abreast = max(Counter(self._starts).values(), default=0)
        self.stream_bytes = self._stream_bytes()
        self.is_streamed = self.stream_bytes > 0
        self._kept: dict[int, Bytes] = {}
        self._kept_bytes = 0
        self._streams: dict[int, TileStream | ShuffledStream] = {}

    @property
    def fits(self) -> bool:
        """Whether all tiles that reach into the same rows are kept, so that none is unpacked twice."""
        return self.abreast * self.packed_bytes <= KEPT_BYTES

    def _stream_bytes(self) -> int:
        """Return the bytes that streams of tiles take where tiles are inflated piece by piece, else 0.

        Shuffled tiles are inflated once for each byte of an element then: only those that would be unpacked
        again and again without it.
        """
        packings = {tile.filters for _, _, tile in self._tiles}
        if packings == {("deflate",)}:
            nbytes, least = STREAM_BYTES, 2 * STREAM_BYTES
        elif packings == {("shuffle", "deflate")} and not self.fits:
            nbytes, least = self.size * STREAM_BYTES, self.size * STREAM_BYTES
        else:
            return 0
        are_long = all(prod(shape) * self.size >= least for _, shape, _ in self._tiles)
        return self.abreast * nbytes if are_long and self.abreast * nbytes <= KEPT_BYTES else 0

    def slab(self, origin: Shape, shape: Shape, axis: int) -> Bytes:
        """Return the bytes of a box of the tensor that is cut along an axis; see `_Cut`."""
        slab = filled(self._fill, prod(shape), self.size).reshape(*shape, self.size)
        low = bisect_left(self._starts, origin[0] - self.tallest[0] + 1)
        high = bisect_left(self._starts, origin[0] + shape[0])
        for number in range(low, high):
            self._place(number, slab, origin, axis)
        return slab.reshape(-1)

    def _place(self, number: int, slab: Bytes, origin: Shape, axis: int) -> None:
        """Copy the part of a tile that lies in the slab; parts beyond the tensor's edge are dropped."""
        begin, lengths, tile = self._tiles[number]
        target: list[slice] = []
        source: list[slice] = []
        is_whole = is_last = True
        for place, length, corner, edge, whole in zip(
            begin, lengths, origin, slab.shape, self.shape, strict=False
        ):
            low, high = max(place, corner), min(place + length, corner + edge)
            if low >= high:
                return
            target.append(slice(low - corner, high - corner))
            source.append(slice(low - place, high - place))
            is_last = is_last and high == min(place + length, whole)
            is_whole = is_whole and is_last and low == place
        if not tile.filters:
            rows, source[0] = source[0], slice(None)
            part = self._rows(tile, lengths, rows)
        elif self.is_streamed and not is_whole:
            part = self._inflated(number, source, axis, is_last=is_last)
            source[: axis + 1] = [slice(None)] * (axis + 1)
        else:
            part = self._unpacked(number, tile, lengths, is_last=is_last)
        slab[tuple(target)] = part[tuple(source)]

    def _inflated(self, number: int, source: Sequence[slice], axis: int, *, is_last: bool) -> Bytes:
        """Return the rows of a tile that a slab needs: one stretch of it, behind that of the slab before."""
        _, shape, tile = self._tiles[number]
        inner = shape[axis + 1 :]
        strides = [prod(shape[at + 1 :]) for at in range(axis + 1)]
        first = sum(one.start * stride for one, stride in zip(source, strides, strict=False))
        rows = source[axis].stop - source[axis].start
        stream = self._streams.get(number)
        if stream is None:
            stream = self._streams[number] = self._stream(tile, shape)
        stretch = stream.stretch(first * self.size, rows * prod(inner) * self.size)
        if is_last:
            stream.finish()
            del self._streams[number]
        return stretch.reshape(*(1,) * axis, rows, *inner, self.size)

    def _stream(self, tile: Tile, shape: Shape) -> TileStream | ShuffledStream:
        source, nbytes = self._files[tile.extent.file], prod(shape) * self.size
        if "shuffle" in tile.filters:
            return ShuffledStream(source, tile.extent, nbytes, self._label(tile), self.size)
        return TileStream(source, tile.extent, nbytes, self._label(tile))

    def _rows(self, tile: Tile, shape: Shape, rows: slice) -> Bytes:
        """Return some rows of a tile that is stored as it is; it may be as large as the tensor."""
        row = prod(shape[1:]) * self.size
        held, needed = tile.extent.nbytes, shape[0] * row
        if held != needed:
            raise ReadError(f"{self._label(tile)} has a part of {held} bytes where {needed} are expected.")
        count = rows.stop - rows.start
        raw = self._files[tile.extent.file].read(tile.extent.offset + rows.start * row, count * row)
        return np.frombuffer(raw, np.uint8).reshape(count, *shape[1:], self.size)

    def _unpacked(self, number: int, tile: Tile, shape: Shape, *, is_last: bool) -> Bytes:
        kept = self._kept.get(number)
        if kept is not None:
            if is_last:
                self._kept_bytes -= self._kept.pop(number).size
            return kept
        raw = np.frombuffer(
            self._files[tile.extent.file].read(tile.extent.offset, tile.extent.nbytes), np.uint8
        )
        label = self._label(tile)
        box = undo(raw, tile.filters, prod(shape) * self.size, self.size, label).reshape(*shape, self.size)
        if not is_last and (not self._kept or self._kept_bytes + box.size <= KEPT_BYTES):
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
    # Of tiles that are all kept until their last row, large boxes would be held beside them for nothing.
    most = SMALL_SLAB_BYTES if reader.is_streamed or reader.fits else SLAB_BYTES
    # A single row may be as large as the tensor: cut the outermost axis of which one step is small.
    axis = next(n for n in range(len(shape)) if prod(shape[n + 1 :]) * size <= most)
    step = prod(shape[axis + 1 :]) * size
    height = reader.tallest[axis]
    rows = max(height, SMALL_SLAB_BYTES // step // height * height)
    rows = max(1, min(rows, most // step))
    return _Cut(axis, rows, rows * step)


def _memory(reader: _TileReader, cut: _Cut) -> int:
    """Return the bytes that reading takes: two boxes, and what of tiles is held for the next one.

    There are two boxes while the caller has the last one and the next is put together.
    """
    spans = max(reader.tallest[: cut.axis], default=1) > 1 or reader.tallest[cut.axis] > cut.rows
    if reader.is_streamed and spans:
        return 3 * cut.nbytes + reader.stream_bytes
    kept = max(KEPT_BYTES, reader.packed_bytes) if spans else 0
    return 2 * cut.nbytes + 2 * reader.packed_bytes + min(kept, reader.abreast * reader.packed_bytes)


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
