"""Version 2 checkpoints: equal to what TensorFlow reads, and hostile indexes never pass unseen."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.formats.tensorflow_files import bundle_catalog, read_pairs, simple_table
from tests.formats.tensorflow_oracle import assert_equals_tensorflow, save_bundle, tensorflow
from weightaudit.catalog import Absent, Catalog, Flaw, Layout, Tiles, Variable
from weightaudit.formats.tensor_bundle import catalog_tensor_bundle
from weightaudit.limits import DEFAULT_LIMITS
from weightaudit.source import Files

PLAIN = [
    "float16",
    "float32",
    "float64",
    "bfloat16",
    "float8_e5m2",
    "float8_e4m3fn",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "bool",
    "complex64",
    "complex128",
    "int4",
    "uint4",
]
QUANTIZED = ["qint8", "quint8", "qint16", "quint16", "qint32"]
BY_WAY_OF = {"float8_e5m2": "float32", "float8_e4m3fn": "float32"}


def checked(folder: Path, prefix: str = "ckpt") -> tuple[Catalog, int]:
    """Catalog a checkpoint and compare it with TensorFlow."""
    with Files(folder) as files:
        catalog = catalog_tensor_bundle(files, prefix, DEFAULT_LIMITS)
        return catalog, assert_equals_tensorflow(catalog, files, f"{folder}/{prefix}")


def test_every_dtype_equals_tensorflow(tmp_path: Path) -> None:
    """Each type that TensorFlow can store is listed under our name with the same bytes and checksum."""
    tf = tensorflow()
    small = tf.constant([[0, 1], [1, 0]], tf.int8)
    tensors = {f"t/{name}": tf.cast(tf.cast(small, BY_WAY_OF.get(name, "int8")), name) for name in PLAIN}
    tensors |= {f"t/{n}": tf.bitcast(tf.constant([1, 2], n.removeprefix("q")), n) for n in QUANTIZED}
    tensors["t/string"] = tf.constant(["a", "bcd"])
    save_bundle(tmp_path / "ckpt", tensors)
    catalog, compared = checked(tmp_path)
    assert {item.key: item.dtype for item in catalog.entries} == {key: key[2:] for key in tensors}
    assert compared == len(PLAIN) + len(QUANTIZED)
    assert catalog.layout is Layout.TENSORFLOW
    assert not catalog.defects


def test_an_object_checkpoint_equals_tensorflow(tmp_path: Path) -> None:
    """Scalars, empty shapes, strings and slots of tf.train.Checkpoint, and its object graph, are read."""
    tf = tensorflow()
    root = tf.Module()
    root.scalar = tf.Variable(3.5, name="scalar")
    root.empty = tf.Variable(tf.zeros([0, 3]), name="empty")
    root.text = tf.Variable(["x", "yz"], name="text")
    root.inner = tf.Module()
    root.inner.weight = tf.Variable(tf.random.normal([4, 5]), name="weight")
    tf.train.Checkpoint(root).write(str(tmp_path / "ckpt"))
    catalog, compared = checked(tmp_path)
    assert compared >= 3
    graph = catalog.graph
    assert graph is not None
    weight = graph.children[graph.children[0]["inner"]]["weight"]
    assert Variable(weight, "inner/weight/.ATTRIBUTES/VARIABLE_VALUE", "weight") in graph.variables
    assert all(item.key != "_CHECKPOINTABLE_OBJECT_GRAPH" for item in catalog.entries)


def test_slots_of_the_object_graph(tmp_path: Path) -> None:
    """Optimizer slots are told with the variable that they belong to."""
    keras = pytest.importorskip("tf_keras")
    tf = tensorflow()
    variable = tf.Variable([1.0, 2.0], name="w")
    optimizer = keras.optimizers.legacy.Adam()
    optimizer.apply_gradients([(tf.constant([1.0, 1.0]), variable)])
    tf.train.Checkpoint(v=variable, optimizer=optimizer).write(str(tmp_path / "ckpt"))
    catalog, _ = checked(tmp_path)
    graph = catalog.graph
    assert graph is not None
    assert {slot.name for slot in graph.slots} == {"m", "v"}
    assert {slot.variable for slot in graph.slots} == {graph.children[0]["v"]}


def test_partitioned_variables_become_tiles(tmp_path: Path) -> None:
    """Variables that TF1 partitions are one tensor whose slices carry TensorFlow's checksums as regions."""
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
    catalog, compared = checked(tmp_path)
    assert compared == 3
    by_key = {item.key: item for item in catalog.entries}
    rows = by_key["rows"].storage
    assert isinstance(rows, Tiles)
    assert sorted(tile.origin for tile in rows.tiles) == [(0, 0), (3, 0), (5, 0)]
    assert by_key["rows"].checksum is None
    assert len(catalog.regions) == 5


