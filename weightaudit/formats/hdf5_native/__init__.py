"""The HDF5 structures that Keras writes, parsed here: no libhdf5, no other process, every place checked.

Known are the structures that h5py makes by default. Whatever else a file holds raises
`UnfamiliarError`, and libhdf5 is asked about the whole file, in a confined process; nothing is
passed over. What cannot be right in any reading raises `DamagedError`.

Source: HDF5 File Format Specification, version 3.0, and for what libhdf5 refuses its own behaviour.
"""

from weightaudit.formats.hdf5_native.btree import leaves
from weightaudit.formats.hdf5_native.chunks import chunk_index
from weightaudit.formats.hdf5_native.datasets import VALUES_AT, parse_chunked, parse_compact
from weightaudit.formats.hdf5_native.headers import LAYOUT, each_message
from weightaudit.formats.hdf5_native.reader import (
    UNDEFINED,
    DamagedError,
    LimitError,
    Reader,
    UnfamiliarError,
    allowance,
)
from weightaudit.formats.hdf5_native.superblock import Superblock, find_superblock
from weightaudit.formats.hdf5_native.walk import list_natively

__all__ = [
    "LAYOUT",
    "UNDEFINED",
    "VALUES_AT",
    "DamagedError",
    "LimitError",
    "Reader",
    "Superblock",
    "UnfamiliarError",
    "allowance",
    "chunk_index",
    "each_message",
    "find_superblock",
    "leaves",
    "list_natively",
    "parse_chunked",
    "parse_compact",
]
