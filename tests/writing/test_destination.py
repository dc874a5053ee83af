"""A copy that is patched knows its length and its CRC-32 at any time."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pytest

from weightaudit.checksums import checksum, crc32, replaced
from weightaudit.source import LocalFile
from weightaudit.storage.copying import create
from weightaudit.writing.destination import Destination, Patched

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("kind", ["crc32", "crc32c"])
def test_the_checksum_of_a_replaced_stretch(kind: str) -> None:
    """The checksum after a replacement follows from that of the whole and those of the stretch."""
    generator = np.random.default_rng(0)
    for size, begin, length in (
        (1, 0, 1),
        (100, 0, 100),
        (5000, 17, 0),
        (5000, 4000, 999),
        (70_000, 3, 60_000),
    ):
        data, new = generator.bytes(size), generator.bytes(length)
        old = data[begin : begin + length]
        behind = size - begin - length
        expected = checksum(kind, data[:begin] + new + data[begin + length :])
        found = replaced(kind, checksum(kind, data), checksum(kind, old), checksum(kind, new), behind)
        assert found == expected


def test_patches_and_appended_bytes(tmp_path: Path) -> None:
    """After any order of patches and appended bytes, length and CRC-32 are those of what was written."""
    generator = np.random.default_rng(1)
    before = b"in front" + generator.bytes(10_000) + b"behind"
    (tmp_path / "source").write_bytes(before)
    source = LocalFile(tmp_path / "source")
    expected = bytearray(before[8:10_008])
    with Destination(create(tmp_path / "destination"), "destination") as destination:
        destination.copy(source, 8, 10_000, 3)
        patched = Patched(source, 8, 10_000, destination, 3)
        patched.put(8, before[8:20])
        assert not patched.is_changed
        for begin in generator.permutation(20) * 500:
            new = generator.bytes(int(generator.integers(1, 400)))
            patched.put(8 + int(begin), new)
            expected[begin : begin + len(new)] = new
            if begin % 2000 == 0:
                patched.put(patched.end, np.frombuffer(new, np.uint8))
                expected += new
        assert patched.size == len(expected)
        assert patched.crc(crc32(before[8:10_008])) == crc32(bytes(expected))
        assert destination.read(3, patched.size) == expected
        assert destination.read(3, patched.size) == os.pread(destination.fd, len(expected), 3)
    source.close()
