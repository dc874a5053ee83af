"""A file that is being written, and a copy in it that is being changed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np

from weightaudit.checksums import crc32, join, replaced
from weightaudit.errors import WriteError
from weightaudit.storage.copying import copy_range
from weightaudit.storage.failures import writing

if TYPE_CHECKING:
    from types import TracebackType

    from numpy.typing import NDArray

    from weightaudit.source import LocalFile


class Destination:
    """A file that is being written.

    Args:
        fd: Its descriptor, which is closed with it.
        label: Its name in messages.
    """

    def __init__(self, fd: int, label: str) -> None:
        self.fd = fd
        self.label = label

    def write(self, offset: int, data: bytes | NDArray[np.uint8]) -> None:
        """Write bytes at a place; WriteError if that fails."""
        view = memoryview(data) if isinstance(data, bytes) else data.data
        with writing(f"{self.label} cannot be written"):
            while view:
                count = os.pwrite(self.fd, view, offset)
                view, offset = view[count:], offset + count

    def read(self, offset: int, nbytes: int) -> bytes:
        """Return what was written at a place; WriteError if that is not there."""
        with writing(f"{self.label} cannot be read back"):
            data = os.pread(self.fd, nbytes, offset)
        if len(data) != nbytes:
            raise WriteError(f"{self.label} cannot be read back: it ends at byte {offset + len(data)}.")
        return data

    def copy(self, source: LocalFile, offset: int, nbytes: int, at: int) -> None:
        """Copy a stretch of an open file to a place; WriteError if that fails."""
        with writing(f"{self.label} cannot be written"):
            copy_range(source.fd, offset, nbytes, self.fd, at)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with writing(f"{self.label} cannot be written"):
            os.close(self.fd)


class Patched:
    """A stretch of a file that was copied into a destination, and is changed there.

    Args:
        source: The file.
        base: Where the stretch begins in it.
        size: How many bytes it has.
        destination: Where the copy is.
        at: Where it begins there.

    Attributes:
        size: How many bytes it has by now.
        is_changed: Whether it is another stretch by now.
    """

    def __init__(self, source: LocalFile, base: int, size: int, destination: Destination, at: int) -> None:
        self._source, self._base = source, base
        self._destination, self._shift = destination, at - base
        self._changes: list[_Change] = []
        self.size = size

    @property
    def end(self) -> int:
        """Where the stretch ends by now, counted as in the source."""
        return self._base + self.size

    @property
    def is_changed(self) -> bool:
        return bool(self._changes)

    def put(self, offset: int, data: bytes | NDArray[np.uint8]) -> None:
        """Replace bytes, each at most once, or append some.

        Args:
            offset: Where they are in the source, or `end` to append.
            data: As many bytes as are replaced.

        Raises:
            ReadError: The bytes as they were cannot be read.
            WriteError: The new ones cannot be written.
        """
        new = np.frombuffer(data, np.uint8)
        if offset == self.end:
            self._changes.append(_Change(0, crc32(new), -new.size))
            self.size += new.size
        else:
            old = np.frombuffer(self._source.read(offset, new.size), np.uint8)
            if np.array_equal(old, new):
                return
            self._changes.append(_Change(crc32(old), crc32(new), self.end - offset - new.size))
        self._destination.write(offset + self._shift, data)

    def crc(self, whole: int) -> int:
        """Return the CRC-32 of the stretch by now.

        It comes from that of the stretch as it was and from the bytes that changed, so that damage
        elsewhere in it stays as recognisable as it was.

        Args:
            whole: CRC-32 of the stretch as it was.
        """
        for change in self._changes:
            whole = (
                replaced("crc32", whole, change.old, change.new, change.behind)
                if change.behind >= 0
                else join("crc32", whole, change.new, -change.behind)
            )
        return whole


class _Change(NamedTuple):
    """CRC-32 of some bytes before and after, and how many follow; for appended ones, minus their number."""

    old: int
    new: int
    behind: int
