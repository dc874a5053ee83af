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
    """

    def __init__(self, source: ByteSource, extent: Extent, nbytes: int, label: str) -> None:
        self._source = source
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
                self._extent.offset + self._read, min(INPUT_BYTES, self._extent.nbytes - self._read)
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
