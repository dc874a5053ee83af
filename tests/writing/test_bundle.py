"""Checkpoints of TensorFlow: it reads the new values, and finds every checksum right."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.formats.tensorflow_files import block, masked_crc, table
from tests.formats.tensorflow_oracle import save_bundle, tensorflow
from tests.writing.rewriting import (
    assert_only_changed,
    numbers,
    other_bytes,
    random_values,
    rewrite,
    stored_at,
)
from weightaudit.checkpoint import open_checkpoint
from weightaudit.errors import WriteError
from weightaudit.formats.sstable import read_table
from weightaudit.source import LocalFile

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

DTYPES = ("float16", "float32", "float64", "bfloat16", "int8", "int32", "int64", "uint8", "bool", "complex64")


def _random(path: Path, seed: int) -> dict[str, NDArray[Any]]:
    generator = np.random.default_rng(seed)
    with open_checkpoint(path) as checkpoint:
        return {info.name: random_values(info, generator) for info in numbers(checkpoint)}


def _assert_tensorflow_reads(prefix: Path, values: dict[str, NDArray[Any]]) -> None:
    reader = tensorflow().train.load_checkpoint(str(prefix))
    for name, wanted in values.items():
        assert reader.get_tensor(name).tobytes() == wanted.tobytes(), name


def test_tensors_of_every_type(tmp_path: Path) -> None:
    """TensorFlow reads new values of each type, and strings and other tensors as they were."""
    tf = tensorflow()
    tensors = {dtype: tf.cast(tf.random.normal([7, 5]), dtype) for dtype in DTYPES}
    tensors |= {"text": tf.constant(["a", "bc"]), "kept": tf.range(10), "empty": tf.zeros([0, 3])}
    save_bundle(tmp_path / "ckpt", tensors)
    values = _random(tmp_path / "ckpt", 0)
    del values["kept"]
    copy = rewrite(tmp_path / "ckpt", tmp_path / "copy", values).path
    assert_only_changed(tmp_path / "ckpt", copy, values)
    _assert_tensorflow_reads(copy, values)
    reader = tf.train.load_checkpoint(str(copy))
    assert reader.get_tensor("kept").tolist() == list(range(10))
    assert reader.get_tensor("text").tolist() == [b"a", b"bc"]


def test_only_the_tensor_and_its_checksums_change(tmp_path: Path) -> None:
    """Data changes where the tensor is; the index in that tensor's checksum and in the one of its block."""
    tf = tensorflow()
    save_bundle(tmp_path / "ckpt", {f"w{number}": tf.random.normal([9]) for number in range(40)})
    copy = rewrite(tmp_path / "ckpt", tmp_path / "copy", {"w7": np.zeros(9, np.float32)}).path
    data, index = ".data-00000-of-00001", ".index"
    with open_checkpoint(tmp_path / "ckpt") as checkpoint:
        allowed = stored_at(checkpoint, "w7")
    old, new = (folder / f"ckpt{data}" for folder in (tmp_path, copy.parent))
    assert other_bytes(old.read_bytes(), new.read_bytes()) <= allowed
    before, after = (folder / f"ckpt{index}" for folder in (tmp_path, copy.parent))
    places = other_bytes(before.read_bytes(), after.read_bytes())
    tensor = before.read_bytes().index(masked_crc(old.read_bytes()[min(allowed) : max(allowed) + 1]))
    assert places & {*range(tensor, tensor + 4)}
    assert max(places - {*range(tensor, tensor + 4)}) - min(places - {*range(tensor, tensor + 4)}) < 4


def test_slices_of_partitioned_variables(tmp_path: Path) -> None:
    """A variable in slices along either axis gets new values in each of them, with their checksums."""
    tf = tensorflow()
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        initial = v1.random_normal_initializer()
        v1.get_variable("rows", [7, 3], initializer=initial, partitioner=v1.fixed_size_partitioner(3))
        v1.get_variable(
            "wide", [2, 300], initializer=initial, partitioner=v1.fixed_size_partitioner(2, axis=1)
        )
        v1.get_variable("whole", [2, 2], initializer=initial)
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, str(tmp_path / "ckpt"), write_meta_graph=False)
    values = _random(tmp_path / "ckpt", 1)
    del values["whole"]
    copy = rewrite(tmp_path / "ckpt", tmp_path / "copy", values).path
    assert_only_changed(tmp_path / "ckpt", copy, values)
    _assert_tensorflow_reads(copy, values)


