"""The checksums that containers hold: CRC-32 (zip) and CRC-32C (TensorFlow), and how to join them.

Both are computed by our kernels where those have fast ones (57 GB/s on one core, 256 KiB in its
cache), and by maintained libraries elsewhere (14-33 GB/s; zlib's own CRC-32 has 2-6).
"""

from __future__ import annotations

import zlib
from functools import lru_cache
from importlib import import_module
from typing import Any, Protocol, cast

from weightaudit.kernels import native

try:
    _zlib: Any = import_module("isal.isal_zlib")
except ImportError:  # platforms without a wheel: slower, with the same results
    _zlib = zlib

INFLATE_ERRORS: tuple[type[Exception], ...] = (zlib.error, _zlib.error)
"""What an inflater raises on damaged data."""

_POLYNOMIALS = {"crc32": 0xEDB88320, "crc32c": 0x82F63B78}
"""Bit-reversed generator polynomials."""


class Inflater(Protocol):
    """A raw deflate stream under way."""

    @property
    def unconsumed_tail(self) -> bytes:
        """Input that the last call did not come to."""
        ...

    @property
    def eof(self) -> bool:
        """Whether the stream has ended."""
        ...

    def decompress(self, data: Any, max_length: int, /) -> bytes:
        """Inflate, giving at most `max_length` bytes."""
        ...


class Deflater(Protocol):
    """A raw deflate stream that is being made."""

    def compress(self, data: bytes, /) -> bytes:
        """Take some bytes, and return what is ready of the stream."""
        ...

    def flush(self) -> bytes:
        """Return the rest of the stream."""
        ...


def crc32(data: Any, value: int = 0) -> int:
    """Return the CRC-32 of a contiguous buffer, going on from `value`."""
    if native is not None and native.FAST_CHECKSUMS:
        return native.checksum("crc32", data, value)
    return cast("int", _zlib.crc32(data, value))


def crc32c(data: Any, value: int = 0) -> int:
    """Return the CRC-32C (Castagnoli) of a contiguous buffer, going on from `value`."""
    if native is not None and native.FAST_CHECKSUMS:
        return native.checksum("crc32c", data, value)
    if not isinstance(data, bytes):
        import numpy as np

        # The library takes no memoryview and no bytearray; an array over their memory costs nothing.
        data = np.frombuffer(data, np.uint8)
    return cast("int", _google_crc32c().extend(value, data))


@lru_cache(maxsize=1)
def _google_crc32c() -> Any:
    return import_module("google_crc32c")  # 0.01 s, so not before it is needed; it has no types


def inflater(window_bits: int = -15) -> Inflater:
    """Return a fresh inflater; negative window bits mean a raw stream without a header."""
    return cast("Inflater", _zlib.decompressobj(window_bits))


def deflater() -> Deflater:
    """Return a fresh deflater that makes a raw stream, at its library's usual level.

    ISA-L's packs random float32 weights as tightly as zlib's level 6, 20 to 40 times as fast.
    """
    return cast("Deflater", _zlib.compressobj(wbits=-15))


def checksum(kind: str, data: Any, value: int = 0) -> int:
    """Return the checksum of that kind (``crc32`` or ``crc32c``), going on from `value`."""
    return crc32(data, value) if kind == "crc32" else crc32c(data, value)


def join(kind: str, first: int, second: int, second_size: int) -> int:
    """Return the checksum of two stretches laid end to end, from the checksum of each.

    Appending `second_size` bytes multiplies the first remainder by x**(8 * second_size) modulo
    the generator polynomial (the method of zlib's ``crc32_combine``).
    """
    polynomial = _POLYNOMIALS[kind]
    return _multiply(polynomial, _power(polynomial, 8 * second_size), first) ^ second


def replaced(kind: str, whole: int, old: int, new: int, behind: int) -> int:
    """Return the checksum of data of which a stretch was replaced by another of the same length.

    Both checksums are affine in the data, so those of the stretch alone give the difference.

    Args:
        kind: ``crc32`` or ``crc32c``.
        whole: Checksum of the data as it was.
        old: Checksum of the stretch as it was.
        new: Checksum of what is there now.
        behind: Bytes of the data that follow the stretch.
    """
    return whole ^ join(kind, old ^ new, 0, behind)


def _multiply(polynomial: int, left: int, right: int) -> int:
    """Multiply two polynomials over GF(2), bit 31 being x**0, modulo the generator."""
    product = 0
    mask = 1 << 31
    while left:
        if left & mask:
            product ^= right
            left ^= mask
        mask >>= 1
        right = right >> 1 ^ polynomial if right & 1 else right >> 1
    return product


@lru_cache(maxsize=1024)
def _power(polynomial: int, exponent: int) -> int:
    """Return x**exponent modulo the generator."""
    result = 1 << 31
    for place in range(exponent.bit_length()):
        if exponent >> place & 1:
            result = _multiply(polynomial, _power_of_two(polynomial, place), result)
    return result


@lru_cache(maxsize=256)
def _power_of_two(polynomial: int, place: int) -> int:
    """Return x**(2**place) modulo the generator."""
    if not place:
        return 1 << 30
    root = _power_of_two(polynomial, place - 1)
    return _multiply(polynomial, root, root)
