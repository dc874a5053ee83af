"""Inflates a deflated tile piece by piece, so that it is neither held whole nor inflated twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from weightaudit.checksums import INFLATE_ERRORS, inflater
from weightaudit.errors import ReadError

if TYPE_CHECKING:
    from weightaudit.catalog import Extent
    from weightaudit.source import ByteSource

INPUT_BYTES = 16 << 10
"""How much of the packed bytes is read at once."""

STREAM_BYTES = 128 << 10
"""What a stream is counted as between two calls: its inflater, and packed bytes it has not come to."""

Bytes = NDArray[np.uint8]


class TileStream:
    """A deflated tile that is read from front to back.

    Args:
        source: The file.
        extent: Where the packed bytes lie.
        nbytes: Bytes of the whole tile once unpacked.
        label: Name for messages.
        most: How many packed bytes are read at once.
    """

    def __init__(
        self, source: ByteSource, extent: Extent, nbytes: int, label: str, most: int = INPUT_BYTES
    ) -> None:
        self._source = source
        self._most = most
        self._extent = extent
        self._nbytes = nbytes
        self._label = label
        self._inflater = inflater(15)
        self._read = 0
        self._place = 0

    def stretch(self, start: int, count: int) -> Bytes:
        """Return the unpacked bytes from `start`, which lie behind those of the last call.

        Raises:
            ReadError: The packed bytes cannot be read or inflated, or end too early.
        """
        self._skip(start)
        out = np.empty(count, np.uint8)
        done = 0
        while done < count:
            piece = self._piece(count - done)
            out[done : done + len(piece)] = np.frombuffer(piece, np.uint8)
            done += len(piece)
        return out

    def finish(self) -> None:
        """Go on to the end of the tile: only its own checksum, which comes last, proves what came before.

        Raises:
            ReadError: It has another length or checksum.
        """
        self._skip(self._nbytes)
        while not self._inflater.eof:
            if self._inflate(1):
                raise self._of_another_length()

    def _skip(self, place: int) -> None:
        while self._place < place:
            self._piece(min(INPUT_BYTES, place - self._place))

    def _piece(self, most: int) -> bytes:
        """Return the next bytes, at least one."""
        while not (piece := self._inflate(most)):
            if self._inflater.eof:
                raise self._of_another_length()
        return piece

    def _inflate(self, most: int) -> bytes:
        """Return what comes of the packed bytes that are next in turn, which may be nothing yet."""
        packed = self._inflater.unconsumed_tail
        if not packed:
            packed = self._source.read(
                self._extent.offset + self._read, min(self._most, self._extent.nbytes - self._read)
            )
            self._read += len(packed)
        try:
            piece = self._inflater.decompress(packed, most)
        except INFLATE_ERRORS as error:
            raise ReadError(f"{self._label} has a chunk that cannot be inflated ({error}).") from error
        if not (packed or piece or self._inflater.eof):
            raise self._of_another_length()
        self._place += len(piece)
        return piece

    def _of_another_length(self) -> ReadError:
        return ReadError(f"{self._label} has a chunk that does not inflate to its length.")


class ShuffledStream:
    """A tile that was shuffled and then deflated, read from front to back.

    It holds the first bytes of all elements, then the second ones, and so on: a stream for each of those
    stands at its place. Each begins at the front of the tile, which is inflated as often as that.

    Args:
        source: The file.
        extent: Where the packed bytes lie.
        nbytes: Bytes of the whole tile once unpacked.
        label: Name for messages.
        itemsize: Bytes of an element.
    """

    def __init__(self, source: ByteSource, extent: Extent, nbytes: int, label: str, itemsize: int) -> None:
        # Many are held at once, each with packed bytes that it has not come to.
        most = INPUT_BYTES // itemsize
        self._planes = [TileStream(source, extent, nbytes, label, most) for _ in range(itemsize)]
        self._elements = nbytes // itemsize

    def stretch(self, start: int, count: int) -> Bytes:
        """Return the bytes of whole elements from `start`, which lie behind those of the last call.

        Raises:
            ReadError: See `TileStream.stretch`.
        """
        size = len(self._planes)
        out = np.empty((count // size, size), np.uint8)
        for number, plane in enumerate(self._planes):
            out[:, number] = plane.stretch(number * self._elements + start // size, count // size)
        return out.reshape(-1)

    def finish(self) -> None:
        """Go on to the end of the tile; see `TileStream.finish`."""
        self._planes[-1].finish()