def test_shards_are_found(tmp_path: Path) -> None:
    """A checkpoint of three shards is one model, and stale shards beside it are a note."""
    tf = tensorflow()
    parts = [str(tmp_path / f"part{i}") for i in range(3)]
    for i, part in enumerate(parts):
        save_bundle(Path(part), {f"v{i}": tf.range(i + 2.0), f"w{i}": tf.ones([i + 1, 2])})
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=parts, destination_prefix=str(tmp_path / "ckpt"))
    catalog, compared = checked(tmp_path)
    assert (compared, catalog.notes) == (6, ())
    shutil.copy(tmp_path / "ckpt.data-00000-of-00003", tmp_path / "ckpt.data-00000-of-00002")
    catalog, _ = checked(tmp_path)
    assert "ckpt.data-00000-of-00002" in catalog.notes[0]
    assert not catalog.defects


def test_missing_and_short_shards_are_defects(tmp_path: Path) -> None:
    """A missing and a short shard are one defect each; other tensors stay readable."""
    tf = tensorflow()
    parts = [str(tmp_path / f"part{i}") for i in range(3)]
    for i, part in enumerate(parts):
        save_bundle(Path(part), {f"a{i}": tf.ones([4]), f"b{i}": tf.ones([4])})
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=parts, destination_prefix=str(tmp_path / "ckpt"))
    (tmp_path / "ckpt.data-00001-of-00003").unlink()
    os.truncate(tmp_path / "ckpt.data-00002-of-00003", 20)
    catalog = bundle_catalog(tmp_path)
    state = {item.key: isinstance(item.storage, Absent) for item in catalog.entries}
    assert state == {"a0": False, "b0": False, "a1": True, "b1": True, "a2": False, "b2": True}
    assert [defect.flaw for defect in catalog.defects] == [Flaw.MISSING_DATA] * 2
    assert "ckpt.data-00001-of-00003 is missing: 2 tensors" in catalog.defects[0].message
    assert "ckpt.data-00002-of-00003 is too short (20 bytes): 1 tensor " in catalog.defects[1].message


def test_an_empty_base_name(tmp_path: Path) -> None:
    """A prefix that ends in a slash names the files .index and .data-00000-of-00001."""
    (tmp_path / "inner").mkdir()
    save_bundle(tmp_path / "x", {"v": tensorflow().ones([2])})
    for suffix in ("index", "data-00000-of-00001"):
        shutil.copy(tmp_path / f"x.{suffix}", tmp_path / "inner" / f".{suffix}")
    assert [item.key for item in bundle_catalog(tmp_path, "inner/").entries] == ["v"]
    assert [item.key for item in bundle_catalog(tmp_path / "inner", "").entries] == ["v"]


def compare_all(folder: Path) -> int:
    """Compare every checkpoint below a folder with TensorFlow, and return how many there were."""
    count = 0
    for directory, _, names in sorted(os.walk(folder)):
        for name in sorted(names):
            if name.endswith(".index"):
                catalog, _ = checked(Path(directory), name.removesuffix(".index"))
                missing = [defect for defect in catalog.defects if defect.flaw is not Flaw.MISSING_DATA]
                assert not missing, directory
                count += 1
    return count


def test_real_checkpoints_equal_tensorflow(corpus: Path) -> None:
    """Every checkpoint of the corpus has TensorFlow's keys, shapes, types and bytes."""
    assert compare_all(corpus) >= 20


def test_zoo_checkpoints_equal_tensorflow(zoo: Path) -> None:
    """Checkpoints of every framework version of the zoo have TensorFlow's keys, shapes, types and bytes."""
    assert compare_all(zoo) >= 40


def test_a_damaged_object_graph_is_a_defect(tmp_path: Path) -> None:
    """One flipped bit in the object graph is found by its checksum, and the weights stay readable."""
    tf = tensorflow()
    tf.train.Checkpoint(v=tf.Variable([1.0, 2.0])).write(str(tmp_path / "ckpt"))
    shard = tmp_path / "ckpt.data-00000-of-00001"
    data = bytearray(shard.read_bytes())
    data[data.index(b"VARIABLE_VALUE")] ^= 1
    shard.write_bytes(data)
    catalog = bundle_catalog(tmp_path)
    assert catalog.graph is None
    assert [defect.flaw for defect in catalog.defects] == [Flaw.CHECKSUM]
    assert [item.key for item in catalog.entries] == ["v/.ATTRIBUTES/VARIABLE_VALUE"]


def test_a_promised_variable_that_is_gone_is_a_defect(tmp_path: Path) -> None:
    """A variable that the object graph lists and the index does not is named as missing."""
    tf = tensorflow()
    tf.train.Checkpoint(v=tf.Variable([1.0, 2.0]), w=tf.Variable(3.0)).write(str(tmp_path / "ckpt"))
    pairs = read_pairs(tmp_path / "ckpt.index")
    gone = "v/.ATTRIBUTES/VARIABLE_VALUE"
    (tmp_path / "ckpt.index").write_bytes(simple_table([pair for pair in pairs if pair[0] != gone.encode()]))
    (defect,) = bundle_catalog(tmp_path).defects
    assert (defect.flaw, defect.tensor) == (Flaw.MISSING_TENSOR, gone)


def test_order_is_the_index_order(tmp_path: Path) -> None:
    """Entries come in the order of the index, which is sorted by bytes."""
    save_bundle(tmp_path / "ckpt", {name: np.float32(1) for name in ("b", "a/10", "a/2", "B")})
    assert [item.key for item in bundle_catalog(tmp_path).entries] == ["B", "a/10", "a/2", "b"]
