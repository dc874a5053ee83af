"""Reads pieces of HDF5 data by address, each checked against the size of the data."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_SHIFT = 14
_BLOCK = 1 << _SHIFT
"""Bytes that are read at once. Small, because metadata is spread between the tensors."""

_OVERLAP = 1 << 10
"""Bytes of the next block that a block brings along, so that few structures lie across two."""

_CACHED = 256
"""Blocks that are kept: less than 5 MiB."""

_ALLOWANCE, _TIMES = 16 << 20, 4
"""Bytes that may be gone through in any data, and besides them for every byte of it. Models of Keras
take at most 1.5 for every byte; more, by far, only those whose structures share their bytes."""

UNDEFINED = (1 << 64) - 1
"""The address of what is not there."""


def allowance(size: int) -> int:
    """Return how many bytes of structures and names may be gone through in HDF5 data of `size` bytes."""
    return _ALLOWANCE + _TIMES * size


class UnfamiliarError(Exception):
    """The data holds a structure that is not known here; libhdf5 has to be asked. Its text is a clause."""


class DamagedError(Exception):
    """The data contradicts itself. Its text is a clause that follows "is damaged: "."""


class LimitError(Exception):
    """The data asks for more than it may. Its text is a clause without a subject."""


class Reader:
    """Gives bytes by address; keeps the blocks that were read last.

    Args:
        read: Returns exactly n bytes from a place of the file: ``read(place, n)``.
        origin: Place in the file that address 0 stands for.
        size: Bytes from there on that may be read.
        largest: Bytes of the largest structure that is read.
        seconds: Time after which reading raises TimeoutError.
    """

    def __init__(
        self, read: Callable[[int, int], bytes], origin: int, size: int, largest: int, seconds: float
    ) -> None:
        self.origin, self.size = origin, size
        self._read, self._largest, self._seconds = read, largest, seconds
        self._deadline = monotonic() + seconds
        self._blocks: dict[int, bytes] = {}
        self._allowance = self._left = allowance(size)

    def part(self, origin: int, size: int) -> Reader:
        """Return a reader of the same file whose address 0 is at `origin`, with the same deadline."""
        other = Reader(self._read, origin, size, self._largest, self._seconds)
        other._deadline = self._deadline
        return other

    def at(self, address: int, nbytes: int) -> tuple[bytes, int]:
        """Return bytes, and the place in them where the `nbytes` from `address` on begin.

        Raises:
            DamagedError: They are not all inside the data.
            LimitError: They are more than a structure may have, or than may be left to go through.
            TimeoutError: Reading has taken too long.
        """
        self.spend(nbytes)
        block = self._blocks.get(address >> _SHIFT) or self._load(address >> _SHIFT)
        place = address & (_BLOCK - 1)
        if place + nbytes <= len(block):
            return block, place
        return self.exactly(address, nbytes), 0

    def exactly(self, address: int, nbytes: int) -> bytes:
        """Return the `nbytes` from `address` on; raises what `at` raises."""
        self.check(address, nbytes)
        if nbytes > self._largest:
            raise LimitError(
                f"has a structure of {nbytes} bytes, where {self._largest} are the limit (--max-metadata)"
            )
        self.check_time()
        return self._read(self.origin + address, nbytes)

    def spend(self, nbytes: int) -> None:
        """Count bytes that are gone through or copied, so that a small file cannot make much of either.

        Raises:
            LimitError: They are many times what the data holds.
        """
        self._left -= nbytes
        if self._left < 0:
            raise LimitError(
                "leads to the same structures too often: "
                f"more than {self._allowance} bytes of them in {self.size}"
            )

    def check(self, address: int, nbytes: int) -> None:
        """Raise DamagedError unless the `nbytes` from `address` on are inside the data."""
        if address + nbytes > self.size:
            raise DamagedError(
                f"a structure of {nbytes} bytes at {address} lies beyond its end, which is at {self.size}"
            )

    def check_time(self) -> None:
        """Raise TimeoutError if reading has taken too long."""
        if monotonic() > self._deadline:
            raise TimeoutError

    def _load(self, number: int) -> bytes:
        start = number << _SHIFT
        self.check(start, 1)
        self.check_time()
        if len(self._blocks) >= _CACHED:
            del self._blocks[next(iter(self._blocks))]
        block = self._read(self.origin + start, min(_BLOCK + _OVERLAP, self.size - start))
        self._blocks[number] = block
        return block
