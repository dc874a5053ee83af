"""A strict reader of zip archives: one directory, which says the same as every local header.

Python's `zipfile` accepts archives that two readers understand differently, and from 3.12 on
stops checking a member's CRC-32 as soon as anything seeks in it. A gate needs neither. Layout
after PKWARE's APPNOTE 6.3.10.
"""

from __future__ import annotations

import struct
import tempfile
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

from weightaudit.checksums import INFLATE_ERRORS, crc32, inflater
from weightaudit.errors import ReadError
from weightaudit.source import LocalFile, SpooledFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from weightaudit.limits import Limits

MAGIC = b"PK\x03\x04"
STORED, DEFLATED = 0, 8
_ZIP64, _UNICODE_NAME = 0x0001, 0x7075
"""Kinds of extra fields: numbers that do not fit 32 bits, and another name."""

_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_MAX_MEMBERS = 10_000
_MAX_DIRECTORY = 16 << 20
_SMALL = 1 << 20
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True)
class Member:
    """A file in the archive.

    Attributes:
        name: Its name, with forward slashes.
        offset: Where its stored bytes begin in the archive.
        stored: How many bytes are stored.
        size: How many bytes it has once inflated.
        crc: CRC-32 of those.
        method: STORED or DEFLATED.
        header: Where its local header begins in the archive.
        record: Its record in the central directory, as it is stored.
    """

    name: str
    offset: int
    stored: int
    size: int
    crc: int
    method: int
    header: int
    record: bytes


def list_members(file: LocalFile) -> Mapping[str, Member]:
    """Return the members by name.

    Raises:
        ReadError: The archive is damaged, encrypted, ambiguous, or its headers disagree.
    """
    count, size, offset = find_directory(file)
    if count > _MAX_MEMBERS:
        raise ReadError(f"{file.label} has {count} members; a Keras archive has a handful.")
    if size > _MAX_DIRECTORY:
        raise ReadError(f"{file.label} has a zip directory of {size} bytes; a Keras archive has a short one.")
    if offset + size > file.size:
        raise ReadError(f"{file.label} is truncated: its directory lies outside the file.")
    directory = file.read(offset, size)
    members: dict[str, Member] = {}
    folded: set[str] = set()
    place = 0
    for _ in range(count):
        member, place = _central_entry(file, directory, place)
        fold = unicodedata.normalize("NFC", member.name).casefold()
        if fold in folded:
            raise ReadError(
                f"{file.label} has two members named {member.name}; readers disagree on which one counts."
            )
        folded.add(fold)
        members[member.name] = member
    if place != len(directory):
        raise ReadError(f"{file.label} has a damaged zip directory.")
    _check_disjoint(file, members, offset)
    return members


def read_member(file: LocalFile, member: Member, limits: Limits) -> bytes:
    """Return a small member, inflated and verified.

    Raises:
        ReadError: It is larger than the limit, or its CRC-32 or size is wrong.
    """
    if member.size > limits.max_metadata:
        most = limits.max_metadata
        raise ReadError(
            f"{file.label}: {member.name} is {member.size} bytes long; at most {most} are read "
            "(--max-metadata)."
        )
    if member.size > max(_SMALL, limits.max_ratio * member.stored):
        raise ReadError(
            f"{file.label}: {member.name} claims to inflate from {member.stored} to {member.size} bytes, "
            "which is not plausible for a document."
        )
    return b"".join(_inflated(file, member))


def spool_member(file: LocalFile, member: Member, limits: Limits) -> SpooledFile:
    """Inflate a large member into a temporary file that has no name, and verify it.

    Raises:
        ReadError: It inflates to more than is plausible, or its CRC-32 or size is wrong.
    """
    budget = limits.budget(member.stored)
    if member.size > budget:
        raise ReadError(
            f"{file.label}: {member.name} claims to inflate from {member.stored} to {member.size} bytes, "
            f"more than the {budget} that are plausible."
        )
    with tempfile.TemporaryFile() as spool:
        try:
            for piece in _inflated(file, member):
                spool.write(piece)
            spool.flush()
        except OSError as error:
            raise ReadError(
                f"{file.label}: there is no room to inflate {member.name} ({error.strerror})."
            ) from error
        return SpooledFile(spool.fileno(), f"{file.label}: {member.name}")