def test_shards_without_a_change_are_shared(tmp_path: Path) -> None:
    """Of several shards, those that hold nothing new are linked to where they are known to be the same."""
    tf = tensorflow()
    parts = [str(tmp_path / f"part{number}") for number in range(3)]
    for number, part in enumerate(parts):
        save_bundle(tmp_path / part, {f"v{number}": tf.random.normal([100])})
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=parts, destination_prefix=str(tmp_path / "ckpt"))
    shards = [f"ckpt.data-0000{number}-of-00003" for number in range(3)]
    known = shutil.copytree(tmp_path, tmp_path / "known")
    reuse = {name: known / name for name in (*shards, "ckpt.index")}
    values = {"v1": np.arange(100, dtype=np.float32)}
    copy = rewrite(tmp_path / "ckpt", tmp_path / "copy", values, reuse=reuse).path
    _assert_tensorflow_reads(copy, values)
    assert_only_changed(tmp_path / "ckpt", copy, values)
    same = [(known / name).samefile(copy.parent / name) for name in (*shards, "ckpt.index")]
    assert same == [True, False, True, False]


def test_a_checkpoint_is_restored_with_the_new_values(tmp_path: Path) -> None:
    """tf.train.Checkpoint restores a copy under another name into a module that computes with it."""
    tf = tensorflow()
    root = tf.Module()
    root.weight = tf.Variable(tf.random.normal([4, 5]), name="weight")
    root.step = tf.Variable(3, name="step")
    tf.train.Checkpoint(root).write(str(tmp_path / "ckpt"))
    values = {"weight": np.random.default_rng(2).normal(size=(4, 5)).astype(np.float32)}
    written = rewrite(tmp_path / "ckpt", tmp_path / "copy", values, name="better")
    assert written.names == ("better.data-00000-of-00001", "better.index")
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == list(written.names)
    tf.train.Checkpoint(root).read(str(written.path)).assert_consumed()
    expected = tf.matmul(tf.ones([1, 4]), tf.constant(values["weight"]))
    np.testing.assert_array_equal(tf.matmul(tf.ones([1, 4]), root.weight), expected)
    assert int(root.step) == 3


def test_the_fixture_with_its_optimizer(tmp_path: Path, fixtures_dir: Path) -> None:
    """Every number of a training checkpoint changes, and TensorFlow reads each of them."""
    path = fixtures_dir / "checkpoint" / "ckpt-1"
    values = _random(path, 3)
    copy = rewrite(path, tmp_path / "copy", values).path
    assert_only_changed(path, copy, values)
    with open_checkpoint(path) as checkpoint:
        keys = {name: checkpoint[name].key for name in values}
    _assert_tensorflow_reads(copy, {keys[name]: wanted for name, wanted in values.items()})


def test_a_compressed_index_is_written_plain(tmp_path: Path, corpus: Path) -> None:
    """An index in Snappy blocks stays as it is where nothing changes, and else says the same uncompressed."""
    path = corpus / "serving-halfplustwo-cpu" / "variables" / "variables"
    values = _random(path, 4)
    with open_checkpoint(path) as checkpoint:
        same = {name: checkpoint.read(name).astype(np.float32) for name in values}
    untouched = rewrite(path, tmp_path / "same", same)
    for name in untouched.names:
        assert (tmp_path / "same" / name).read_bytes() == (path.parent / name).read_bytes()
    copy = rewrite(path, tmp_path / "copy", values).path
    assert_only_changed(path, copy, values)
    _assert_tensorflow_reads(copy, values)


def test_fields_that_are_not_known_stay(tmp_path: Path) -> None:
    """What an index says besides, here a version of the producer, is in the new one with the same bytes."""
    tf = tensorflow()
    save_bundle(tmp_path / "ckpt", {"w": tf.zeros([2])})
    index = tmp_path / "ckpt.index"
    source = LocalFile(index)
    (_, header), entry = read_table(source)
    source.close()
    odd = header[:-4] + b"\x1a\x04\x08\x01\x18\x05"  # VersionDef with a list of bad consumers
    index.write_bytes(table([(b"w", block([(b"", odd), entry]))]))
    copy = rewrite(tmp_path / "ckpt", tmp_path / "copy", {"w": np.ones(2, np.float32)}).path
    source = LocalFile(copy.with_name("ckpt.index"))
    assert next(read_table(source)) == (b"", odd)
    source.close()


def test_version_1_is_refused(tmp_path: Path, corpus: Path) -> None:
    """A checkpoint of version 1 is copied whole, but not changed."""
    path = corpus / "serving-session-bundle-v1" / "export-00000-of-00001"
    with open_checkpoint(path) as checkpoint:
        name = numbers(checkpoint)[0].name
    copy = rewrite(path, tmp_path / "copy", {}).path
    assert copy.read_bytes() == path.read_bytes()
    with pytest.raises(WriteError, match="version 1, which is read but not changed; load it in TensorFlow"):
        rewrite(path, tmp_path / "other", {name: np.ones((), np.float32)})
