"""HDF5 files that libhdf5 reads for us: newer structures, rare types, and what it lists and does not load."""

from __future__ import annotations

import ctypes
import io
import struct
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from tests.hostile.canary import weights
from tests.hostile.case import Case, Make, Outcome, found, read, refused
from tests.hostile.hdf5_bytes import LAYOUT, damaged
from tests.hostile.hdf5_links import KERNEL, model
from tests.hostile.hdf5_sums import change_header
from tests.hostile.zips import archive, members, pack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OTHER = "layers/e/vars/0"
_FLOAT32, _VAX = b"\x11\x20\x1f\x00\x04\0\0\0", b"\x31\x61\x1f\x00\x04\0\0\0"
"""How the datatype message of float32 begins, and that of a number in the order of a VAX."""

_LAST_CHUNK = struct.pack("<IIQQQ", 256, 0, 8, 8, 0)
"""The key before the last of four chunks: bytes, mask, and where it begins."""

_SINGLE_CHUNK = bytes([4, 2, 0, 3, 1, 12, 10, 4, 1])
"""How the layout message of a kernel in one chunk begins: version 4, chunks, their shape, their index."""

_UNFILTERED_EDGES = 2
_set_chunk_options = ctypes.CDLL(h5py.h5p.__file__).H5Pset_chunk_opts
_set_chunk_options.argtypes = (ctypes.c_int64, ctypes.c_uint)


def low_level(file: h5py.File, kind: Any, values: np.ndarray, made: Any = None) -> None:
    """Write a dataset of a type, and with properties, that h5py has no words for."""
    links = h5py.h5p.create(h5py.h5p.LINK_CREATE)
    links.set_create_intermediate_group(True)
    space = h5py.h5s.create_simple(values.shape[:1] if kind.get_class() == h5py.h5t.ARRAY else values.shape)
    dataset = h5py.h5d.create(file.id, OTHER.encode(), kind, space, made, lcpl=links)
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, values, None if kind.get_class() == h5py.h5t.FLOAT else kind)


def _mantissa(norm: int) -> Callable[[h5py.File], object]:
    """Return what writes float32 whose mantissas begin in another way."""

    def write(file: h5py.File) -> None:
        kind = h5py.h5t.IEEE_F32LE.copy()
        kind.set_norm(norm)
        low_level(file, kind, weights())

    return write


def _as(kind: Any) -> Callable[[h5py.File], object]:
    """Return what writes numbers as bits, arrays or names of numbers, all of which h5py gives to Keras."""
    return lambda file: low_level(file, kind, weights().view(np.int32))


def _enumeration() -> Any:
    kind = h5py.h5t.enum_create(h5py.h5t.STD_I32LE)
    kind.enum_insert(b"ONE", 1)
    return kind


def _arrays(file: h5py.File) -> None:
    low_level(file, h5py.h5t.array_create(h5py.h5t.IEEE_F32LE, (16,)), weights())


def _text(file: h5py.File) -> None:
    """Write text that Keras takes for infinity."""
    file[OTHER] = np.full((16, 16), b"1e39")


def _legacy_text(folder: Path) -> Path:
    with h5py.File(folder / "m.h5", "w") as file:
        file.attrs["layer_names"] = [b"dense"]
        group = file.create_group("dense")
        group.attrs["weight_names"] = [b"dense/kernel:0", b"dense/bias:0"]
        group["dense/kernel:0"] = weights()
        group["dense/bias:0"] = np.full(16, b"1e39")
    return folder / "m.h5"


def unfiltered_edges(*filters: str) -> Callable[[h5py.File], object]:
    """Return what writes a kernel in chunks that are packed except at the edges."""

    def write(file: h5py.File) -> None:
        made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        made.set_chunk((12, 12))
        for name in filters:
            getattr(made, f"set_{name}")()
        _set_chunk_options(made.id, _UNFILTERED_EDGES)
        low_level(file, h5py.h5t.IEEE_F32LE, weights(), made)

    return write


def lost_chunk(change: Callable[[bytearray, int], None], *, shared: bool) -> Make:
    """Return what writes a kernel with a chunk that is listed, and not found: NaN is loaded in its place.

    Args:
        change: Changes the index of chunks; told where its last key before a chunk begins.
        shared: Whether the dataset shares its type with others, and so is listed by libhdf5.
    """

    def write(file: h5py.File) -> None:
        kind: Any = np.dtype(np.float32)
        if shared:
            file["T"] = kind
            kind = file["T"]
        file.create_dataset(OTHER, data=weights(), chunks=(8, 8), fillvalue=np.nan, dtype=kind)

    def changed(raw: bytearray) -> None:
        change(raw, raw.index(_LAST_CHUNK))

    return damaged(changed, model(write))


def _no_bound(raw: bytearray, place: int) -> None:
    """Let the key behind the last chunk be the smallest."""
    behind = place + len(_LAST_CHUNK) + 8
    raw[behind + 8 : behind + 32] = bytes(24)


def _inside(raw: bytearray, _: int) -> None:
    """Let the chunk before the last begin inside of an element."""
    raw[raw.index(struct.pack("<IIQQQ", 256, 0, 8, 0, 0)) + 24] = 4


def _vax(raw: bytearray) -> None:
    raw[:] = raw.replace(_FLOAT32, _VAX)


