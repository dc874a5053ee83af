"""The superblock: where HDF5 data begins, how large its structures are, and where its root group is."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from weightaudit.formats.hdf5_native.reader import UNDEFINED, DamagedError, UnfamiliarError

if TYPE_CHECKING:
    from weightaudit.formats.hdf5_native.reader import Reader

MAGIC = b"\x89HDF\r\n\x1a\n"

_HEAD = struct.Struct("<8s3Bx3BxHHI")
_ADDRESSES = struct.Struct("<4Q8xQI20x")
_SMALLEST_USER_BLOCK = 512
_DEFAULT_CHUNK_RANK = 32
"""Half the children of a node in an index of chunks, where the superblock does not say."""


class Superblock(NamedTuple):
    """What the superblock says.

    Attributes:
        start: Where it is, from the beginning of the data; addresses count from there.
        end: Where it stores how long the data is, user block included; from the beginning of the data.
        size: Bytes from `start` to the end of the data.
        root: Address of the object header of the root group.
        leaf_rank: Half the entries that a symbol table node has room for.
        group_rank: Half the children that a node of a group's B-tree has room for.
        chunk_rank: Half the children that a node of a chunk index has room for.
    """

    start: int
    end: int
    size: int
    root: int
    leaf_rank: int
    group_rank: int
    chunk_rank: int


def find_superblock(reader: Reader) -> Superblock:
    """Find the superblock of HDF5 data, behind a user block if there is one, and check it.

    Args:
        reader: All of the data.

    Raises:
        DamagedError: It is damaged, or the data is cut short.
        UnfamiliarError: There is none, or it is of a version that is not known here.
    """
    start = 0
    while reader.exactly(start, len(MAGIC)) != MAGIC:
        start = max(_SMALLEST_USER_BLOCK, 2 * start)
        if start + len(MAGIC) > reader.size:
            raise UnfamiliarError("it has no superblock")
    raw = reader.exactly(start, _HEAD.size)
    _, version, *versions, addresses, lengths, leaf, group, flags = _HEAD.unpack(raw)
    if version > 1:
        raise UnfamiliarError(f"its superblock is of version {version}, not 0 or 1")
    if (*versions, addresses, lengths, flags) != (0, 0, 0, 8, 8, 0):
        raise UnfamiliarError("its superblock is not one that h5py makes by default")
    place = start + _HEAD.size
    chunk = _DEFAULT_CHUNK_RANK
    if version == 1:
        chunk = int.from_bytes(reader.exactly(place, 2), "little")
        place += 4
    base, space, end, driver, root, cached = _ADDRESSES.unpack(reader.exactly(place, _ADDRESSES.size))
    if (base, space, driver) != (start, UNDEFINED, UNDEFINED) or cached > 1:
        raise UnfamiliarError("its superblock counts addresses from elsewhere, or has extensions")
    if not (leaf and group and chunk):
        raise DamagedError("its superblock allows no entries in groups")
    # Unlike all other addresses, the end counts from the beginning of the user block.
    if not place < end <= reader.size:
        raise DamagedError(f"it should be {end} bytes long, and there are {reader.size}")
    return Superblock(start, place + 16, end - start, root, leaf, group, chunk)
