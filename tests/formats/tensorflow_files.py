"""Builds TensorFlow's containers byte by byte, so that tests can make each kind of damage on purpose."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np

from weightaudit.catalog import Catalog, Entry, Extent, Tiles
from weightaudit.formats.sstable import read_table
from weightaudit.formats.tensor_bundle import catalog_tensor_bundle
from weightaudit.limits import DEFAULT_LIMITS
from weightaudit.source import Files, LocalFile

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAGIC = bytes.fromhex("57fb808b247547db")
Pair = tuple[bytes, bytes]


def varint(value: int) -> bytes:
    """Encode a number; negative ones as 64-bit two's complement."""
    value &= (1 << 64) - 1
    result = bytearray()
    while value > 127:
        result.append(value & 127 | 128)
        value >>= 7
    result.append(value)
    return bytes(result)


def number(field: int, value: int) -> bytes:
    """Encode a varint field of a message."""
    return varint(field << 3) + varint(value)


def chunk(field: int, value: bytes) -> bytes:
    """Encode a length-delimited field of a message."""
    return varint(field << 3 | 2) + varint(len(value)) + value


def mask(crc: int) -> int:
    """Mask a CRC32C as LevelDB does."""
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def masked_crc(data: bytes) -> bytes:
    """Return the stored form of a checksum."""
    return mask(google_crc32c.value(data)).to_bytes(4, "little")


def block(pairs: Iterable[Pair], interval: int = 16) -> bytes:
    """Encode the entries of a block, with their restart array."""
    content, restarts, previous = bytearray(), [], b""
    for index, (key, value) in enumerate(pairs):
        shared = 0
        if index % interval:
            while shared < min(len(key), len(previous)) and key[shared] == previous[shared]:
                shared += 1
        else:
            restarts.append(len(content))
        content += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        previous = key
    restarts = restarts or [0]
    tail = b"".join(place.to_bytes(4, "little") for place in [*restarts, len(restarts)])
    return bytes(content) + tail


def table(blocks: Sequence[tuple[bytes, bytes]], index: bytes | None = None, kind: int = 0) -> bytes:
    """Put blocks, given as (separator, content), into a table with right checksums.

    Args:
        blocks: The data blocks.
        index: Content of the index block; by default the right one.
        kind: Compression type that the data blocks claim.
    """
    result = bytearray()

    def add(content: bytes, compression: int = 0) -> bytes:
        handle = varint(len(result)) + varint(len(content))
        stored = content + bytes([compression])
        result.extend(stored + masked_crc(stored))
        return handle

    handles = [(separator, add(content, kind)) for separator, content in blocks]
    metaindex = add(block([]))
    place = add(block(handles, 1) if index is None else index)
    return bytes(result) + (metaindex + place).ljust(40, b"\0") + MAGIC


def simple_table(pairs: Sequence[Pair], per_block: int = 1000) -> bytes:
    """Write pairs as a valid table."""
    groups = [pairs[i : i + per_block] for i in range(0, len(pairs), per_block)]
    return table([(group[-1][0], block(group)) for group in groups])


def shape(*sizes: int) -> bytes:
    """Encode a TensorShapeProto."""
    return b"".join(chunk(2, number(1, size)) for size in sizes)


def header(shards: int = 1, order: int = 0, needs: int = 0) -> Pair:
    """Return the header of a bundle's index."""
    return b"", number(1, shards) + number(2, order) + chunk(3, number(1, 1) + number(2, needs))


def entry(
    name: str | bytes,
    sizes: Sequence[int] = (2,),
    *,
    dtype: int = 1,
    shard: int = 0,
    offset: int = 0,
    nbytes: int = 8,
    crc: bytes = b"\0\0\0\0",
    more: bytes = b"",
) -> Pair:
    """Return one entry of a bundle's index; by default two float32 at the start of shard 0."""
    key = name.encode() if isinstance(name, str) else name
    value = number(1, dtype) + chunk(2, shape(*sizes)) + number(3, shard) + number(4, offset)
    return key, value + number(5, nbytes) + b"\x35" + crc + more


def write_bundle(folder: Path, pairs: Sequence[Pair], data: bytes = b"\0" * 64, name: str = "ckpt") -> Path:
    """Write an index of these pairs and one shard; return the folder."""
    (folder / f"{name}.index").write_bytes(simple_table(pairs))
    (folder / f"{name}.data-00000-of-00001").write_bytes(data)
    return folder


def read_pairs(path: Path) -> list[Pair]:
    """Read the pairs of a valid table."""
    source = LocalFile(path)
    try:
        return list(read_table(source))
    finally:
        source.close()


def bundle_catalog(folder: Path, prefix: str = "ckpt") -> Catalog:
    """Catalog a checkpoint of a folder."""
    with Files(folder) as files:
        return catalog_tensor_bundle(files, prefix, DEFAULT_LIMITS)


def stored_array(files: Files, item: Entry, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Read an entry by its byte ranges, as an array of the type that TensorFlow gave."""

    def read(extent: Extent, sizes: Sequence[int]) -> NDArray[Any]:
        raw = files[extent.file].read(extent.offset, extent.nbytes)
        return np.frombuffer(raw, dtype).reshape(sizes)

    if isinstance(item.storage, Extent):
        return read(item.storage, item.shape)
    assert isinstance(item.storage, Tiles)
    result = np.zeros(item.shape, dtype)
    for tile in item.storage.tiles:
        place = tuple(slice(a, a + n) for a, n in zip(tile.origin, tile.shape, strict=True))
        result[place] = read(tile.extent, tile.shape)
    return result
