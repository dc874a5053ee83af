"""HDF5's chunk filters, applied and undone: deflate, shuffle and the Fletcher-32 checksum.

Formats after the HDF5 File Format Specification 3.0, section III.G, and libhdf5's sources.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from weightaudit.checksums import INFLATE_ERRORS, inflater
from weightaudit.errors import ReadError

Bytes = NDArray[np.uint8]

_LEVELS = (1, 4, 6, 9)
"""A level of deflate for each of the four that a zlib header tells apart; 4 is the default of h5py."""


def undo(raw: Bytes, filters: tuple[str, ...], nbytes: int, itemsize: int, label: str) -> Bytes:
    """Return the bytes of a chunk as they were before it was packed.

    Args:
        raw: Stored bytes.
        filters: Names of the filters in the order in which they were applied.
        nbytes: Bytes of the whole chunk; more are never made.
        itemsize: Bytes of one element.
        label: Name for messages.

    Raises:
        ReadError: The chunk cannot be unpacked, has another length, or its checksum is wrong.
    """
    for name in reversed(filters):
        if name == "fletcher32":
            raw = _check_fletcher32(raw, label)
        elif name == "deflate":
            raw = _inflate(raw, nbytes + 4, label)
        else:
            raw = _unshuffle(raw, itemsize)
    if raw.size != nbytes:
        raise ReadError(f"{label} has a chunk of {raw.size} bytes where {nbytes} are expected.")
    return raw


def apply(raw: Bytes, filters: tuple[str, ...], itemsize: int, level: int) -> Bytes:
    """Return the bytes of a chunk as they are stored: the inverse of `undo`.

    Args:
        raw: Bytes of the whole chunk.
        filters: Names of the filters, in the order in which they are applied.
        itemsize: Bytes of one element.
        level: Level of deflate, 0 to 9.
    """
    for name in filters:
        if name == "fletcher32":
            checksum = _canonical(raw).to_bytes(4, "little")
            raw = np.concatenate([raw, np.frombuffer(checksum, np.uint8)])
        elif name == "deflate":
            raw = np.frombuffer(zlib.compress(raw.data, level), np.uint8)
        else:
            raw = _shuffle(raw, itemsize)
    return raw


def deflate_level(begin: bytes) -> int:
    """Return a level of deflate like the one that made a zlib stream of which two bytes are given.

    A stream that begins otherwise has been filtered again; it counts as of h5py's level.
    """
    head = int.from_bytes(begin, "big")
    is_zlib = len(begin) == 2 and head >> 8 & 0x0F == 8 and head % 31 == 0
    return _LEVELS[head >> 6 & 3 if is_zlib else 1]


def _inflate(raw: Bytes, bound: int, label: str) -> Bytes:
    # A checksum of four bytes may have been added before the chunk was deflated.
    inflate = inflater(15)
    try:
        out = inflate.decompress(raw.data, bound + 1)
    except INFLATE_ERRORS as error:
        raise ReadError(f"{label} has a chunk that cannot be inflated ({error}).") from error
    # Its own checksum comes last: a stream without its end proves nothing about what came before.
    if len(out) > bound or not inflate.eof:
        raise ReadError(f"{label} has a chunk that does not inflate to its length.")
    return np.frombuffer(out, np.uint8)


def _unshuffle(raw: Bytes, itemsize: int) -> Bytes:
    """Bring together the bytes of each element, which lie a column apart."""
    whole = raw.size // itemsize * itemsize
    elements = np.ascontiguousarray(raw[:whole].reshape(itemsize, -1).T).ravel()
    return elements if whole == raw.size else np.concatenate([elements, raw[whole:]])


def _shuffle(raw: Bytes, itemsize: int) -> Bytes:
    """Lay the first bytes of all elements side by side, then the second ones, and so on."""
    whole = raw.size // itemsize * itemsize
    columns = np.ascontiguousarray(raw[:whole].reshape(-1, itemsize).T).ravel()
    return columns if whole == raw.size else np.concatenate([columns, raw[whole:]])


def _check_fletcher32(raw: Bytes, label: str) -> Bytes:
    if raw.size < 4:
        raise ReadError(f"{label} has a chunk without its checksum.")
    data, stored = raw[:-4], int.from_bytes(raw[-4:].tobytes(), "little")
    # libhdf5 before 1.6.3 wrote the bytes of each half in the other order; both are accepted.
    swapped = (stored & 0x00FF00FF) << 8 | (stored >> 8) & 0x00FF00FF
    if _fletcher32(data) not in {_reduced(stored), _reduced(swapped)}:
        raise ReadError(f"{label} has a damaged chunk: its Fletcher-32 checksum is wrong.")
    return data


def _fletcher32(data: Bytes) -> tuple[int, int]:
    """Return both sums modulo 65535, over big-endian 16-bit words."""
    padded = np.concatenate([data, np.zeros(1, np.uint8)]) if data.size % 2 else data
    words = padded.view(">u2").astype(np.uint64)
    weights = np.arange(words.size, 0, -1, dtype=np.uint64) % 65535
    return int(words.sum() % 65535), int((words * weights % 65535).sum() % 65535)


def _canonical(data: Bytes) -> int:
    """Return the checksum as libhdf5 writes it, whose additions never carry a sum back to zero."""
    low, high = _fletcher32(data)
    if data.any():
        low, high = low or 0xFFFF, high or 0xFFFF
    return high << 16 | low


def _reduced(value: int) -> tuple[int, int]:
    return (value & 0xFFFF) % 65535, (value >> 16) % 65535