def _inflated(file: LocalFile, member: Member) -> Iterator[bytes]:
    """Yield the bytes of a member, and raise at the end if they are not the ones that were stored."""
    crc = done = 0
    for piece in _stored(file, member) if member.method == STORED else _deflated(file, member):
        crc = crc32(piece, crc)
        done += len(piece)
        if done > member.size:
            raise ReadError(
                f"{file.label}: {member.name} inflates to more than the {member.size} bytes it claims."
            )
        yield piece
    if done != member.size or crc != member.crc:
        raise ReadError(f"{file.label}: {member.name} is damaged (its CRC-32 or its length is wrong).")


def _stored(file: LocalFile, member: Member) -> Iterator[bytes]:
    for place in range(0, member.stored, _PIECE):
        yield file.read(member.offset + place, min(_PIECE, member.stored - place))


def _deflated(file: LocalFile, member: Member) -> Iterator[bytes]:
    inflate = inflater()
    try:
        for piece in _stored(file, member):
            waiting = piece
            while waiting:
                yield inflate.decompress(waiting, _PIECE)
                waiting = b"" if inflate.eof else inflate.unconsumed_tail
        while not inflate.eof and (rest := inflate.decompress(b"", _PIECE)):
            yield rest
    except INFLATE_ERRORS as error:
        raise ReadError(f"{file.label}: {member.name} cannot be inflated ({error}).") from error


def find_directory(file: LocalFile) -> tuple[int, int, int]:
    """Return (number of members, bytes, position) of the central directory.

    Raises:
        ReadError: There is none, or it does not say where it is.
    """
    tail_size = min(file.size, _END.size + 0xFFFF)
    tail = file.read(file.size - tail_size, tail_size)
    place = tail.rfind(b"PK\x05\x06")
    if place < 0 or len(tail) - place < _END.size:
        raise ReadError(f"{file.label} is truncated: its zip directory is missing.")
    _, disk, first_disk, here, count, size, offset, comment = _END.unpack_from(tail, place)
    end = file.size - tail_size + place
    if end + _END.size + comment != file.size or b"PK" in tail[place + _END.size :]:
        raise ReadError(f"{file.label} has data after its zip directory; readers disagree on what it holds.")
    if 0xFFFF in (here, count) or 0xFFFFFFFF in (size, offset):
        return _find_directory64(file, end)
    if tail[max(0, place - _END64_LOCATOR.size) : place].startswith(b"PK\x06\x07"):
        # Python's zipfile adds these records from 2 GiB on, where the old ones still hold the truth.
        wide = _find_directory64(file, end)
        if (disk, first_disk, here, count, size, offset) != (0, 0, wide[0], *wide):
            raise ReadError(f"{file.label} has two zip directories; readers disagree on what it holds.")
        return wide
    if disk or first_disk or here != count:
        raise ReadError(f"{file.label} is one part of a split zip archive, which is not read.")
    if offset + size != end:
        raise ReadError(f"{file.label} has a zip directory that is not where it says it is.")
    return count, size, offset


def _find_directory64(file: LocalFile, end: int) -> tuple[int, int, int]:
    place = end - _END64_LOCATOR.size
    if place < 0:
        raise ReadError(f"{file.label} has a damaged zip64 directory.")
    magic, _, record, _ = _END64_LOCATOR.unpack(file.read(place, _END64_LOCATOR.size))
    # Python's zipfile reads the record right before its locator, wherever that says that it is.
    if magic != b"PK\x06\x07" or record + _END64.size != place:
        raise ReadError(f"{file.label} has a damaged zip64 directory.")
    values = _END64.unpack(file.read(record, _END64.size))
    here, count, size, offset = values[6:10]
    if values[0] != b"PK\x06\x06" or here != count or offset + size != record:
        raise ReadError(f"{file.label} has a damaged zip64 directory.")
    return count, size, offset


def _central_entry(file: LocalFile, directory: bytes, place: int) -> tuple[Member, int]:
    if place + _CENTRAL.size > len(directory):
        raise ReadError(f"{file.label} has a damaged zip directory.")
    fields = _CENTRAL.unpack_from(directory, place)
    flags, method, crc, stored, size = fields[3], fields[4], fields[7], fields[8], fields[9]
    name_size, extra_size, comment_size, header = fields[10], fields[11], fields[12], fields[16]
    after_name = place + _CENTRAL.size + name_size
    after = after_name + extra_size + comment_size
    raw_name = directory[place + _CENTRAL.size : after_name]
    if fields[0] != b"PK\x01\x02" or after > len(directory):
        raise ReadError(f"{file.label} has a damaged zip directory.")
    name = _name(file, raw_name, flags)
    extra = directory[after_name : after_name + extra_size]
    _check_only_name(file, name, extra)
    size, stored, header = _widen(file, name, extra, (size, stored, header))
    if flags & 0x2041:
        raise ReadError(f"{file.label}: {name} is encrypted.")
    if method not in {STORED, DEFLATED}:
        raise ReadError(f"{file.label}: {name} is packed with zip method {method}; use stored or deflated.")
    if method == STORED and stored != size:
        raise ReadError(f"{file.label}: {name} is stored, and its two sizes differ.")
    offset = _data_offset(file, name, raw_name, header, (flags, method, crc, stored, size))
    if offset + stored > file.size:
        raise ReadError(f"{file.label} is truncated: {name} ends outside the file.")
    return Member(name, offset, stored, size, crc, method, header, directory[place:after]), after


