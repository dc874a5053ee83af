"""Object headers of version 1: the messages that describe a group or a dataset."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from weightaudit.formats.hdf5_native.reader import DamagedError, UnfamiliarError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from weightaudit.formats.hdf5_native.reader import Reader

SPACE, TYPE, OLD_FILL, FILL, LAYOUT, FILTERS, LINKS = 0x01, 0x03, 0x04, 0x05, 0x08, 0x0B, 0x11
_NIL, _ATTRIBUTE, _CONTINUATION = 0x00, 0x0C, 0x10
_COMMENT, _OLD_TIME, _TIME = 0x0D, 0x0E, 0x12

_ONCE = {SPACE, TYPE, OLD_FILL, FILL, LAYOUT, FILTERS, LINKS}
_IGNORED = {_NIL, _COMMENT, _OLD_TIME, _TIME}
"""Room, and what is of no consequence for numbers."""

_PREFIX = struct.Struct("<BxHII4x")
_MESSAGE = struct.Struct("<HHB3x")
_PLACE = struct.Struct("<QQ")
_PLAIN = {0, 1, 4, 5}
"""Flags of messages that may be taken as they are: constant, not to be shared."""


class Header(NamedTuple):
    """The messages of an object.

    Attributes:
        messages: Bodies of the messages that an object has once, padding included, by type.
        attributes: Bodies of the attribute messages, in order.
    """

    messages: dict[int, bytes]
    attributes: list[bytes]


def read_header(reader: Reader, address: int) -> Header:
    """Read the object header at an address.

    Raises:
        DamagedError: It contradicts itself.
        UnfamiliarError: It is of another version, or has messages that are not known here.
    """
    messages: dict[int, bytes] = {}
    attributes: list[bytes] = []
    for kind, body, _ in each_message(reader, address):
        if kind == _ATTRIBUTE:
            attributes.append(body)
        elif kind in _ONCE and kind not in messages:
            messages[kind] = body
        else:
            raise UnfamiliarError(f"the object header at {address} has a message of type {kind}")
    return Header(messages, attributes)


def each_message(reader: Reader, address: int) -> Iterator[tuple[int, bytes, int]]:
    """Yield type, body and address of the messages of an object header that say something.

    Raises:
        DamagedError: It contradicts itself.
        UnfamiliarError: It is of another version, or shares messages with others.
    """
    raw, place = reader.at(address, _PREFIX.size)
    version, count, _, size = _PREFIX.unpack_from(raw, place)
    if version != 1:
        raise UnfamiliarError(f"there is no object header of version 1 at {address}")
    blocks = [(address + _PREFIX.size, size)]
    for start, length in blocks:
        raw, place = reader.at(start, length)
        shift, end = start - place, place + length
        while place < end:
            count -= 1
            body_at = place + _MESSAGE.size
            # A chain of blocks that leads back to itself ends here too.
            if count < 0:
                raise UnfamiliarError(f"the object header at {address} holds more messages than it says")
            if body_at > end:
                raise DamagedError(f"the object header at {address} holds more than it has room for")
            kind, size, flags = _MESSAGE.unpack_from(raw, place)
            place = body_at + size
            if place > end or size & 7:
                raise DamagedError(f"a message of the object header at {address} reaches beyond it")
            if flags not in _PLAIN:
                raise UnfamiliarError(f"the object header at {address} has shared messages")
            if kind in _IGNORED:
                continue
            if kind == _CONTINUATION:
                blocks.append(_continuation(raw[body_at:place]))
            else:
                yield kind, raw[body_at:place], body_at + shift
    if count:
        # libhdf5 passes over wrong numbers of messages.
        raise UnfamiliarError(f"the object header at {address} holds {count} messages less than it says")


def _continuation(body: bytes) -> tuple[int, int]:
    """Return where a header goes on, and for how many bytes."""
    address, length = _PLACE.unpack_from(body) if len(body) >= _PLACE.size else (0, 0)
    if not address or length < _MESSAGE.size:
        raise DamagedError("an object header does not say where it goes on")
    return address, length
