"""Sorted string tables: what is written comes back, and no damage shortens the list in silence."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.formats.tensorflow_files import MAGIC, Pair, block, simple_table, table, varint
from weightaudit.errors import ReadError
from weightaudit.formats.protobuf import MalformedError
from weightaudit.formats.snappy import decompress
from weightaudit.formats.sstable import is_table, read_table
from weightaudit.source import LocalFile

PAIRS = [(b"", b"header")] + [(f"key/{i:03d}".encode(), b"v" * (i % 7)) for i in range(70)]


def read(folder: Path, data: bytes) -> list[Pair]:
    """Write a table to a file and read it back."""
    path = folder / "some.index"
    path.write_bytes(data)
    source = LocalFile(path)
    try:
        return list(read_table(source))
    finally:
        source.close()


def split(pairs: Sequence[Pair]) -> list[tuple[bytes, bytes]]:
    """Make blocks of 20 pairs each."""
    return [
        (pairs[min(i + 19, len(pairs) - 1)][0], block(pairs[i : i + 20])) for i in range(0, len(pairs), 20)
    ]


@given(
    pairs=st.dictionaries(st.binary(max_size=12), st.binary(max_size=20), min_size=1), size=st.integers(1, 50)
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_pairs_come_back(tmp_path: Path, pairs: dict[bytes, bytes], size: int) -> None:
    """Any sorted pairs, in blocks of any size, are read as they were written."""
    ordered = sorted(pairs.items())
    assert read(tmp_path, simple_table(ordered, size)) == ordered


@pytest.mark.parametrize("length", [0, 7, 8, 47, 48, 100, 500])
def test_a_cut_off_file_is_refused(tmp_path: Path, length: int) -> None:
    """Any part of a table is an error, never a shorter table."""
    data = simple_table(PAIRS)
    with pytest.raises(ReadError):
        read(tmp_path, data[:length])
    with pytest.raises(ReadError):
        read(tmp_path, data[-length:] if length else b"")


def test_only_tables_are_recognised(tmp_path: Path) -> None:
    """A file is a table by its last eight bytes, whatever its name."""
    path = tmp_path / "any"
    for data, expected in ((simple_table(PAIRS), True), (b"\0" * 60, False), (MAGIC, False)):
        path.write_bytes(data)
        source = LocalFile(path)
        assert is_table(source) is expected
        source.close()


def test_every_block_is_verified(tmp_path: Path) -> None:
    """One flipped bit anywhere in the blocks is an error."""
    data = table(split(PAIRS))
    chooser = np.random.default_rng(5)
    for _ in range(200):
        damaged = bytearray(data)
        damaged[chooser.integers(len(data) - 48)] ^= 1 << int(chooser.integers(8))
        with pytest.raises(ReadError, match="damaged"):
            read(tmp_path, bytes(damaged))


def test_a_block_that_the_index_leaves_out_is_noticed(tmp_path: Path) -> None:
    """An index with right checksums that hides a block is an error, because the writer leaves no gaps."""
    blocks = split(PAIRS)
    sizes = [len(content) + 5 for _, content in blocks]
    places = [sum(sizes[:i]) for i in range(len(blocks))]
    for hidden in range(len(blocks)):
        handles = [
            (separator, varint(place) + varint(len(content)))
            for (separator, content), place in zip(blocks, places, strict=True)
        ]
        del handles[hidden]
        with pytest.raises(ReadError, match="damaged"):
            read(tmp_path, table(blocks, block(handles, 1)))


def entry_bytes(shared: int, unshared: int, length: int, rest: bytes) -> bytes:
    """Encode one raw entry with a restart array of one."""
    return varint(shared) + varint(unshared) + varint(length) + rest + b"\0\0\0\0\1\0\0\0"


@pytest.mark.parametrize(
    "content",
    [
        entry_bytes(5, 1, 0, b"a"),
        entry_bytes(0, 2**32 - 1, 2, b"ab"),
        entry_bytes(0, 1, 2**32 - 1, b"ab"),
        entry_bytes(0, 3, 2**64 - 2, b"abc"),
        entry_bytes(0, 1, 1, b"ab")[:-4] + b"\xff\xff\xff\xff",
        entry_bytes(0, 1, 1, b"ab")[:-4] + b"\0\0\0\0",
        entry_bytes(0, 1, 1, b"ab") + b"\3\0\0\0\2\0\0\0",
        entry_bytes(0, 1, 1, b"ab")[:-8] + b"\4\0\0\0\1\0\0\0",
        b"",
        b"\1\0\0",
        b"\0\0\0\0\1\0\0\0",
    ],
)
def test_entries_stay_inside_their_block(tmp_path: Path, content: bytes) -> None:
    """Lengths that wrap, prefixes that do not exist and impossible restart arrays are errors."""
    with pytest.raises(ReadError):
        read(tmp_path, table([(b"zz", content)]))


@pytest.mark.parametrize("pairs", [[(b"b", b""), (b"a", b"")], [(b"a", b""), (b"a", b"")]])
def test_keys_must_increase(tmp_path: Path, pairs: list[Pair]) -> None:
    """Keys out of order and duplicate keys are errors, within a block and across two."""
    with pytest.raises(ReadError, match="out of order"):
        read(tmp_path, simple_table(pairs))
    with pytest.raises(ReadError, match=r"out of order|belong together"):
        read(tmp_path, simple_table(pairs, 1))


def test_a_separator_below_its_block_is_refused(tmp_path: Path) -> None:
    """An index key that would make a look-up miss an entry is an error."""
    with pytest.raises(ReadError, match="belong together"):
        read(tmp_path, table([(b"a", block([(b"a", b""), (b"b", b"")]))]))


@pytest.mark.parametrize("handle", [(2**62, 10), (0, 2**62), (0, 2**64 - 1), (2**64 - 1, 5)])
def test_handles_lead_into_the_file(tmp_path: Path, handle: tuple[int, int]) -> None:
    """A footer or an index that leads out of the file is an error before anything is allocated."""
    place = varint(handle[0]) + varint(handle[1])
    with pytest.raises(ReadError):
        read(tmp_path, table([(b"a", block([(b"a", b"")]))], block([(b"a", place)])))
    data = simple_table(PAIRS)
    with pytest.raises(ReadError):
        read(tmp_path, data[:-48] + (b"\0\0" + place).ljust(40, b"\0") + MAGIC)


def test_unknown_compression_is_refused(tmp_path: Path) -> None:
    """A compression type that does not exist is an error."""
    with pytest.raises(ReadError, match="compression 7"):
        read(tmp_path, table(split(PAIRS), kind=7))


def test_compressed_blocks_are_read(tmp_path: Path) -> None:
    """A table whose data blocks are Snappy, as V1 checkpoints may be, gives the same pairs."""
    blocks = [
        (key, varint(len(b)) + b"\xf4" + (len(b) - 1).to_bytes(2, "little") + b) for key, b in split(PAIRS)
    ]
    assert read(tmp_path, table(blocks, kind=1)) == PAIRS
    with pytest.raises(ReadError, match="damaged"):
        read(tmp_path, table(split(PAIRS), kind=1))


SNAPPY = [
    (b"\x05\x10hello", b"hello"),
    (b"\x0a\x08abc\x0d\x03", b"abcabcabca"),
    (b"\x08\x00a\x1a\x01\x00", b"aaaaaaaa"),
    (b"\x08\x04ab\x17\x02\x00\x00\x00", b"abababab"),
    (b"\x40\xf0\x3f" + bytes(range(64)), bytes(range(64))),
    (b"\x00", b""),
]


@pytest.mark.parametrize(("data", "expected"), SNAPPY)
def test_snappy_blocks_are_unpacked(data: bytes, expected: bytes) -> None:
    """Literals of every length form, and copies of every offset form, overlapping or not, are undone."""
    assert decompress(data, 1000) == expected


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x05\x10hell",
        b"\x04\x10hello",
        b"\x06\x10hello",
        b"\x08\x00a\x1a\x02\x00",
        b"\x08\x00a\x1a\x00\x00",
        b"\x08\x00a\x1a",
        b"\x08\x01",
        b"\xff\xff\xff\xff\x0f\x10hello",
        b"\x05\xf4\x04",
        b"\xff" * 12,
    ],
)
def test_damaged_snappy_blocks_are_refused(data: bytes) -> None:
    """Wrong sizes, offsets before the beginning and bombs are errors."""
    with pytest.raises(MalformedError):
        decompress(data, 1000)


@given(st.binary(max_size=80))
def test_no_bytes_crash_the_decompressor(data: bytes) -> None:
    """Any bytes give plain bytes within the limit or an error."""
    with suppress(MalformedError):
        assert len(decompress(data, 1000)) <= 1000
