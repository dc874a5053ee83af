"""Version 1 checkpoints: equal to what TensorFlow reads, and damage is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.formats.tensorflow_files import Pair, block, chunk, header, number, shape, simple_table, table
from tests.formats.tensorflow_oracle import assert_equals_tensorflow, tensorflow
from weightaudit.catalog import Absent, Catalog, Flaw, Tiles
from weightaudit.errors import ReadError
from weightaudit.formats import Kind, sniff
from weightaudit.formats.checkpoint_v1 import catalog_checkpoint_v1
from weightaudit.limits import DEFAULT_LIMITS, Limits
from weightaudit.source import Files

# The types that TensorFlow itself can write into such a checkpoint.
DTYPES = [
    "float16",
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "bool",
    "complex64",
    "complex128",
]


def save_v1(path: Path, tensors: dict[str, Any], specs: list[str] | None = None) -> None:
    """Save tensors with TensorFlow's old operation; what follows an @ in a name is no part of it."""
    names = [name.partition("@")[0] for name in tensors]
    tensorflow().raw_ops.SaveSlices(
        filename=str(path),
        tensor_names=names,
        shapes_and_slices=specs or [""] * len(names),
        data=list(tensors.values()),
    )


def compared(found: Catalog, files: Files, path: Path | str) -> int:
    """Compare with TensorFlow's old operation, since its checkpoint reader knows few types and no slices."""
    restore = tensorflow().raw_ops.Restore
    return assert_equals_tensorflow(
        found, files, path, lambda name, dt: restore(file_pattern=str(path), tensor_name=name, dt=dt)
    )


def catalog(folder: Path, *shards: str, limits: Limits = DEFAULT_LIMITS) -> Catalog:
    """Catalog the shards of a folder."""
    with Files(folder) as files:
        return catalog_checkpoint_v1(files, shards, limits)