def _name(file: LocalFile, raw: bytes, flags: int) -> str:
    try:
        name = raw.decode("utf-8" if flags & 0x800 else "cp437")
    except UnicodeDecodeError:
        raise ReadError(f"{file.label} has a member whose name is not valid text.") from None
    name = name.replace("\\", "/")
    if name.startswith("/") or "\0" in name or ".." in name.split("/") or ":" in name.split("/")[0]:
        raise ReadError(f"{file.label} has a member with a name that leads elsewhere: {name!r}.")
    return name


def _fields(file: LocalFile, name: str, extra: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield kind and content of the extra fields of a member; fewer than four bytes at the end are none."""
    place = 0
    while place + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, place)
        place += 4 + length
        if place > len(extra):
            raise ReadError(f"{file.label}: {name} has an extra field that is cut short.")
        yield kind, extra[place - length : place]


def _check_only_name(file: LocalFile, name: str, extra: bytes) -> None:
    """Refuse a member with another name among its extra fields, which Python's zipfile takes from 3.12 on."""
    for kind, field in _fields(file, name, extra):
        # After a version and a CRC-32 of the other name.
        if kind == _UNICODE_NAME and field[5:] != name.encode():
            raise ReadError(f"{file.label}: {name} has two names; readers disagree on which one counts.")


def _widen(file: LocalFile, name: str, extra: bytes, values: tuple[int, int, int]) -> tuple[int, int, int]:
    """Replace values that do not fit 32 bits by those of the zip64 field (size, stored, header)."""
    if 0xFFFFFFFF not in values:
        return values
    for kind, field in _fields(file, name, extra):
        if kind == _ZIP64:
            wide = [number for (number,) in struct.iter_unpack("<Q", field[: len(field) // 8 * 8])]
            if len(wide) >= values.count(0xFFFFFFFF):
                size, stored, header = (wide.pop(0) if value == 0xFFFFFFFF else value for value in values)
                return size, stored, header
    raise ReadError(f"{file.label}: {name} has a damaged zip64 field.")


def _data_offset(
    file: LocalFile, name: str, raw_name: bytes, header: int, central: tuple[int, int, int, int, int]
) -> int:
    """Return where a member's bytes begin, after comparing its local header with the directory."""
    if header + _LOCAL.size > file.size:
        raise ReadError(f"{file.label} is truncated: {name} begins outside the file.")
    flags, method, crc, stored, size = central
    magic, _, local_flags, local_method, _, _, local_crc, local_stored, local_size, name_size, extra_size = (
        _LOCAL.unpack(file.read(header, _LOCAL.size))
    )
    rest = file.read(header + _LOCAL.size, name_size + extra_size)
    if 0xFFFFFFFF in (local_stored, local_size):
        local_size, local_stored, _ = _widen(file, name, rest[name_size:], (local_size, local_stored, 0))
    # Bit 3: the writer did not know these yet, and wrote them behind the data instead.
    later = flags & 8 and (local_crc, local_stored, local_size) == (0, 0, 0)
    same = later or (local_crc, local_stored, local_size) == (crc, stored, size)
    if (
        magic != MAGIC
        or rest[:name_size] != raw_name
        or local_method != method
        or local_flags != flags
        or not same
    ):
        raise ReadError(f"{file.label}: the header of {name} contradicts the zip directory.")
    return header + _LOCAL.size + len(rest)


def _check_disjoint(file: LocalFile, members: Mapping[str, Member], directory: int) -> None:
    place = 0
    for member in sorted(members.values(), key=lambda member: member.offset):
        if member.offset < place + _LOCAL.size:
            raise ReadError(f"{file.label}: {member.name} overlaps another member.")
        place = member.offset + member.stored
    if place > directory:
        raise ReadError(f"{file.label} has members that overlap the zip directory.")
