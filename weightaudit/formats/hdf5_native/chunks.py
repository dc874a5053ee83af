"""Chunked datasets: the index that says where each chunk is."""

from __future__ import annotations

import struct
from operator import mod
from typing import TYPE_CHECKING

from weightaudit.formats.hdf5_native.btree import Entry, Kind, leaves
from weightaudit.formats.hdf5_native.reader import UNDEFINED, DamagedError, UnfamiliarError

if TYPE_CHECKING:
    from weightaudit.formats.hdf5_native.reader import Reader
    from weightaudit.formats.hdf5_native.superblock import Superblock

Chunk = tuple[tuple[int, ...], int, int, int]
"""Index of the first element, mask of filters that were left out, offset from the beginning of the data,
and stored bytes."""


def chunk_index(superblock: Superblock, box: tuple[int, ...]) -> Kind:
    """Return the kind of B-tree that indexes chunks of a shape, whose last length is that of an element."""

    def origin(fields: Entry) -> tuple[int, ...]:
        place = fields[2 : 2 + len(box)]
        if any(map(mod, place, box)):
            raise DamagedError(f"a chunk begins at {list(place[:-1])}, which is inside of another")
        return place

    key = f"<II{len(box)}Q"
    return Kind(1, superblock.chunk_rank, struct.Struct(key), struct.Struct(f"{key}Q"), origin)


def read_chunks(
    reader: Reader, superblock: Superblock, root: int, box: tuple[int, ...], most: int
) -> list[Chunk]:
    """Return all chunks of a dataset, in the order of their places in it.

    Args:
        reader: The data.
        superblock: Its superblock.
        root: Address of the root of the index.
        box: Shape of a chunk, and the bytes of an element.
        most: Chunks after which reading stops: there is one more than the limit.

    Raises:
        DamagedError: The index contradicts itself.
        UnfamiliarError: A chunk is empty, or not in the data.
    """
    found: list[Chunk] = []
    if root == UNDEFINED:
        return found
    for leaf in leaves(reader, root, chunk_index(superblock, box)):
        size, mask, *origin, inside, address = leaf.fields
        # libhdf5 finds no chunk by a key that begins inside of an element, though it lists it.
        if inside:
            raise DamagedError(f"a chunk begins at {origin}, and {inside} bytes inside of an element")
        if not size or address + size > reader.size:
            raise UnfamiliarError("a chunk is empty, or not all inside the data")
        if len(found) > most:
            break
        found.append((tuple(origin), mask, superblock.start + address, size))
    return found
