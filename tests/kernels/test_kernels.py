"""The compiled kernels: what they compute is what numpy, zlib and google-crc32c compute."""

from __future__ import annotations

import os
import zlib
from math import inf, isfinite, nan
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from weightaudit.dtypes import decode, itemsize
from weightaudit.kernels import SUMMED_TYPES, native

if native is None:
    pytest.skip("the kernels were not compiled", allow_module_level=True)

TYPES = sorted(SUMMED_TYPES)
CRC = {"crc32": zlib.crc32, "crc32c": lambda data, value: google_crc32c.extend(value, data)}


def raw_of(dtype: str, count: int, seed: int) -> bytes:
    """Make elements of a type with any bits but those of NaN and Inf, of moderate size."""
    values = np.random.default_rng(seed).standard_normal(count).astype(np.float32)
    if dtype == "bfloat16":
        return (values.view(np.uint32) >> 16).astype(np.uint16).tobytes()
    return values.astype(dtype).tobytes()


def expected(values: NDArray[Any]) -> tuple[float, ...]:
    """Return the sums as float64 numpy has them."""
    wide = values.astype(np.float64)
    least = float(np.abs(wide).min(initial=inf))
    return float(wide.sum()), float((wide * wide).sum()), wide.min(initial=inf), wide.max(initial=-inf), least


@settings(deadline=None)
@given(
    dtype=st.sampled_from(TYPES), count=st.integers(0, 9000), seed=st.integers(0, 99), skip=st.integers(0, 9)
)
def test_sums_equal_numpy(dtype: str, count: int, seed: int, skip: int) -> None:
    """Extremes are exact and sums right to float64 rounding, for any length and alignment."""
    assert native is not None
    raw = raw_of(dtype, count, seed)
    got = native.summarize(memoryview(bytes(skip) + raw)[skip:], dtype)
    want = expected(decode(np.frombuffer(raw, np.uint8), dtype))
    assert got[2:] == want[2:]
    bound = (count + 16) * 2.0**-53
    assert abs(got[1] - want[1]) <= bound * want[1]
    assert abs(got[0] - want[0]) <= bound * np.sqrt(count * want[1])


def test_squares_are_rounded_before_they_are_added() -> None:
    """The sum of two squares of float64 has no bits that a CPU with fused additions alone would give."""
    assert native is not None
    values = np.random.default_rng(5).standard_normal((400, 33))
    values[:, 1:32] = 0  # elements 0 and 32 go to one sum, before the others are added to it
    for row in values:
        assert native.summarize(row, "float64")[1] == row[0] * row[0] + row[32] * row[32]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_every_half_is_read_exactly(dtype: str) -> None:
    """Each of the 65,536 codes counts as what it stands for, and none that is not finite passes."""
    assert native is not None
    codes = np.arange(1 << 16, dtype="<u2")
    for code, value in zip(
        codes.view(np.uint8).reshape(-1, 2), decode(codes.view(np.uint8), dtype), strict=True
    ):
        total, squares, minimum, maximum, smallest = native.summarize(code, dtype)
        if isfinite(value):
            assert (total, squares) == (value, float(value) ** 2)
            assert (minimum, maximum, smallest) == (value, value, abs(value))
        else:
            assert not isfinite(squares)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("bad", [nan, inf, -inf])
def test_no_bad_value_hides(dtype: str, bad: float) -> None:
    """One NaN or Inf anywhere makes the sum of squares NaN or infinite."""
    assert native is not None
    for place in (0, 31, 32, 4095, 4096, 4999):
        values = np.ones(5000, np.float32)
        values[place] = bad
        raw = (
            (values.view(np.uint32) >> 16).astype(np.uint16) if dtype == "bfloat16" else values.astype(dtype)
        )
        assert not isfinite(native.summarize(raw.view(np.uint8), dtype)[1])


@settings(deadline=None)
@given(kind=st.sampled_from(sorted(CRC)), data=st.binary(max_size=3000), value=st.integers(0, 2**32 - 1))
def test_checksums_equal_the_libraries(kind: str, data: bytes, value: int) -> None:
    """CRC-32 and CRC-32C are those of zlib and google-crc32c, from any value on."""
    assert native is not None
    assert native.checksum(kind, data, value) == CRC[kind](data, value)


@pytest.mark.parametrize("size", [255, 256, 511, 512, 513, 1023, 4096, 100_003])
@pytest.mark.parametrize("kind", sorted(CRC))
def test_checksums_of_long_data(kind: str, size: int) -> None:
    """The folding of long data agrees with the tables around the lengths where one takes over."""
    assert native is not None
    data = np.random.default_rng(size).bytes(size)
    assert native.checksum(kind, data, 7) == CRC[kind](data, 7)


@pytest.mark.parametrize("room", [64, 4096, 1 << 20, 3 << 20])
@pytest.mark.parametrize("dtype", TYPES)
def test_a_scan_is_the_sum_of_its_parts(dtype: str, room: int, tmp_path: Path) -> None:
    """What is read through a small buffer has the checksum and sums of the whole, and an end is told."""
    assert native is not None
    raw = raw_of(dtype, 300_000, 3)
    path = tmp_path / "numbers"
    path.write_bytes(b"head" + raw)
    fd = os.open(path, os.O_RDONLY)
    try:
        buffer = memoryview(bytearray(room))
        count, value, *sums = native.scan(fd, 4, len(raw), buffer, dtype, "crc32", 0)
        assert (count, value) == (len(raw), zlib.crc32(raw))
        want = native.summarize(raw, dtype)
        assert tuple(sums[2:]) == want[2:]
        assert np.allclose(sums[:2], want[:2], rtol=1e-12)
        beyond = len(raw) + itemsize(dtype)
        assert native.scan(fd, 4, beyond, memoryview(bytearray(64)), dtype, "", 0)[0] == len(raw)
    finally:
        os.close(fd)


def test_wrong_arguments_are_refused(tmp_path: Path) -> None:
    """Unknown types and checksums, pieces of elements and unfit buffers are errors, not crashes."""
    assert native is not None
    fd = os.open(tmp_path, os.O_RDONLY)
    room = memoryview(bytearray(64))
    try:
        with pytest.raises(OSError, match="directory"):
            native.scan(fd, 0, 64, room, "float32", "", 0)
        for nbytes, dtype, kind in ((64, "int8", ""), (63, "float32", ""), (64, "", "md5"), (-1, "", "")):
            with pytest.raises(ValueError, match=r"\w"):
                native.scan(fd, 0, nbytes, room, dtype, kind, 0)
        with pytest.raises(ValueError, match="buffer of 60"):
            native.scan(fd, 0, 120, room[:60], "float32", "", 0)
        with pytest.raises(ValueError, match="no elements"):
            native.summarize(bytes(5), "float32")
        with pytest.raises(ValueError, match="no checksum"):
            native.checksum("md5", b"", 0)
    finally:
        os.close(fd)
