"""``.keras`` archives: the weights changed, a record added, and every other member as it was."""

from __future__ import annotations

import os
import tempfile
import unicodedata
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

from weightaudit.catalog import Tiles
from weightaudit.checksums import crc32, deflater
from weightaudit.errors import ReadError
from weightaudit.formats.hdf5 import Hdf5Data
from weightaudit.formats.keras_archive import WEIGHTS
from weightaudit.formats.zip_archive import STORED, Member, find_directory, list_members, read_member
from weightaudit.limits import DEFAULT_LIMITS
from weightaudit.storage.failures import writing
from weightaudit.writing import zip_headers
from weightaudit.writing.destination import Destination, Patched
from weightaudit.writing.embedding import NAME, is_record
from weightaudit.writing.hdf5 import patch_hdf5

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from weightaudit.source import LocalFile
    from weightaudit.writing.edits import Place
    from weightaudit.writing.output import Output

RECORD = NAME
"""The member that says what was done to a model; Keras passes over members that it does not know."""

_PIECE = 1 << 20
_LONGEST_DESCRIPTOR = 24


class _Archive:
    """An archive under way: stretches of the old one, and new bytes, one after the other."""

    def __init__(self, source: LocalFile, destination: Destination) -> None:
        self.source, self.destination = source, destination
        self.size = 0
        self._begin = self._end = 0  # a stretch of the source that is still to be copied

    def keep(self, begin: int, end: int) -> None:
        """Add a stretch of the old archive; those that follow each other are copied at once."""
        if begin != self._end:
            self.flush()
            self._begin = begin
        self._end = end
        self.size += end - begin

    def add(self, data: bytes) -> None:
        """Add new bytes."""
        self.flush()
        self.destination.write(self.size, data)
        self.size += len(data)

    def flush(self) -> None:
        """Copy what is still to be copied."""
        length = self._end - self._begin
        self.destination.copy(self.source, self._begin, length, self.size - length)
        self._begin = self._end


def write_archive(output: Output, name: str, places: Sequence[Place], record: bytes | None) -> None:
    """Write an archive.

    Args:
        output: Where the copy is made.
        name: Name of the archive.
        places: What changes in its weights.
        record: Content of the member `RECORD`; None leaves that as it is. One of that name that is none of
            our records is left, too: it is the user's.

    Raises:
        ReadError: The archive is damaged, or changed meanwhile.
        WriteError: It cannot be written.
    """
    source = output.files[output.files.open(name)]
    members = list_members(source)
    _, _, directory = find_directory(source)
    ordered = sorted(members.values(), key=lambda member: member.header)
    written: dict[str, Member] = {}
    if any(_is_record(member.name) and not _is_ours(source, member) for member in ordered):
        record = None
    with output.create(name) as destination:
        archive = _Archive(source, destination)
        archive.keep(0, ordered[0].header)
        ends = (*(member.header for member in ordered[1:]), directory)
        for member, end in zip(ordered, ends, strict=True):
            if record is not None and _is_record(member.name):
                continue
            if places and member.name == WEIGHTS:
                written[member.name] = _add_weights(archive, output, member, end, places)
            else:
                written[member.name] = replace(member, header=archive.size)
                archive.keep(member.header, end)
        if record is not None:
            local, written[RECORD] = zip_headers.stored_member(RECORD, record, crc32(record), archive.size)
            archive.add(local)
        in_order = [written[key] for key in dict.fromkeys((*members, *written)) if key in written]
        _add_directory(archive, in_order)


def _is_record(name: str) -> bool:
    return unicodedata.normalize("NFC", name).casefold() == RECORD


def _is_ours(source: LocalFile, member: Member) -> bool:
    try:
        return is_record(read_member(source, member, DEFAULT_LIMITS))
    except ReadError:
        return False


def _add_directory(archive: _Archive, members: Sequence[Member]) -> None:
    _, size, offset = find_directory(archive.source)
    end = offset + size
    behind = archive.source.read(end, archive.source.size - end)
    directory = b"".join(zip_headers.central_record(member) for member in members)
    archive.add(directory + zip_headers.directory_end(behind, len(members), len(directory), archive.size))


def _add_weights(
    archive: _Archive, output: Output, member: Member, end: int, places: Sequence[Place]
) -> Member:
    """Add the weights as they will be, and what follows them; return what the directory says of them."""
    source, begin = archive.source, archive.size
    held = source.read(member.header, member.offset - member.header)
    is_large = _most(member, places) >= zip_headers.LIMIT
    header = zip_headers.local_header(held, member, is_large=is_large)
    if len(header) == len(held):
        archive.keep(member.header, member.offset)
    else:
        archive.add(header)
    add = _add_stored if member.method == STORED else _add_deflated
    written = replace(add(archive, output, member, places), header=begin)
    archive.flush()
    archive.destination.write(begin, zip_headers.local_header(held, written, is_large=is_large))
    after = member.offset + member.stored
    behind = source.read(after, min(_LONGEST_DESCRIPTOR, end - after))
    length, descriptor = zip_headers.descriptor(behind, member, written)
    if length:
        archive.add(descriptor)
    archive.keep(after + length, end)
    return written


def _add_stored(archive: _Archive, output: Output, member: Member, places: Sequence[Place]) -> Member:
    source = archive.source
    archive.keep(member.offset, member.offset + member.size)
    archive.flush()
    copy = Patched(source, member.offset, member.size, archive.destination, archive.size - member.size)
    data = Hdf5Data(source, output.files.open(source.label), member.offset, member.size)
    patch_hdf5(output.files, data, places, copy)
    archive.size += copy.size - member.size
    return replace(member, crc=copy.crc(member.crc), stored=copy.size, size=copy.size)


def _add_deflated(archive: _Archive, output: Output, member: Member, places: Sequence[Place]) -> Member:
    """Change the inflated weights, which the reader has put into a file without a name, and deflate them."""
    (number,) = frozenset[int]().union(*(place.files for place in places))
    spooled = output.files[number]
    with _scratch(output.into, archive.destination.label) as scratch:
        scratch.copy(spooled, 0, spooled.size, 0)
        copy = Patched(spooled, 0, spooled.size, scratch, 0)
        patch_hdf5(output.files, Hdf5Data.whole(spooled, number), places, copy)
        if not copy.is_changed:
            archive.keep(member.offset, member.offset + member.stored)
            return member
        before, packer = archive.size, deflater()
        for offset in range(0, copy.size, _PIECE):
            piece = scratch.read(offset, min(_PIECE, copy.size - offset))
            archive.add(packer.compress(piece))
        archive.add(packer.flush())
    return replace(member, crc=copy.crc(member.crc), stored=archive.size - before, size=copy.size)


def _scratch(folder: Path, label: str) -> Destination:
    """Return a file without a name, for what becomes a part of a file of that name."""
    with writing(f"{label} cannot be written"), tempfile.TemporaryFile(dir=folder) as file:
        return Destination(os.dup(file.fileno()), label)


def _most(member: Member, places: Sequence[Place]) -> int:
    """Return a bound on the bytes of the weights once they are written, stored or deflated."""
    tiles = [
        prod(tile.shape) * place.width
        for place in places
        if isinstance(place.entry.storage, Tiles)
        for tile in place.entry.storage.tiles
        if tile.filters
    ]
    most = member.size + sum(tiles)
    return most + most // 1000 + 1024 * (1 + len(tiles))