def test_a_v1_saver_equals_tensorflow(tmp_path: Path) -> None:
    """What the V1 Saver writes, partitioned variables too, has TensorFlow's keys, shapes, types and bytes."""
    tf = tensorflow()
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        initial = v1.random_normal_initializer()
        v1.get_variable("rows", [7, 3], initializer=initial, partitioner=v1.fixed_size_partitioner(3))
        v1.get_variable(
            "wide", [2, 300], initializer=initial, partitioner=v1.fixed_size_partitioner(2, axis=1)
        )
        v1.get_variable("zeros", [200, 300], initializer=v1.zeros_initializer())
        v1.get_variable("scalar", [], initializer=initial)
        session.run(v1.global_variables_initializer())
        v1.train.Saver(write_version=v1.train.SaverDef.V1).save(
            session, str(tmp_path / "model.ckpt"), write_meta_graph=False
        )
    assert sniff(tmp_path / "model.ckpt") is Kind.TABLE
    with Files(tmp_path) as files:
        found = catalog_checkpoint_v1(files, ["model.ckpt"], DEFAULT_LIMITS)
        assert compared(found, files, tmp_path / "model.ckpt") == 4
    assert found.container == "TensorFlow checkpoint (V1)"
    assert [item.key for item in found.entries if isinstance(item.storage, Tiles)] == ["rows", "wide"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_equals_tensorflow(tmp_path: Path, dtype: str) -> None:
    """Values of each type, negative and fractional ones included, come out as TensorFlow's bytes."""
    tf = tensorflow()
    values = tf.constant([[0.0, 1.0, 3.25], [100.0, 0.5, 2.0]], tf.float64)
    if not dtype.startswith(("u", "b")):
        values = tf.concat([values, -values], 0)
    save_v1(tmp_path / "ck", {"v": tf.cast(values, dtype), "empty": tf.zeros([0, 2], dtype)})
    with Files(tmp_path) as files:
        found = catalog_checkpoint_v1(files, ["ck"], DEFAULT_LIMITS)
        assert compared(found, files, tmp_path / "ck") == 2


def test_shards_are_merged(tmp_path: Path) -> None:
    """Slices of one tensor in two shards are one tensor; without one of them it is absent, by name."""
    tf = tensorflow()
    names = ["ck-00000-of-00002", "ck-00001-of-00002"]
    whole = tf.random.normal([4, 3])
    save_v1(tmp_path / names[0], {"v": whole[:2], "w": tf.ones([3])}, ["4 3 0,2:0,3", ""])
    save_v1(tmp_path / names[1], {"v": whole[2:], "x": tf.ones([3])}, ["4 3 2,2:0,3", ""])
    with Files(tmp_path) as files:
        found = catalog_checkpoint_v1(files, names, DEFAULT_LIMITS)
        assert compared(found, files, f"{tmp_path}/ck-?????-of-00002") == 3
    assert not found.defects
    half = catalog(tmp_path, names[0])
    assert {item.key: isinstance(item.storage, Absent) for item in half.entries} == {"v": True, "w": False}
    assert [defect.flaw for defect in half.defects] == [Flaw.MISSING_DATA]
    assert names[1] in half.defects[0].message


def test_strings_are_listed(tmp_path: Path) -> None:
    """String tensors are in the catalog with their shape and type."""
    save_v1(tmp_path / "ck", {"s": tensorflow().constant(["a", "bc"])})
    (item,) = catalog(tmp_path, "ck").entries
    assert (item.key, item.shape, item.dtype) == ("s", (2,), "string")


def test_other_tables_are_refused(tmp_path: Path) -> None:
    """A file that ends as a table does is taken for a shard, and then has to hold what a shard holds."""
    path = tmp_path / "file"
    for other in (b"no table at all" * 10, simple_table(pairs())[:-1]):
        path.write_bytes(other)
        assert sniff(path) is None
    strangers = simple_table([header()]), simple_table([(b"any", b"leveldb")])
    for data in (*strangers, b"\xff" + simple_table(pairs())[1:]):
        path.write_bytes(data)
        assert sniff(path) is Kind.TABLE
        with pytest.raises(ReadError, match=r"^file is damaged"):
            catalog(tmp_path, "file")


def meta(name: str, sizes: tuple[int, ...], *slices: bytes, dtype: int = 1) -> bytes:
    """Encode what the first record says of one tensor."""
    body = chunk(1, name.encode()) + chunk(2, shape(*sizes)) + number(3, dtype)
    return chunk(1, body + b"".join(chunk(4, piece) for piece in slices))


def data(name: str, piece: bytes, values: bytes, field: int = 5) -> bytes:
    """Encode the record of one slice."""
    return chunk(2, chunk(1, name.encode()) + chunk(2, piece) + chunk(3, chunk(field, values)))


WHOLE = chunk(1, b"")  # one dimension, all of it
KEY = b"\0v\0\1\1\1\x80\x7f"


def pairs(listed: bytes = b"", record: bytes = b"", key: bytes = KEY) -> list[Pair]:
    """Return the records of a checkpoint with the vector v of two elements, or a damaged variant."""
    return [
        (b"", chunk(1, listed or meta("v", (2,), WHOLE))),
        (key, record or data("v", WHOLE, b"\0\0\x80\x3f" * 2)),
    ]


def test_a_minimal_checkpoint(tmp_path: Path) -> None:
    """The builder of the cases below makes a checkpoint that is valid when nothing is wrong."""
    (tmp_path / "ck").write_bytes(simple_table(pairs()))
    (item,) = catalog(tmp_path, "ck").entries
    assert (item.key, item.shape, item.dtype) == ("v", (2,), "float32")


HOSTILE: dict[str, list[Pair]] = {
    "no list": pairs()[1:],
    "empty": [],
    "slice without values": pairs()[:1],
    "values of another tensor": pairs(record=data("w", WHOLE, b"\0" * 8)),
    "values under another key": pairs(key=KEY[:-1] + b"\x81"),
    "too few values": pairs(record=data("v", WHOLE, b"\0" * 4)),
    "too many values": pairs(record=data("v", WHOLE, b"\0" * 12)),
    "values of another type": pairs(record=data("v", WHOLE, b"\0\0", field=7)),
    "values cut in a number": pairs(meta("v", (2,), WHOLE, dtype=3), data("v", WHOLE, b"\1\x81", field=7)),
    "values longer than numbers": pairs(
        meta("v", (1,), WHOLE, dtype=3), data("v", WHOLE, b"\x80" * 10 + b"\1", 7)
    ),
    "values too large for the type": pairs(
        meta("v", (1,), WHOLE, dtype=6), data("v", WHOLE, b"\xff\1", field=7)
    ),
    "slice listed twice": pairs(meta("v", (2,), WHOLE, WHOLE)),
    "slice outside": pairs(meta("v", (2,), chunk(1, number(1, 1) + number(2, 2)))),
    "negative slice": pairs(meta("v", (2,), chunk(1, number(1, -1) + number(2, 2)))),
    "slice of another rank": pairs(meta("v", (2, 2), WHOLE)),
    "dtype 999": pairs(meta("v", (2,), WHOLE, dtype=999)),
    "negative dimension": pairs(meta("v", (-2,), WHOLE)),
    "two shapes of one tensor": pairs(meta("v", (2,), WHOLE) + meta("v", (3,), WHOLE)),
    "variants": pairs(meta("v", (2,), WHOLE, dtype=21)),
    "not a message": pairs(record=b"\xff\xff"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_checkpoints_are_refused(tmp_path: Path, case: str) -> None:
    """A checkpoint whose checksums are right and whose content is not gives a ReadError."""
    (tmp_path / "ck").write_bytes(simple_table(HOSTILE[case]))
    with pytest.raises(ReadError, match=r"damaged|cannot hold"):
        catalog(tmp_path, "ck")


def test_limits_bound_what_is_unpacked(tmp_path: Path) -> None:
    """A file that unpacks to more than is plausible is refused."""
    save_v1(tmp_path / "ck", {"v": tensorflow().zeros([10_000], "int64")})
    with pytest.raises(ReadError, match="plausible"):
        catalog(tmp_path, "ck", limits=Limits(max_ratio=1, min_budget=1000))


@pytest.mark.parametrize("seed", range(2))
def test_mutated_checkpoints_never_lose_a_tensor(tmp_path: Path, seed: int) -> None:
    """Damage with right checksums gives a ReadError or a list that is no shorter, and never a crash."""
    chooser = np.random.default_rng(seed)
    both = meta("v", (2,), WHOLE) + meta("w", (2,), WHOLE)
    second = (KEY.replace(b"v", b"w"), data("w", WHOLE, b"\0" * 8))
    content = block([*pairs(both), second])
    refused = 0
    for _ in range(500):
        damaged = bytearray(content)
        for _ in range(chooser.integers(1, 3)):
            damaged[chooser.integers(len(damaged))] = int(chooser.integers(256))
        (tmp_path / "ck").write_bytes(table([(b"\xff" * 9, bytes(damaged))]))
        try:
            assert len(catalog(tmp_path, "ck").entries) >= 2
        except ReadError:
            refused += 1
    assert refused > 300


def test_a_real_v1_checkpoint_equals_tensorflow(corpus: Path) -> None:
    """The V1 checkpoint of the corpus has TensorFlow's keys, shapes, types and bytes."""
    folder = corpus / "serving-session-bundle-v1"
    with Files(folder) as files:
        found = catalog_checkpoint_v1(files, ["export-00000-of-00001"], DEFAULT_LIMITS)
        assert compared(found, files, folder / "export-00000-of-00001") == 2
