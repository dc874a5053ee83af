"""Functions of libhdf5 that h5py does not offer.

Imported by the process that lists HDF5 files, and by nothing else; it imports nothing of weightaudit.
They are found in the libhdf5 that h5py itself is linked with.
"""

from __future__ import annotations

import ctypes
from importlib import import_module
from typing import Any

h5py: Any = import_module("h5py")  # it has no types

_LIBRARY = ctypes.CDLL(h5py.h5p.__file__)

_chunk_options = _LIBRARY.H5Pget_chunk_opts
_chunk_options.argtypes = (ctypes.c_int64, ctypes.POINTER(ctypes.c_uint))
_stored_bytes = _LIBRARY.H5Dget_chunk_storage_size
_stored_bytes.argtypes = (
    ctypes.c_int64,
    ctypes.POINTER(ctypes.c_ulonglong),
    ctypes.POINTER(ctypes.c_ulonglong),
)

_UNFILTERED_EDGES = 2
"""Option of chunks: those that reach beyond the dataset are stored without filters. Source: H5Dpublic.h."""


def has_unfiltered_edges(plist: Any) -> bool:
    """Say whether a dataset made with these properties leaves filters out at its edges, or that is not known.

    Nothing else tells which chunks these are.
    """
    options = ctypes.c_uint()
    return _chunk_options(plist.id, ctypes.byref(options)) < 0 or bool(options.value & _UNFILTERED_EDGES)


def find_chunk(dataset: Any, origin: tuple[int, ...]) -> int:
    """Return the bytes of the chunk that libhdf5 finds at a place when it reads; 0 where it finds none."""
    place, nbytes = (ctypes.c_ulonglong * len(origin))(*origin), ctypes.c_ulonglong()
    return nbytes.value if _stored_bytes(dataset.id, place, ctypes.byref(nbytes)) >= 0 else 0
