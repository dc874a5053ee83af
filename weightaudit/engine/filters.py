"""HDF5's chunk filters, undone: deflate, shuffle and the Fletcher-32 checksum.

Formats after the HDF5 File Format Specification 3.0, section III.G, and libhdf5's sources.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from weightaudit.checksums import INFLATE_ERRORS, inflater
from weightaudit.errors import ReadError

Bytes = NDArray[np.uint8]


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


def _reduced(value: int) -> tuple[int, int]:
    return (value & 0xFFFF) % 65535, (value >> 16) % 65535