def _many(file: h5py.File, last: Any = None) -> None:
    """Fill a group until its links are in a heap and a B-tree."""
    for number in range(20):
        file[f"layers/d{number}/vars/0"] = weights()
    if last is not None:
        file["layers/d20"] = last


def _endless(file: h5py.File) -> None:
    file.create_dataset(OTHER, (1 << 40, 16), np.float32, maxshape=(None, 16), chunks=(16, 16))


def _partly_written(file: h5py.File) -> None:
    made = file.create_dataset(
        OTHER, (16, 16), np.float32, chunks=(8, 8), maxshape=(None, None), fillvalue=np.nan
    )
    made[:8, :8] = weights()[:8, :8]


def _paged(folder: Path) -> Path:
    path = folder / "m.weights.h5"
    with h5py.File(
        path, "w", libver="latest", fs_strategy="page", fs_page_size=4096, fs_persist=True
    ) as file:
        file[KERNEL] = weights()
    return path


def _in_archive_behind_block() -> bytes:
    raw = io.BytesIO()
    with h5py.File(raw, "w", libver="latest", userblock_size=2048) as file:
        file.create_dataset(KERNEL, data=weights(), chunks=(5, 5), compression="gzip", shuffle=True)
        file["layers/dense/vars/1"] = weights()[0]
    return pack(members(weights=raw.getvalue()))


def _stored_nowhere(raw: bytearray) -> None:
    """Say that no byte is stored of values that are NaN, at a place that is theirs still."""
    layout = raw.index(LAYOUT, raw.index(LAYOUT) + 1)
    raw[layout + 10 : layout + 18] = bytes(8)


def _nan_of_shared_type(file: h5py.File) -> None:
    file["T"] = np.dtype(np.float32)
    file.create_dataset(OTHER, data=weights() * np.float32(np.nan), dtype=file["T"])


def _narrow_single(raw: bytearray) -> None:
    """Let the only chunk of a kernel be as wide as a part of it: libhdf5 finds it wherever it looks."""
    change_header(raw, raw.index(_SINGLE_CHUNK) + 6, 5)


def _single(file: h5py.File) -> None:
    file.create_dataset(OTHER, data=weights()[:12, :10], chunks=(12, 10))


def _nowhere(raw: bytearray, place: int) -> None:
    """Let the last chunk have no address."""
    raw[place + len(_LAST_CHUNK) : place + len(_LAST_CHUNK) + 8] = b"\xff" * 8


NEW = "latest"
CASES: list[Case] = [
    refused(
        "hdf5: floats without the first bit implied", model(_mantissa(h5py.h5t.NORM_NONE)), "unknown float"
    ),
    refused(
        "hdf5: floats that store their first bit", model(_mantissa(h5py.h5t.NORM_MSBSET)), "unknown float"
    ),
    refused("hdf5: numbers in arrays", model(_arrays), "opaque"),
    refused("hdf5: numbers as text", model(_text), "It is text"),
    refused("hdf5: numbers as text in a weight of a layer", _legacy_text, "It is text"),
    refused("hdf5: floats in the order of a VAX", damaged(_vax), "unknown float"),
    refused("hdf5: numbers called bits", model(_as(h5py.h5t.STD_B32LE)), "opaque"),
    refused("hdf5: numbers with names", model(_as(_enumeration())), "enum"),
    refused(
        "hdf5: chunks shuffled except at the edges", model(unfiltered_edges("shuffle"), libver=NEW), "edges"
    ),
    refused(
        "hdf5: chunks packed except at the edges", model(unfiltered_edges("deflate"), libver=NEW), "edges"
    ),
    read("hdf5: chunks with nothing to leave out, as a control", model(unfiltered_edges(), libver=NEW)),
    refused("hdf5: a chunk beyond the last key", lost_chunk(_no_bound, shared=False), "not in order"),
    refused(
        "hdf5: a chunk beyond the last key, shared type",
        lost_chunk(_no_bound, shared=True),
        "not the one listed",
    ),
    refused(
        "hdf5: a chunk without a place",
        lost_chunk(_nowhere, shared=False),
        "damaged: a chunk|not the one listed",
    ),
    refused(
        "hdf5: values of no bytes", damaged(_stored_nowhere, model(_nan_of_shared_type)), "stores 0 bytes"
    ),
    refused(
        "hdf5: one chunk for a part of a kernel",
        damaged(_narrow_single, model(_single, libver=NEW)),
        "not the one listed",
    ),
    refused("hdf5: a chunk inside of an element", lost_chunk(_inside, shared=False), "inside of an element"),
    refused(
        "hdf5: a chunk inside of an element, shared type",
        lost_chunk(_inside, shared=True),
        "not the one listed",
    ),
    refused(
        "hdf5: a soft link among many, new structures",
        model(lambda file: _many(file, h5py.SoftLink("/layers/d1")), libver=NEW),
        "soft link",
    ),
    refused("hdf5: 2^40 rows, none of them written", model(_endless, libver=NEW), "--max-tensors"),
    found("hdf5: NaN where nothing was written", model(_partly_written, libver=NEW), "WA101"),
    read("hdf5: pages, as a control", _paged),
    Case(
        "hdf5: new structures behind a block, in an archive, as a control",
        archive(_in_archive_behind_block),
        Outcome.READ,
        "2 of 2 tensors",
    ),
]
