"""FarmHash's 64-bit fingerprint, which TensorFlow takes of a checkpoint's index.

Formula: ``farmhashna::Hash64`` of https://github.com/google/farmhash, which its ``Fingerprint64``
is defined to be for ever. All arithmetic is modulo 2**64.
"""

from __future__ import annotations

import struct

_K0, _K1, _K2 = 0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F
_SEED = 81
_MASK = (1 << 64) - 1


def fingerprint64(data: bytes) -> int:
    """Return the fingerprint of some bytes, an unsigned number of 64 bits."""
    size = len(data)
    if size <= 16:
        return _up_to_16(data)
    if size <= 32:
        return _up_to_32(data)
    return _up_to_64(data) if size <= 64 else _longer(data)


def _word(data: bytes, place: int) -> int:
    return int.from_bytes(data[place : place + 8], "little")


def _rotated(value: int, bits: int) -> int:
    value &= _MASK
    return (value >> bits | value << 64 - bits) & _MASK


def _shifted(value: int) -> int:
    value &= _MASK
    return value ^ value >> 47


def _mixed(first: int, second: int, factor: int) -> int:
    one = _shifted(((first ^ second) & _MASK) * factor)
    two = _shifted((second & _MASK ^ one) * factor)
    return two * factor & _MASK


def _up_to_16(data: bytes) -> int:
    size = len(data)
    factor = _K2 + size * 2
    if size >= 8:
        a, b = _word(data, 0) + _K2, _word(data, size - 8)
        return _mixed(_rotated(b, 37) * factor + a, (_rotated(a, 25) + b) * factor, factor)
    if size >= 4:
        first, last = int.from_bytes(data[:4], "little"), int.from_bytes(data[-4:], "little")
        return _mixed(size + (first << 3), last, factor)
    if size:
        y, z = data[0] + (data[size >> 1] << 8), size + (data[-1] << 2)
        return _shifted(y * _K2 ^ z * _K0) * _K2 & _MASK
    return _K2


def _up_to_32(data: bytes) -> int:
    size = len(data)
    factor = _K2 + size * 2
    a, b = _word(data, 0) * _K1, _word(data, 8)
    c, d = _word(data, size - 8) * factor, _word(data, size - 16) * _K2
    return _mixed(_rotated(a + b, 43) + _rotated(c, 30) + d, a + _rotated(b + _K2, 18) + c, factor)


def _up_to_64(data: bytes) -> int:
    size = len(data)
    factor = _K2 + size * 2
    a, b = _word(data, 0) * _K2, _word(data, 8)
    c, d = _word(data, size - 8) * factor, _word(data, size - 16) * _K2
    y = _rotated(a + b, 43) + _rotated(c, 30) + d
    z = _mixed(y, a + _rotated(b + _K2, 18) + c, factor)
    e, f = _word(data, 16) * factor, _word(data, 24)
    g, h = (y + _word(data, size - 32)) * factor, (z + _word(data, size - 24)) * factor
    return _mixed(_rotated(e + f, 43) + _rotated(g, 30) + h, e + _rotated(f + a, 18) + g, factor)


def _pair(words: tuple[int, ...], a: int, b: int) -> tuple[int, int]:
    """Fold four words into two."""
    w, x, y, z = words
    a += w
    b = _rotated(b + a + z, 21)
    c = a
    a += x + y
    return (a + z) & _MASK, (b + _rotated(a, 44) + c) & _MASK


def _round(
    words: tuple[int, ...], state: tuple[int, ...], factor: int, weights: tuple[int, int]
) -> tuple[int, ...]:
    """Fold 64 bytes into the state; x and z change places."""
    x, y, z, v, v2, w, w2 = state
    x = _rotated(x + y + v + words[1], 37) * factor
    y = _rotated(y + v2 + words[6], 42) * factor
    x = (x ^ w2 * weights[0]) & _MASK
    y = y + v * weights[1] + words[5] & _MASK
    z = _rotated(z + w, 33) * factor & _MASK
    v, v2 = _pair(words[:4], v2 * factor, x + w)
    w, w2 = _pair(words[4:], z + w2, y + words[2])
    return z, y, x, v, v2, w, w2


def _longer(data: bytes) -> int:
    y = _SEED * _K1 + 113 & _MASK
    z = _shifted(y * _K2 + 113) * _K2 & _MASK
    state: tuple[int, ...] = (_SEED * _K2 + _word(data, 0) & _MASK, y, z, 0, 0, 0, 0)
    # The last 1 to 64 bytes are left: they are folded with the bytes before, 64 in all.
    end = (len(data) - 1) // 64 * 64
    for words in struct.iter_unpack("<8Q", memoryview(data)[:end]):
        state = _round(words, state, _K1, (1, 1))
    x, y, z, v, v2, w, w2 = state
    factor = _K1 + ((z & 0xFF) << 1)
    w += len(data) - 1 & 63
    v += w
    w += v
    last = struct.unpack("<8Q", data[-64:])
    x, y, z, v, v2, w, w2 = _round(last, (x, y, z, v, v2, w, w2), factor, (9, 9))
    return _mixed(_mixed(v, w, factor) + _shifted(y) * _K0 + z, _mixed(v2, w2, factor) + x, factor)
