"""Brings the bytes of a tensor into memory, piece by piece and in row-major order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from weightaudit.catalog import Entry, Extent, Fill, Inline, Tile, Tiles
from weightaudit.dtypes import itemsize
from weightaudit.engine.filters import undo
from weightaudit.errors import ReadError

if TYPE_CHECKING:
    from weightaudit.source import Files

PIECE_BYTES = 1 << 20
"""How much is read at once: large enough for the system, small enough for the CPU's cache."""

SLAB_BYTES = 32 << 20
"""How many bytes of a tiled tensor are put together at once."""

Bytes = NDArray[np.uint8]
Take = Callable[[int], Bytes]
"""Gives a buffer of that many bytes, which may be used again for the next piece."""


def fresh(size: int) -> Bytes:
    """Give new memory for every piece."""
    return np.empty(size, np.uint8)


def read_pieces(
    files: Files, entry: Entry, start: int, count: int, take: Take = fresh
) -> Iterator[tuple[int, Bytes]]:
    """Yield stretches of a tensor as (first element, bytes), together `count` elements from `start`.

    Raises:
        ReadError: The bytes are not there, or cannot be unpacked.
    """
    storage = entry.storage
    size = itemsize(entry.dtype)
    if isinstance(storage, Extent):
        for first in range(start, start + count, PIECE_BYTES // size):
            buffer = take(min(PIECE_BYTES // size, start + count - first) * size)
            files[storage.file].read_into(storage.offset + first * size, buffer.data)
            yield first, buffer
    elif isinstance(storage, Inline):
        yield start, np.frombuffer(storage.data, np.uint8)[start * size : (start + count) * size]
    elif isinstance(storage, Fill):
        step = max(1, PIECE_BYTES // size)
        for first in range(start, start + count, step):
            yield first, _filled(storage.element, min(step, start + count - first), size)
    elif isinstance(storage, Tiles):
        yield from _slabs(files, entry, storage, start, count)
    else:
        raise ReadError(storage.reason)


def row_step(entry: Entry) -> int:
    """Return how many elements of a tiled tensor a stretch must be a multiple of: whole rows."""
    return prod(entry.shape[1:]) if isinstance(entry.storage, Tiles) else 1


def _filled(element: bytes, count: int, size: int) -> Bytes:
    return np.tile(np.frombuffer(element.ljust(size, b"\0")[:size], np.uint8), count)


def _slabs(files: Files, entry: Entry, tiles: Tiles, start: int, count: int) -> Iterator[tuple[int, Bytes]]:
    size = itemsize(entry.dtype)
    row = prod(entry.shape[1:])
    height = max(tile.shape[0] if tile.shape else 1 for tile in tiles.tiles) if tiles.tiles else 1
    rows = max(1, min(height, SLAB_BYTES // max(1, row * size)))
    last = (start + count) // max(1, row)
    first = start // max(1, row)
    while first < last:
        # Slabs end where tiles end, so that no packed tile is unpacked for two slabs unless it is huge.
        stop = min(last, first + rows - first % rows)
        yield first * row, _slab(files, entry, tiles, first, stop)
        first = stop


def _slab(files: Files, entry: Entry, tiles: Tiles, first: int, stop: int) -> Bytes:
    size = itemsize(entry.dtype)
    shape = (stop - first, *entry.shape[1:])
    slab = _filled(tiles.fill, prod(shape), size).reshape(*shape, size)
    for tile in tiles.tiles:
        if tile.origin[0] < stop and tile.origin[0] + tile.shape[0] > first:
            _place(files, entry, tile, slab, first)
    return slab.reshape(-1)


def _place(files: Files, entry: Entry, tile: Tile, slab: Bytes, first: int) -> None:
    """Copy the part of a tile that lies in the slab; parts beyond the tensor's edge are dropped."""
    size = itemsize(entry.dtype)
    raw = np.frombuffer(files[tile.extent.file].read(tile.extent.offset, tile.extent.nbytes), np.uint8)
    label = f"{files[tile.extent.file].label}: {entry.key}"
    box = undo(raw, tile.filters, prod(tile.shape) * size, size, label).reshape(*tile.shape, size)
    target: list[slice] = []
    source: list[slice] = []
    starts = (tile.origin[0] - first, *tile.origin[1:])
    for begin, length, edge in zip(starts, tile.shape, slab.shape[:-1], strict=True):
        low, high = max(0, begin), min(edge, begin + length)
        target.append(slice(low, high))
        source.append(slice(low - begin, high - begin))
    slab[tuple(target)] = box[tuple(source)]
