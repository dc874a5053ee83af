"""Checksums agree with their definitions, and with each other when stretches are joined."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weightaudit.checksums import checksum, crc32, crc32c, inflater, join


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_crc32_is_zlibs(first: bytes, second: bytes) -> None:
    """CRC-32 is what zlib computes, also when it goes on from an earlier value."""
    assert crc32(second, crc32(first)) == zlib.crc32(first + second)


def test_crc32c_check_value() -> None:
    """CRC-32C gives the check value of RFC 3720 for 123456789, for bytes and for a writable array."""
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(np.frombuffer(bytearray(b"123456789"), np.uint8)) == 0xE3069283


@pytest.mark.parametrize("kind", ["crc32", "crc32c"])
@given(st.binary(max_size=300), st.binary(max_size=300))
def test_join(kind: str, first: bytes, second: bytes) -> None:
    """Checksums of two stretches join to the checksum of both laid end to end."""
    joined = join(kind, checksum(kind, first), checksum(kind, second), len(second))
    assert joined == checksum(kind, first + second)


def test_join_of_large_stretches() -> None:
    """Joining is right for lengths beyond 32 bits: appending 5 GiB of zeros one way equals another."""
    gib = 1 << 30
    one = checksum("crc32", b"x")
    at_once = join("crc32", one, 0, 5 * gib)
    in_steps = one
    for _ in range(5):
        in_steps = join("crc32", in_steps, 0, gib)
    assert at_once == in_steps


def test_inflater_stops_at_its_bound() -> None:
    """An inflater gives no more than it is asked for, however much the stream would give."""
    packed = zlib.compress(bytes(1 << 20))
    inflate = inflater(15)
    assert len(inflate.decompress(packed, 1000)) == 1000
    assert not inflate.eof
