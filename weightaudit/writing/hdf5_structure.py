"""Where HDF5 says how a dataset is stored: the records that change when a packed chunk does.

Only the structures that our parser of HDF5 knows are changed. They are those that h5py makes by
default, in which nothing is under a checksum; whatever is different is refused.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from weightaudit.formats import hdf5_native as native
from weightaudit.limits import DEFAULT_LIMITS

if TYPE_CHECKING:
    from collections.abc import Generator

    from weightaudit.formats.hdf5 import Hdf5Data

_ADDRESS = 8


class UnknownStructureError(Exception):
    """A structure is not one that is changed here. Its text is a clause without a subject's file."""


@dataclass(frozen=True, slots=True)
class Superblock:
    """Where HDF5 data begins, and where it says that it ends; places count from the file's beginning.

    Attributes:
        base: What addresses are counted from.
        end: Where the address of the end of the data is stored.
        content: What it says.
    """

    base: int
    end: int
    content: native.Superblock


@dataclass(frozen=True, slots=True)
class ChunkRecord:
    """What a B-tree says of one chunk; places count from the file's beginning.

    Attributes:
        size: Stored bytes of the chunk.
        mask: Bit n is set if filter n was left out.
        offset: Where the chunk is.
        size_places: Where the size is stored: four bytes in its record, and in copies of its key
            in the nodes above.
        address_place: Where its address is stored: eight bytes.
    """

    size: int
    mask: int
    offset: int
    size_places: tuple[int, ...]
    address_place: int


def find_superblock(data: Hdf5Data) -> Superblock:
    """Return what the superblock of HDF5 data says.

    Raises:
        UnknownStructureError: It is of another version.
    """
    with _known():
        content = native.find_superblock(_reader(data))
    return Superblock(data.base + content.start, data.base + content.end, content)


def find_compact(data: Hdf5Data, block: Superblock, header: int) -> tuple[int, int]:
    """Return where the values of a compact dataset are, as (place, bytes).

    Args:
        data: The HDF5 data.
        block: Its superblock.
        header: Where the object header of the dataset begins.

    Raises:
        UnknownStructureError: The dataset is described in another way.
    """
    with _known():
        place, body = _layout(_addressed(data, block), header - block.base)
        return block.base + place + native.VALUES_AT, len(native.parse_compact(body))


def chunk_records(
    data: Hdf5Data, block: Superblock, header: int, most: int
) -> dict[tuple[int, ...], ChunkRecord]:
    """Return the record of every chunk of a dataset, by the index of its first element.

    Args:
        data: The HDF5 data.
        block: Its superblock.
        header: Where the object header of the dataset begins.
        most: How many chunks there are at most.

    Raises:
        UnknownStructureError: The dataset is described in another way.
    """
    records: dict[tuple[int, ...], ChunkRecord] = {}
    with _known():
        reader = _addressed(data, block)
        root, box = native.parse_chunked(_layout(reader, header - block.base)[1])
        if root == native.UNDEFINED:
            return records
        index = native.chunk_index(block.content, box)
        for leaf in native.leaves(reader, root, index):
            if len(records) == most:
                raise UnknownStructureError("the index of its chunks holds more of them than were listed")
            size, mask, *origin, _, address = leaf.fields
            places = tuple(block.base + place for place in leaf.places)
            child = places[-1] + index.entry.size - _ADDRESS
            records[tuple(origin)] = ChunkRecord(size, mask, block.base + address, places, child)
    return records


def _layout(reader: native.Reader, header: int) -> tuple[int, bytes]:
    """Return the address of the layout message of a dataset, and its bytes."""
    found = [
        (place, body) for kind, body, place in native.each_message(reader, header) if kind == native.LAYOUT
    ]
    if len(found) != 1:
        raise UnknownStructureError("its object header has no layout of its own")
    return found[0]


def _reader(data: Hdf5Data) -> native.Reader:
    limits = DEFAULT_LIMITS
    return native.Reader(data.file.read, data.base, data.size, limits.max_metadata, limits.timeout)


def _addressed(data: Hdf5Data, block: Superblock) -> native.Reader:
    """Return a reader that counts as the data does."""
    return _reader(data).part(block.base, block.content.size)


@contextmanager
def _known() -> Generator[None]:
    """Raise UnknownStructureError where our parser does not know a structure, or finds it damaged."""
    try:
        yield
    except (native.UnfamiliarError, native.DamagedError, native.LimitError) as error:
        raise UnknownStructureError(str(error)) from None
    except TimeoutError:
        raise UnknownStructureError("its structures take too long to read") from None
