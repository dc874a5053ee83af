"""Damages bytes in the ways that parsers trip over."""

from __future__ import annotations

from random import Random
from typing import Final

_BYTES: Final = (0, 1, 0x7F, 0x80, 0xFE, 0xFF)
_NUMBERS: Final = (0, 1, 0x7FFF, 0xFFFF, 1 << 31, (1 << 32) - 1, 1 << 62, (1 << 63) - 1, (1 << 64) - 1)
KINDS: Final = 8


def mutated(data: bytes, drawn: Random) -> bytes:
    """Return bytes with one to four damages: flips, numbers at their limits, cuts, copies, moved blocks."""
    raw = bytearray(data)
    for _ in range(drawn.choice((1, 1, 1, 2, 4))):
        if not raw:
            break
        _damage(raw, drawn.randrange(KINDS), drawn)
    return bytes(raw)


def _damage(raw: bytearray, kind: int, drawn: Random) -> None:
    place, other = drawn.randrange(len(raw)), drawn.randrange(len(raw))
    length = drawn.choice((1, 2, 4, 8, 16, 64))
    if kind == 0:
        raw[place] ^= 1 << drawn.randrange(8)
    elif kind == 1:
        raw[place] = drawn.choice(_BYTES)
    elif kind == 2:
        width = drawn.choice((2, 4, 8))
        number = (drawn.choice(_NUMBERS) & (1 << 8 * width) - 1).to_bytes(width, "little")
        raw[place : place + width] = number[: len(raw) - place]
    elif kind == 3:
        del raw[place : place + length]
    elif kind == 4:
        raw[place:place] = raw[other : other + length]
    elif kind == 5:
        block = raw[other : other + length]
        raw[place : place + len(block)] = block[: len(raw) - place]
    elif kind == 6:
        raw[place : place + length] = bytes(len(raw[place : place + length]))
    else:
        del raw[place:]
