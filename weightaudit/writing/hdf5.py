"""HDF5 data: values replaced where they are, and chunks packed again."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from weightaudit.catalog import Extent, Fill, Inline, Tile, Tiles
from weightaudit.engine.filters import apply, deflate_level
from weightaudit.engine.tiles import filled
from weightaudit.errors import WriteError
from weightaudit.formats.hdf5 import Hdf5Data
from weightaudit.writing.destination import Patched
from weightaudit.writing.edits import Bytes, Place, tile_contents
from weightaudit.writing.hdf5_structure import (
    ChunkRecord,
    UnknownStructureError,
    chunk_records,
    find_compact,
    find_superblock,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from weightaudit.source import Files
    from weightaudit.writing.output import Output

_LARGEST_CHUNK = (1 << 32) - 1


def write_hdf5(output: Output, places: Iterable[Place]) -> None:
    """Write the HDF5 files of a model that change.

    Args:
        output: Where the copy is made.
        places: What changes.

    Raises:
        ReadError: A file is damaged, or changed meanwhile.
        WriteError: A file cannot be written, or a tensor is stored in a way that is not changed here.
    """
    copies: dict[int, tuple[Hdf5Data, Patched]] = {}
    with ExitStack() as stack:
        for place in places:
            (number,) = place.files
            if number not in copies:
                data = Hdf5Data.whole(output.files[number], number)
                destination = stack.enter_context(output.patched(data.file.label))
                copies[number] = data, Patched(data.file, 0, data.size, destination, 0)
            _patch_tensor(output.files, *copies[number], place)
        for data, copy in copies.values():
            _renew_end(data, copy)


def patch_hdf5(files: Files, data: Hdf5Data, places: Iterable[Place], copy: Patched) -> None:
    """Give tensors of a copy of some HDF5 data their new bytes.

    What is stored as it is gets replaced in place. A packed chunk that changes is packed again, and
    takes the place of the old one if it fits there, else one at the end of the data; the records
    of its size and place are changed in the file's index of chunks.

    Args:
        files: The open files of the model.
        data: The data as it is.
        places: What changes, all in this data.
        copy: The copy.

    Raises:
        ReadError: The data is damaged, or changed meanwhile.
        WriteError: The copy cannot be written, or a tensor is stored in a way that is not changed here.
    """
    for place in places:
        _patch_tensor(files, data, copy, place)
    _renew_end(data, copy)


def _patch_tensor(files: Files, data: Hdf5Data, copy: Patched, place: Place) -> None:
    storage = place.entry.storage
    if isinstance(storage, Extent):
        for start, raw in place.pieces():
            copy.put(storage.offset + start, raw)
    elif isinstance(storage, Tiles):
        _patch_chunks(files, data, place, storage, copy)
    elif isinstance(storage, Inline):
        _patch_compact(data, place, storage, copy)
    elif isinstance(storage, Fill):
        _check_filled(place, storage)


def _renew_end(data: Hdf5Data, copy: Patched) -> None:
    """Say in the superblock where the data ends, if it has become longer."""
    if copy.size != data.size:
        with _known(data.file.label):
            copy.put(find_superblock(data).end, copy.size.to_bytes(8, "little"))


def _patch_chunks(files: Files, data: Hdf5Data, place: Place, tiles: Tiles, copy: Patched) -> None:
    index = _ChunkIndex(data, place, len(tiles.tiles))
    for tile, old, new in tile_contents(files, place, tiles):
        if np.array_equal(old, new):
            continue
        if not tile.filters:
            copy.put(tile.extent.offset, new)
            continue
        head = data.file.read(tile.extent.offset, min(2, tile.extent.nbytes))
        packed = apply(new, tile.filters, place.width, deflate_level(head))
        if packed.size > _LARGEST_CHUNK:
            raise WriteError(f"{index.label} has a chunk that would become larger than 4 GiB.")
        _store(index, tile, packed, copy)


def _store(index: _ChunkIndex, tile: Tile, packed: Bytes, copy: Patched) -> None:
    """Write a packed chunk, and what its records say of it if that changes."""
    record = index.record(tile)
    if packed.size <= tile.extent.nbytes:
        copy.put(tile.extent.offset, packed)
    else:
        address = copy.end - index.base
        copy.put(copy.end, packed)
        copy.put(record.address_place, address.to_bytes(8, "little"))
    if packed.size != tile.extent.nbytes:
        for size_place in record.size_places:
            copy.put(size_place, packed.size.to_bytes(4, "little"))


class _ChunkIndex:
    """Where the chunks of a dataset are recorded; read when the first packed one changes."""

    def __init__(self, data: Hdf5Data, place: Place, count: int) -> None:
        self.label = f"{data.file.label}: {place.name}"
        self._data, self._place, self._count = data, place, count

    @property
    def base(self) -> int:
        """What the addresses of chunks are counted from."""
        return self._content[0]

    def record(self, tile: Tile) -> ChunkRecord:
        """Return the record of a chunk; WriteError if it does not describe that chunk."""
        record = self._content[1].get(tile.origin)
        if record is None or (record.offset, record.size) != (tile.extent.offset, tile.extent.nbytes):
            raise _refusal(self.label, "the index of its chunks says something else than libhdf5 does")
        return record

    @cached_property
    def _content(self) -> tuple[int, dict[tuple[int, ...], ChunkRecord]]:
        with _known(self.label):
            superblock = find_superblock(self._data)
            header = _header(self._place)
            return superblock.base, chunk_records(self._data, superblock, header, self._count)


def _patch_compact(data: Hdf5Data, place: Place, stored: Inline, copy: Patched) -> None:
    """Change a dataset whose values are part of its description."""
    new = b"".join(raw.tobytes() for _, raw in place.pieces())
    if new == stored.data:
        return
    with _known(f"{data.file.label}: {place.name}"):
        offset, size = find_compact(data, find_superblock(data), _header(place))
        if data.file.read(offset, size) != stored.data:
            raise UnknownStructureError("its values are not where its layout says")
        copy.put(offset, new)


def _check_filled(place: Place, storage: Fill) -> None:
    """Refuse to change a dataset that was declared and never written: it has no room for values."""
    for _, raw in place.pieces():
        if not np.array_equal(raw, filled(storage.element, raw.size // place.width, place.width)):
            raise WriteError(
                f"{place.name} was never written, so there is no room for its values; "
                "save the model again first."
            )


def _header(place: Place) -> int:
    if place.entry.header is None:
        raise UnknownStructureError("its object header is not known")
    return place.entry.header.offset


@contextmanager
def _known(label: str) -> Generator[None]:
    """Raise a WriteError where a structure is not one that is changed here."""
    try:
        yield
    except UnknownStructureError as error:
        raise _refusal(label, str(error)) from None


def _refusal(label: str, reason: str) -> WriteError:
    return WriteError(
        f"{label} is stored in a form that cannot be changed in place ({reason}); "
        "unpack the file first, for instance with `h5repack -f NONE`."
    )
