"""Tables and messages are written as TensorFlow writes them: the same content, the same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.formats.tensorflow_files import chunk, number, varint
from tests.formats.tensorflow_oracle import save_bundle, tensorflow
from weightaudit.errors import ReadError
from weightaudit.formats import sstable
from weightaudit.formats.protobuf import FIXED32, VARINT, Message
from weightaudit.formats.sstable import read_table
from weightaudit.source import LocalFile
from weightaudit.writing.farmhash import fingerprint64
from weightaudit.writing.messages import with_field
from weightaudit.writing.table import encode_table, renumbered_index

if TYPE_CHECKING:
    from pathlib import Path

    from weightaudit.formats.sstable import Pair


def _pairs(path: Path) -> list[Pair]:
    source = LocalFile(path)
    try:
        return list(read_table(source))
    finally:
        source.close()


def _is_packed(path: Path) -> bool:
    """Say whether the first block of a table is compressed."""
    source = LocalFile(path)
    try:
        _, index = sstable._footer(source)
        _, encoded = next(sstable._block(source, index, sstable.MAX_BLOCK))
        first, _ = sstable._handle(source, encoded)
        return source.read(first.end - 5, 1) == b"\x01"
    finally:
        source.close()


def _assert_same_bytes(folder: Path, least: int) -> None:
    """Assert that every index below a folder that was not compressed comes out as TensorFlow wrote it."""
    indexes = [path for path in folder.rglob("*") if path.name.endswith(".index") and path.is_file()]
    plain = [path for path in indexes if not _is_packed(path)]
    different = [path for path in plain if encode_table(_pairs(path)) != path.read_bytes()]
    assert not different
    assert len(plain) >= least


def test_our_own_indexes_come_out_as_they_were(fixtures_dir: Path) -> None:
    """The indexes of our models are encoded to the bytes that TensorFlow made of them."""
    _assert_same_bytes(fixtures_dir, 2)


def test_indexes_of_real_models_come_out_as_they_were(corpus: Path) -> None:
    """Indexes by TensorFlow 1.12 to 2.14, from real models, are encoded to the same bytes."""
    _assert_same_bytes(corpus, 15)


def test_indexes_of_many_versions_come_out_as_they_were(zoo: Path) -> None:
    """Indexes of every kind of model by the versions of the zoo are encoded to the same bytes."""
    _assert_same_bytes(zoo, 20)


def test_an_index_of_many_blocks_comes_out_as_it_was(tmp_path: Path) -> None:
    """Where TensorFlow begins new blocks, and which separators it puts between them, we do as well."""
    generator = np.random.default_rng(0)
    names = {bytes(generator.integers(97, 123, generator.integers(1, 400))).decode() for _ in range(6000)}
    names |= {"zz\xff", "zz\xfe", "a", "ab"}
    save_bundle(tmp_path / "ckpt", {name: np.float32(1) for name in sorted(names)})
    data = (tmp_path / "ckpt.index").read_bytes()
    assert len(data) > 1 << 20
    assert encode_table(_pairs(tmp_path / "ckpt.index")) == data


@given(st.dictionaries(st.binary(max_size=40), st.binary(max_size=60)), st.sampled_from([1, 400_000]))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
def test_pairs_come_back(tmp_path: Path, pairs: dict[bytes, bytes], times: int) -> None:
    """Any sorted pairs are read as they were written, large values and no pairs at all included."""
    ordered = [(key, value * (times if value == b"x" else 1)) for key, value in sorted(pairs.items())]
    path = tmp_path / "some.index"
    path.write_bytes(encode_table(ordered))
    assert _pairs(path) == ordered


def test_another_number_of_shards(tmp_path: Path, fixtures_dir: Path) -> None:
    """A renumbered index differs in its header's number of shards alone, and can be numbered back."""
    path, other = fixtures_dir / "checkpoint" / "ckpt-1.index", tmp_path / "other.index"
    source = LocalFile(path)
    other.write_bytes(renumbered_index(source, 300))
    source.close()
    (header, *rest), (old, *others) = _pairs(other), _pairs(path)
    assert rest == others
    assert Message(header[1], "x").integer(1) == 300
    source = LocalFile(other)
    assert renumbered_index(source, 1) == path.read_bytes()
    assert with_field(header[1], 1 << 3, 1, "x") == old[1]
    source.close()


def test_one_field_of_a_message_changes() -> None:
    """A number is replaced, added in its place or left out, and all other fields keep bytes and order."""
    after = chunk(7, b"slice") + number(8, 3) + chunk(900, b"unknown")
    tag = 6 << 3 | FIXED32
    crc = varint(tag) + bytes(range(4))
    value = int.from_bytes(bytes(range(4)), "little")
    for held in (crc, varint(tag) + b"\xff\xff\xff\xff", b""):
        message = number(1, 7) + held + after
        assert with_field(message, tag, value, "x") == number(1, 7) + crc + after
        assert with_field(message, tag, 0, "x") == number(1, 7) + after
    assert with_field(after + number(2, 5), 2 << 3, 1 << 63, "x") == after + number(2, 1 << 63)
    assert with_field(b"", 9 << 3 | VARINT, 5, "x") == number(9, 5)
    with pytest.raises(ReadError, match="x is damaged"):
        with_field(b"\x08", tag, 1, "x")


def test_fingerprints_are_those_of_tensorflow() -> None:
    """FarmHash's fingerprint is TensorFlow's, for every length at which its formula changes, and beyond."""
    tf = tensorflow()
    generator = np.random.default_rng(0)
    texts = [generator.bytes(size) for size in (*range(200), 1000, 4095, 4096, 4097, 100_001)]
    expected = np.asarray(tf.fingerprint(tf.constant(texts))).view("<u8").ravel().tolist()
    assert [fingerprint64(text) for text in texts] == expected
