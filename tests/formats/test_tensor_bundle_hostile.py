"""Hostile checkpoint indexes: each gives a ReadError, or a list that is no shorter than it should be."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.formats.tensorflow_files import (
    Pair,
    block,
    bundle_catalog,
    chunk,
    entry,
    header,
    mask,
    number,
    read_pairs,
    table,
    write_bundle,
)
from tests.formats.tensorflow_oracle import save_bundle, tensorflow
from weightaudit.catalog import Absent, Extent, Flaw, Tiles
from weightaudit.errors import ReadError
from weightaudit.formats.tensor_bundle import catalog_tensor_bundle
from weightaudit.limits import Limits
from weightaudit.source import Files


def test_a_minimal_index(tmp_path: Path) -> None:
    """The builder of the hostile cases below makes an index that is valid when nothing is wrong."""
    catalog = bundle_catalog(write_bundle(tmp_path, [header(), entry("a"), entry("b", offset=8)]))
    assert [item.storage for item in catalog.entries] == [Extent(1, 0, 8), Extent(1, 8, 8)]
    assert catalog.entries[0].checksum is not None
    assert mask(catalog.entries[0].checksum.value) == 0


HOSTILE: dict[str, list[Pair]] = {
    "no entries at all": [],
    "no header": [entry("a")],
    "header without shards": [(b"", b"\x1a\x00"), entry("a")],
    "negative shards": [header(-1), entry("a")],
    "two billion shards": [header(2**31 - 1), entry("a")],
    "unknown byte order": [header(order=2), entry("a")],
    "newer version": [header(needs=999), entry("a")],
    "shard beyond the count": [header(), entry("a", shard=7)],
    "negative shard": [header(), entry("a", shard=-1)],
    "negative offset": [header(), entry("a", offset=-16)],
    "negative size": [header(), entry("a", nbytes=-8)],
    "size that is not the shape's": [header(), entry("a", nbytes=4)],
    "negative dimension": [header(), entry("a", (-4,))],
    "uncountable elements": [header(), entry("a", (2**62, 2**62))],
    "uncountable elements beside a zero": [header(), entry("a", (2**62, 2**62, 0), nbytes=0)],
    "rank 300": [header(), entry("a", (1,) * 300, nbytes=4)],
    "unknown rank": [header(), (b"a", number(1, 1) + chunk(2, number(3, 1)) + number(5, 8))],
    "dtype 0": [header(), entry("a", dtype=0)],
    "dtype 999": [header(), entry("a", dtype=999)],
    "reference dtype": [header(), entry("a", dtype=101)],
    "two to the 40 strings": [header(), entry("a", (2**40,), dtype=7, nbytes=64)],
    "name that is not UTF-8": [header(), entry(b"\xff\xfe")],
    "repeated field": [header(), entry("a", more=number(4, 8))],
    "unknown field": [header(), entry("a", more=number(8, 1))],
    "not a message": [header(), (b"a", b"\xff\xff\xff")],
    "slice that no tensor lists": [header(), entry(b"\0\1a")],
    "slice that is not stored": [header(), entry("a", nbytes=0, more=chunk(7, chunk(1, b"")))],
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_indexes_are_refused(tmp_path: Path, case: str) -> None:
    """An index whose checksums are right and whose content is not gives a ReadError that names it."""
    write_bundle(tmp_path, HOSTILE[case] or [])
    with pytest.raises(ReadError, match=re.escape("ckpt.index")):
        bundle_catalog(tmp_path)


def slice_key(name: str, start: int, length: int) -> bytes:
    """Encode the key of a slice of a vector, for small numbers."""
    return b"\0" + name.encode() + b"\0\1\1\1" + bytes([0x80 | start, 0x80 | length])


def extent(start: int, length: int) -> bytes:
    """Encode the slice of a vector as a field of an entry."""
    return chunk(7, chunk(1, number(1, start) + number(2, length)))


@pytest.mark.parametrize(
    ("first", "second", "stored"),
    [
        ((0, 2), (3, 1), (2, 1)),
        ((0, 2), (1, 2), (2, 2)),
        ((0, 2), (2, 3), (2, 3)),
        ((0, 2), (2, 2), (2, 1)),
        ((0, 3), (3, 1), (3, 2)),
        ((-1, 2), (1, 3), (2, 3)),
    ],
)
def test_slices_must_cover_their_tensor(
    tmp_path: Path, first: tuple[int, int], second: tuple[int, int], stored: tuple[int, int]
) -> None:
    """Holes, overlaps, slices outside and slices stored shorter than they say are errors."""
    pairs = [
        header(),
        *sorted(
            entry(slice_key("v", max(start, 0), length), (held,), nbytes=4 * held)
            for (start, length), held in zip((first, second), stored, strict=True)
        ),
        entry("v", (4,), nbytes=0, more=extent(*first) + extent(*second)),
    ]
    write_bundle(tmp_path, pairs)
    with pytest.raises(ReadError, match="damaged"):
        bundle_catalog(tmp_path)


def test_slices_that_cover_are_accepted(tmp_path: Path) -> None:
    """The same index with two right slices is read, so the test above fails for the right reason."""
    pairs = [header(), entry(slice_key("v", 0, 2)), entry(slice_key("v", 2, 2), offset=8)]
    write_bundle(tmp_path, [*pairs, entry("v", (4,), nbytes=0, more=extent(0, 2) + extent(2, 2))])
    (item,) = bundle_catalog(tmp_path).entries
    assert isinstance(item.storage, Tiles)


def test_a_byte_order_is_told(tmp_path: Path) -> None:
    """Tensors of a big-endian checkpoint say so."""
    catalog = bundle_catalog(write_bundle(tmp_path, [header(order=1), entry("a")]))
    assert [item.big_endian for item in catalog.entries] == [True]


def test_shards_that_are_no_files_are_defects(tmp_path: Path) -> None:
    """A FIFO, and a link that leaves the directory, are not opened; their tensors have no bytes."""
    outside = tmp_path / "outside"
    outside.write_bytes(b"secret" * 10)
    inner = tmp_path / "model"
    inner.mkdir()
    write_bundle(inner, [header(), entry("a")])
    shard = inner / "ckpt.data-00000-of-00001"
    make: list[Callable[[], None]] = [
        lambda: os.mkfifo(shard),
        lambda: shard.symlink_to(outside),
        shard.mkdir,
    ]
    for replace_shard in make:
        shard.unlink()
        replace_shard()
        catalog = bundle_catalog(inner)
        assert isinstance(catalog.entries[0].storage, Absent)
        assert [defect.flaw for defect in catalog.defects] == [Flaw.MISSING_DATA]


def test_limits_bound_the_index(tmp_path: Path) -> None:
    """More tensors than the limit, or a larger index, are refused."""
    write_bundle(tmp_path, [header(), *[entry(f"v{i}") for i in range(5)]])
    for limits in (Limits(max_tensors=4), Limits(max_metadata=100)):
        with Files(tmp_path) as files, pytest.raises(ReadError, match="limit"):
            catalog_tensor_bundle(files, "ckpt", limits)


def mutated(content: bytes, chooser: np.random.Generator) -> bytes:
    """Damage a block in one of the ways that a parser may trip over."""
    data = bytearray(content)
    place = int(chooser.integers(len(data)))
    kind = chooser.integers(5)
    if kind == 0:
        data[place] ^= 1 << int(chooser.integers(8))
    elif kind == 1:
        data[place] = int(chooser.choice([0, 1, 0x7F, 0x80, 0xFF]))
    elif kind == 2:
        del data[place : place + int(chooser.integers(1, 6))]
    elif kind == 3:
        data[place:place] = chooser.bytes(int(chooser.integers(1, 6)))
    else:
        data[-int(chooser.integers(1, 13))] = int(chooser.integers(256))
    return bytes(data)


@pytest.mark.parametrize("seed", range(4))
def test_mutated_indexes_never_lose_a_tensor(tmp_path: Path, seed: int) -> None:
    """Damage with right checksums gives a ReadError or a list that is no shorter, and never a crash."""
    tf = tensorflow()
    tensors = {f"layer_{i}/{kind}": tf.ones([2, i]) for i in range(20) for kind in ("kernel", "bias")}
    tensors |= {"part@0": tf.ones([2, 3]), "part@1": tf.ones([2, 3])}
    save_bundle(tmp_path / "ckpt", tensors, {"part@0": "4 3 0,2:0,3", "part@1": "4 3 2,2:0,3"})
    index = tmp_path / "ckpt.index"
    pairs = read_pairs(index)
    groups = [pairs[i : i + 15] for i in range(0, len(pairs), 15)]
    blocks = [(group[-1][0], block(group)) for group in groups]
    index.write_bytes(table(blocks))
    expected = len(bundle_catalog(tmp_path).entries)
    assert expected == len(tensors) - 1
    chooser = np.random.default_rng(seed)
    refused = 0
    for _ in range(400):
        damaged = list(blocks)
        chosen = int(chooser.integers(len(blocks)))
        damaged[chosen] = (blocks[chosen][0], mutated(blocks[chosen][1], chooser))
        index.write_bytes(table(damaged))
        try:
            found = len(bundle_catalog(tmp_path).entries)
        except ReadError:
            refused += 1
        else:
            assert found >= expected
    assert refused > 200
