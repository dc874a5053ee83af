"""The compiled scan of a file, and its checksums, against the libraries."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels.reference import CRC, TYPES, raw_of, using
from weightaudit.dtypes import itemsize
from weightaudit.kernels import CHUNK_BYTES, NO_OUTLINE, native

if native is None:
    pytest.skip("the kernels were not compiled", allow_module_level=True)


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
        count, value, _, *sums = native.scan(fd, 4, len(raw), buffer, dtype, "crc32", 0, NO_OUTLINE)
        assert (count, value) == (len(raw), zlib.crc32(raw))
        want = native.summarize(raw, dtype)
        assert tuple(sums[2:5]) == want[2:5]
        assert np.allclose(sums[:2], want[:2], rtol=1e-12)
        beyond = len(raw) + itemsize(dtype)
        small = memoryview(bytearray(64))
        assert native.scan(fd, 4, beyond, small, dtype, "", 0, NO_OUTLINE)[0] == len(raw)
    finally:
        os.close(fd)


@settings(deadline=None)
@given(
    dtype=st.sampled_from(TYPES),
    kind=st.sampled_from(sorted(CRC)),
    count=st.one_of(st.integers(0, 1500), st.integers(130_000, 140_000)),
    seed=st.integers(0, 99),
    offset=st.integers(0, 65),
    value=st.integers(0, 2**32 - 1),
)
def test_checksums_do_not_change_sums(
    *, dtype: str, kind: str, count: int, seed: int, offset: int, value: int
) -> None:
    """A scan that also checksums has the right checksum, and the sums of one that does not."""
    assert native is not None
    raw = raw_of(dtype, count, seed)
    room = memoryview(bytearray(1 << 19))
    with TemporaryFile() as file:
        file.write(bytes(offset) + raw)
        file.flush()
        arguments = (file.fileno(), offset, len(raw), room, dtype)
        with using(0) as kernels:
            _, _, _, *plain = kernels.scan(*arguments, "", 0, NO_OUTLINE)
        got, checksum, _, *sums = native.scan(*arguments, kind, value, NO_OUTLINE)
    assert (got, checksum) == (len(raw), CRC[kind](raw, value))
    assert struct.pack("7d", *sums) == struct.pack("7d", *plain)


@pytest.mark.parametrize("dtype", TYPES)
def test_an_outline_has_the_sums_of_each_chunk(dtype: str, tmp_path: Path) -> None:
    """Each row tells what summing up its chunk alone does; no row is written where there is no room."""
    assert native is not None
    raw = raw_of(dtype, 300_000, 3)
    path = tmp_path / "numbers"
    path.write_bytes(raw)
    chunks = [raw[first : first + CHUNK_BYTES] for first in range(0, len(raw), CHUNK_BYTES)]
    rows = np.full((len(chunks), 7), -9.0)
    fd = os.open(path, os.O_RDONLY)
    try:
        room = memoryview(bytearray(CHUNK_BYTES))
        native.scan(fd, 0, len(raw), room, dtype, "", 0, rows[:-1].data.cast("B"))
    finally:
        os.close(fd)
    assert [tuple(row) for row in rows[:-1].tolist()] == [native.summarize(one, dtype) for one in chunks[:-1]]
    assert (rows[-1] == -9).all()


def test_wrong_arguments_are_refused(tmp_path: Path) -> None:
    """Unknown types and checksums, pieces of elements and unfit buffers are errors, not crashes."""
    assert native is not None
    fd = os.open(tmp_path, os.O_RDONLY)
    room = memoryview(bytearray(64))
    try:
        with pytest.raises(OSError, match="directory"):
            native.scan(fd, 0, 64, room, "float32", "", 0, NO_OUTLINE)
        for nbytes, dtype, kind in ((64, "int8", ""), (63, "float32", ""), (64, "", "md5"), (-1, "", "")):
            with pytest.raises(ValueError, match=r"\w"):
                native.scan(fd, 0, nbytes, room, dtype, kind, 0, NO_OUTLINE)
        with pytest.raises(ValueError, match="buffer of 60"):
            native.scan(fd, 0, 120, room[:60], "float32", "", 0, NO_OUTLINE)
        with pytest.raises(ValueError, match="no elements"):
            native.summarize(bytes(5), "float32")
        for data, itemsize_ in ((bytes(8), 2), (bytes(6), 4)):
            with pytest.raises(ValueError, match="no elements"):
                native.largest(np.frombuffer(data, np.uint8), itemsize_)
        with pytest.raises(ValueError, match="no checksum"):
            native.checksum("md5", b"", 0)
    finally:
        os.close(fd)
