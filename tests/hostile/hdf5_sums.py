"""Makes the checksums of newer HDF5 structures right again after a change.

Source of the formula: Bob Jenkins, lookup3.c, ``hashlittle``, which the HDF5 File Format Specification names.
"""

from __future__ import annotations

_MASK = 0xFFFFFFFF
_MIX = ((0, 2, 4, 1), (1, 0, 6, 2), (2, 1, 8, 0), (0, 2, 16, 1), (1, 0, 19, 2), (2, 1, 4, 0))
_FINAL = ((2, 1, 14), (0, 2, 11), (1, 0, 25), (2, 1, 16), (0, 2, 4), (1, 0, 14), (2, 1, 24))


def _rotated(value: int, by: int) -> int:
    return (value << by | value >> 32 - by) & _MASK


def lookup3(data: bytes) -> int:
    """Return the checksum of bytes, 32 bits."""
    state = [(0xDEADBEEF + len(data)) & _MASK] * 3
    for place in range(0, max(len(data), 1), 12):
        block = data[place : place + 12].ljust(12, b"\0")
        state = [
            (sum_ + int.from_bytes(block[4 * word : 4 * word + 4], "little")) & _MASK
            for word, sum_ in enumerate(state)
        ]
        if place + 12 >= len(data):
            break
        for changed, other, by, third in _MIX:
            state[changed] = (state[changed] - state[other]) & _MASK ^ _rotated(state[other], by)
            state[other] = (state[other] + state[third]) & _MASK
    for changed, other, by in _FINAL if data else ():
        state[changed] = ((state[changed] ^ state[other]) - _rotated(state[other], by)) & _MASK
    return state[2]


def change_header(raw: bytearray, place: int, value: int) -> None:
    """Change a byte of an object header, and renew the checksum behind it.

    Raises:
        ValueError: The byte is in no object header.
    """
    start = raw.rindex(b"OHDR", 0, place)
    for end in range(place + 1, len(raw) - 3):
        if lookup3(bytes(raw[start:end])) == int.from_bytes(raw[end : end + 4], "little"):
            raw[place] = value
            raw[end : end + 4] = lookup3(bytes(raw[start:end])).to_bytes(4, "little")
            return
    raise ValueError(place)
