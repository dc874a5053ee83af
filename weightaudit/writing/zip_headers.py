"""Headers of a zip archive, changed in what they say of sizes and places and otherwise kept as they are.

Layout after PKWARE's APPNOTE 6.3.10: local header (4.3.7), data descriptor (4.3.9), central
record (4.3.12), end of the directory (4.3.14 to 4.3.16), and the zip64 extra field (4.5.3).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from weightaudit.errors import WriteError
from weightaudit.formats.zip_archive import STORED, Member

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 0xFFFFFFFF
"""Sizes and places from here on do not fit 32 bits."""

_ELSEWHERE = 0xFFFFFFFF
"""A field of 32 bits with this value means that the zip64 field has the right one."""

_LOCAL, _CENTRAL = struct.Struct("<4s5H3L2H"), struct.Struct("<4s6H3L5H2L")
_END64, _LOCATOR, _END = struct.Struct("<4sQ2H2L4Q"), struct.Struct("<4sLQL"), struct.Struct("<4s4H2LH")
_ZIP64 = 1
_ZIP64_VERSION = 45
_DESCRIBED_LATER = 8
_DESCRIPTOR_MAGIC = b"PK\x07\x08"


class _Extra(NamedTuple):
    kind: int
    content: bytes


def local_header(raw: bytes, member: Member, *, is_large: bool) -> bytes:
    """Return the local header of a member with its CRC-32 and sizes, if it said them before.

    Args:
        raw: The header as it was, with name and extra fields.
        member: What it shall say.
        is_large: Whether to make room for sizes of 64 bits.

    Raises:
        WriteError: There is no room for them.
    """
    magic, version, flags, method, time, date, crc, stored, size, name_size, _ = _LOCAL.unpack_from(raw)
    name, extras = raw[_LOCAL.size :][:name_size], list(_extras(raw[_LOCAL.size + name_size :]))
    wide = (n for n, extra in enumerate(extras) if extra.kind == _ZIP64 and len(extra.content) >= 16)
    place = next(wide, None)
    said = struct.unpack("<QQ", extras[place].content[:16]) if place is not None else (size, stored)
    is_later = flags & _DESCRIBED_LATER and crc == 0 and said == (0, 0)
    if place is None and ((is_large and is_later) or _ELSEWHERE in said):
        raise _no_room(member)
    if is_later:
        return raw
    if is_large and place is None:
        extras.insert(0, _Extra(_ZIP64, b""))
        place, version, size, stored = 0, max(version, _ZIP64_VERSION), _ELSEWHERE, _ELSEWHERE
    if place is not None:
        sizes = struct.pack("<QQ", member.size, member.stored)
        extras[place] = _Extra(_ZIP64, sizes + extras[place].content[16:])
    size, stored = (
        _ELSEWHERE if old == _ELSEWHERE or new >= LIMIT else new
        for old, new in ((size, member.size), (stored, member.stored))
    )
    extra = _joined(extras)
    fixed = (magic, version, flags, method, time, date, member.crc, stored, size, len(name), len(extra))
    return _LOCAL.pack(*fixed) + name + extra


def descriptor(behind: bytes, old: Member, new: Member) -> tuple[int, bytes]:
    """Return the length of the data descriptor of a member, and the one that it gets.

    Args:
        behind: At least the first 24 bytes behind the data of the member, or all that there are.
        old: The member as it was.
        new: The member as it will be.

    Returns:
        0 and no bytes if there is none.

    Raises:
        WriteError: It has no room for the new sizes.
    """
    for form in ("<LQQ", "<LLL"):
        for magic in (_DESCRIPTOR_MAGIC, b""):
            try:
                held = magic + struct.pack(form, old.crc, old.stored, old.size)
            except struct.error:
                continue
            if behind.startswith(held):
                if form == "<LLL" and max(new.stored, new.size) > _ELSEWHERE:
                    raise _no_room(new)
                return len(held), magic + struct.pack(form, new.crc, new.stored, new.size)
    return 0, b""


def central_record(member: Member) -> bytes:
    """Return the record of a member in the central directory, with its CRC-32, sizes and place."""
    fields = list(_CENTRAL.unpack_from(member.record))
    name_size, extra_size = fields[10], fields[11]
    rest = member.record[_CENTRAL.size :]
    extras = list(_extras(rest[name_size : name_size + extra_size]))
    old = (fields[9], fields[8], fields[16])
    new = (member.size, member.stored, member.header)
    wide = [before == _ELSEWHERE or after >= LIMIT for before, after in zip(old, new, strict=True)]
    if any(wide):
        place = next((n for n, extra in enumerate(extras) if extra.kind == _ZIP64), None)
        if place is None:
            place = 0
            extras.insert(0, _Extra(_ZIP64, b""))
            fields[2] = max(fields[2], _ZIP64_VERSION)
        held = extras[place].content[8 * old.count(_ELSEWHERE) :]
        words = [value for value, is_wide in zip(new, wide, strict=True) if is_wide]
        extras[place] = _Extra(_ZIP64, struct.pack(f"<{len(words)}Q", *words) + held)
    fields[7] = member.crc
    fields[9], fields[8], fields[16] = (
        _ELSEWHERE if is_wide else value for value, is_wide in zip(new, wide, strict=True)
    )
    extra = _joined(extras)
    fields[11] = len(extra)
    return _CENTRAL.pack(*fields) + rest[:name_size] + extra + rest[name_size + extra_size :]


def stored_member(name: str, data: bytes, crc: int, header: int) -> tuple[bytes, Member]:
    """Return a new member that is stored as it is, as (local header and data, what the directory says).

    Args:
        name: Its name, in ASCII.
        data: Its content.
        crc: CRC-32 of that.
        header: Where it begins.
    """
    raw = name.encode("ascii")
    midnight_of_1980 = (0, 1 << 5 | 1)
    said = (20, 0, STORED, *midnight_of_1980, crc, len(data), len(data), len(raw))
    local = _LOCAL.pack(b"PK\x03\x04", *said, 0) + raw
    made_by_unix, regular_file = 3 << 8 | 20, 0o100644 << 16
    record = _CENTRAL.pack(b"PK\x01\x02", made_by_unix, *said, 0, 0, 0, 0, regular_file, 0) + raw
    offset = header + len(local)
    return local + data, Member(name, offset, len(data), len(data), crc, STORED, header, record)


def directory_end(raw: bytes, count: int, size: int, offset: int) -> bytes:
    """Return what follows the central directory.

    Args:
        raw: What followed it before.
        count: How many members there are.
        size: Bytes of the directory.
        offset: Where it begins.
    """
    place = raw.rfind(b"PK\x05\x06")
    fields = list(_END.unpack_from(raw, place))
    wide = raw[:place]
    marks, said = (0xFFFF, 0xFFFF, _ELSEWHERE, _ELSEWHERE), (count, count, size, offset)
    elsewhere = [
        held == mark or value >= min(mark, LIMIT)
        for held, value, mark in zip(fields[3:7], said, marks, strict=True)
    ]
    fields[3:7] = (
        mark if is_wide else value for value, mark, is_wide in zip(said, marks, elsewhere, strict=True)
    )
    if not wide and any(elsewhere):
        versions = (_ZIP64_VERSION, _ZIP64_VERSION)
        wide = _END64.pack(b"PK\x06\x06", _END64.size - 12, *versions, 0, 0, 0, 0, 0, 0)
        wide += _LOCATOR.pack(b"PK\x06\x07", 0, 0, 1)
    if wide:
        between = wide[_END64.size : -_LOCATOR.size]
        record, locator = list(_END64.unpack_from(wide)), list(_LOCATOR.unpack(wide[-_LOCATOR.size :]))
        record[6:10], locator[2] = said, offset + size
        wide = _END64.pack(*record) + between + _LOCATOR.pack(*locator)
    return wide + _END.pack(*fields) + raw[place + _END.size :]


def _extras(raw: bytes) -> Iterator[_Extra]:
    """Yield the extra fields of a header; what is no field at the end comes as one of kind -1."""
    place = 0
    while place + 4 <= len(raw):
        kind, size = struct.unpack_from("<HH", raw, place)
        if place + 4 + size > len(raw):
            break
        yield _Extra(kind, raw[place + 4 : place + 4 + size])
        place += 4 + size
    if place < len(raw):
        yield _Extra(-1, raw[place:])


def _joined(extras: list[_Extra]) -> bytes:
    return b"".join(
        content if kind < 0 else struct.pack("<HH", kind, len(content)) + content for kind, content in extras
    )


def _no_room(member: Member) -> WriteError:
    return WriteError(
        f"{member.name} may become larger than 4 GiB, and its headers have no room for that; "
        "save the model again first."
    )
