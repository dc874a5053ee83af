"""SHA-256 of tensors and files: what says that two of them are the same, bit for bit.

The digest of a tensor is taken over its elements in row-major order and little-endian bytes, of
the type in which they are stored. It does not depend on the container, on how that packs or cuts
the tensor, or on the tensor's name.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from weightaudit.catalog import Absent, Entry, Extent
from weightaudit.dtypes import components, itemsize
from weightaudit.engine.reading import read_pieces
from weightaudit.engine.threads import thread_count

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from weightaudit.checkpoint import Checkpoint
    from weightaudit.source import ByteSource, Files
    from weightaudit.tensor import TensorInfo

_PIECE = 2 << 20


def tensor_digests(
    checkpoint: Checkpoint, tensors: Iterable[TensorInfo] | None = None, *, workers: int | None = None
) -> dict[str, str | None]:
    """Return the digest of every tensor of an open model, by name.

    Args:
        checkpoint: The model.
        tensors: Tensors to digest; by default all.
        workers: Threads; by default one per usable CPU.

    Returns:
        Hexadecimal SHA-256. Strings and other objects are digested as the container packs them.
        None for a tensor that has no bytes of its own, such as one whose data is missing.

    Raises:
        ReadError: A tensor cannot be read.
    """
    chosen = list(checkpoint.tensors if tensors is None else tensors)
    found = entry_digests(checkpoint.files, [checkpoint.entry(info) for info in chosen], workers=workers)
    return dict(zip((info.name for info in chosen), found, strict=True))


def entry_digests(files: Files, entries: Iterable[Entry], *, workers: int | None = None) -> list[str | None]:
    """Return the digests of stored tensors, in their order, taken on a few threads; see `tensor_digests`.

    Raises:
        ReadError: One of them cannot be read.
    """
    with ThreadPoolExecutor(thread_count(workers)) as pool:
        return list(pool.map(partial(entry_digest, files), entries))


def entry_digest(files: Files, entry: Entry) -> str | None:
    """Return the digest of one stored tensor; see `tensor_digests`.

    Raises:
        ReadError: It cannot be read.
    """
    if isinstance(entry.storage, Absent):
        return None
    if itemsize(entry.dtype):
        pieces = read_pieces(files, entry, 0, prod(entry.shape))
        return pieces_digest((raw for _, raw in pieces), entry)
    if isinstance(entry.storage, Extent):
        return source_digest(files[entry.storage.file], entry.storage.offset, entry.storage.nbytes)
    return None


def pieces_digest(pieces: Iterable[NDArray[np.uint8]], entry: Entry) -> str:
    """Return the digest of a tensor whose stored bytes come in row-major order."""
    digest = hashlib.sha256()
    for raw in pieces:
        digest.update(little_endian(raw, entry).data)
    return digest.hexdigest()


def little_endian(raw: NDArray[np.uint8], entry: Entry) -> NDArray[np.uint8]:
    """Return stored bytes of whole elements in little-endian order, the same array if they are."""
    width = itemsize(entry.dtype) // components(entry.dtype)
    if entry.big_endian and width > 1:
        raw = raw.view(f">u{width}").astype(f"<u{width}").view(np.uint8)
    return np.ascontiguousarray(raw)


def source_digest(source: ByteSource, offset: int = 0, nbytes: int | None = None) -> str:
    """Return the digest of a file, or of a part of it.

    Raises:
        ReadError: It cannot be read.
    """
    digest = hashlib.sha256()
    end = source.size if nbytes is None else offset + nbytes
    buffer = bytearray(min(_PIECE, max(1, end - offset)))
    while offset < end:
        view = memoryview(buffer)[: min(len(buffer), end - offset)]
        source.read_into(offset, view)
        digest.update(view)
        offset += len(view)
    return digest.hexdigest()
