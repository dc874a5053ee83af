"""Brings the bytes of a tensor into memory, piece by piece and in row-major order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from weightaudit.catalog import Entry, Extent, Fill, Inline, Tiles
from weightaudit.dtypes import itemsize
from weightaudit.engine.tiles import filled, read_slabs
from weightaudit.errors import ReadError

if TYPE_CHECKING:
    from weightaudit.source import Files

PIECE_BYTES = 1 << 20
"""How much is read at once: large enough that threads seldom wait for each other, small enough for caches."""

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
    if not size:
        raise ReadError(f"{entry.key} holds no numbers but {entry.dtype}, whose bytes are not known here.")
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
            yield first, filled(storage.element, min(step, start + count - first), size)
    elif isinstance(storage, Tiles):
        yield from read_slabs(files, entry, storage, start, count)
    else:
        raise ReadError(storage.reason)


def row_step(entry: Entry) -> int:
    """Return how many elements of a tiled tensor a stretch must be a multiple of: whole rows."""
    return prod(entry.shape[1:]) if isinstance(entry.storage, Tiles) else 1
