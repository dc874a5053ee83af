"""The global heap: where strings of variable length are."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from weightaudit.formats.hdf5_native.reader import UNDEFINED, DamagedError, UnfamiliarError

if TYPE_CHECKING:
    from collections.abc import Callable

    from weightaudit.formats.hdf5_native.reader import Reader

_COLLECTION = struct.Struct("<4sB3xQ")
_OBJECT = struct.Struct("<H6xQ")
_SMALLEST = 4096
_NOWHERE = {0, UNDEFINED}
_CACHED = 4
"""Collections that are kept: strings that are written one after the other are in the same one."""


class GlobalHeaps:
    """Reads strings; keeps the collections that were read last.

    Args:
        reader: The data.
        count: Called with the bytes of what is read, attributes among it; may refuse them.
    """

    def __init__(self, reader: Reader, count: Callable[[int], None]) -> None:
        self._reader, self.count = reader, count
        self._collections: dict[int, dict[int, bytes]] = {}

    def text(self, length: int, address: int, index: int) -> bytes:
        """Return a string up to its first NUL, if it has one.

        Args:
            length: Its bytes; 0 means that there is none.
            address: The collection that holds it.
            index: Its number there.

        Raises:
            DamagedError: It is not there, or has another length.
        """
        if length == 0 and address in _NOWHERE:
            return b""
        collection = self._collections.get(address)
        if collection is None:
            if len(self._collections) >= _CACHED:
                del self._collections[next(iter(self._collections))]
            collection = self._collections[address] = self._read(address)
        found = collection.get(index)
        if found is None or len(found) != length:
            raise DamagedError(f"the heap at {address} does not hold string {index} of {length} bytes")
        self.count(length)
        return found.partition(b"\0")[0]

    def _read(self, address: int) -> dict[int, bytes]:
        """Return the objects of a collection by their numbers."""
        raw, place = self._reader.at(address, _COLLECTION.size)
        magic, version, size = _COLLECTION.unpack_from(raw, place)
        if (magic, version) != (b"GCOL", 1) or size < _SMALLEST:
            raise DamagedError(f"there is no heap of strings at {address}")
        self.count(size)
        raw = self._reader.exactly(address, size)
        objects: dict[int, bytes] = {}
        place = _COLLECTION.size
        while place + _OBJECT.size <= size:
            index, length = _OBJECT.unpack_from(raw, place)
            if index == 0:
                # Free space, which includes what describes it.
                if place + length != size:
                    raise UnfamiliarError("a heap of strings has free space that does not end with it")
                break
            place += _OBJECT.size
            if index in objects or place + length > size:
                raise DamagedError(f"the heap of strings at {address} contradicts itself")
            objects[index] = raw[place : place + length]
            place += length + 7 & ~7
        return objects
