"""Checksums agree with their definitions, and with each other when stretches are joined."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weightaudit import checksums
from weightaudit.checksums import checksum, crc32, crc32c, inflater, join


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_crc32_is_zlibs(first: bytes, second: bytes) -> None:
    """CRC-32 is what zlib computes, also when it goes on from an earlier value."""
    assert crc32(second, crc32(first)) == zlib.crc32(first + second)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, np.frombuffer])
def test_check_values(compiled: bool, kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: FBT001 - a parameter
    """CRC-32C gives the check value of RFC 3720 and CRC-32 zlib's, for any buffer, compiled or not."""
    if not compiled:
        monkeypatch.setattr(checksums, "native", None)
    data = bytearray(b"12345678")  # eight bytes, so that an array of float64 is a buffer too
    nine = memoryview(b"123456789")
    assert crc32c(nine) == crc32c(nine[8:], crc32c(kind(data))) == 0xE3069283
    assert crc32(nine) == crc32(nine[8:], crc32(kind(data))) == 0xCBF43926
    assert crc32c(kind(bytearray())) == 0


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
