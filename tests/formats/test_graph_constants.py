"""Constants of a SavedModel's graph: TensorFlow's numbers, each way to store them, and hostile files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import pytest

from tests.formats.tensorflow_files import chunk, number, varint
from tests.formats.tensorflow_oracle import tensorflow
from weightaudit import Request, Role, Selector, audit, open_checkpoint, repair_model
from weightaudit.catalog import Absent, Entry, Extent, Fill, Inline
from weightaudit.errors import ReadError, RepairError, WriteError
from weightaudit.formats.graph_constants import LEAST_ELEMENTS, read_constants
from weightaudit.formats.tensorflow_types import DATA_TYPES
from weightaudit.limits import DEFAULT_LIMITS, Limits
from weightaudit.projections import Clip
from weightaudit.source import LocalFile
from weightaudit.writing import write_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

TYPES = {
    1: "float32",
    2: "float64",
    6: "int8",
    8: "complex64",
    11: "qint8",
    12: "quint8",
    13: "qint32",
    14: "bfloat16",
    15: "qint16",
    16: "quint16",
    18: "complex128",
    19: "float16",
    24: "float8_e5m2",
    25: "float8_e4m3fn",
    29: "int4",
    30: "uint4",
}
"""TensorFlow's numbers of the types that weights have."""


def packed(field: int, values: list[float], dtype: str = "float32") -> bytes:
    """Encode a list of a TensorProto as numbers of a type."""
    return chunk(field, np.array(values, dtype).tobytes())


def tensor(sizes: list[int], *fields: bytes, kind: int = 1) -> bytes:
    """Encode a TensorProto."""
    return (
        number(1, kind) + chunk(2, b"".join(chunk(2, number(1, size)) for size in sizes)) + b"".join(fields)
    )


def attribute(name: bytes, value: bytes) -> bytes:
    """Encode an attribute of a node."""
    return chunk(5, chunk(1, name) + chunk(2, value))


def constant(name: str, value: bytes, kind: int = 1, operation: bytes = b"Const") -> bytes:
    """Encode the NodeDef of a constant."""
    given = attribute(b"dtype", number(6, kind)) + attribute(b"value", chunk(8, value))
    return chunk(1, name.encode()) + chunk(2, operation) + given


def listed(folder: Path, graph: bytes, limits: Limits = DEFAULT_LIMITS) -> dict[str, Entry]:
    """Return the constants of a GraphDef that is all of a file, by key."""
    (folder / "saved_model.pb").write_bytes(graph)
    file = LocalFile(folder / "saved_model.pb")
    try:
        entries = read_constants(file, 7, [(2, 0, len(graph))], limits)
    finally:
        file.close()
    return {entry.key.removeprefix("saved_model.pb/"): entry for entry in entries}


def only(folder: Path, value: bytes, kind: int = 1) -> Entry | None:
    """Return the entry of a graph with one constant, None if it does not count."""
    return listed(folder, chunk(1, constant("c", value, kind))).get("c")


def save_constants(folder: Path, values: dict[str, Any]) -> None:
    """Save a TensorFlow model without variables, whose function adds up some constants."""
    tf = tensorflow()
    root = tf.Module()

    def total(x: Any) -> Any:
        for name, value in values.items():
            x += tf.reduce_sum(tf.cast(tf.constant(value, name=name), tf.float32))
        return x

    root.total = tf.function(total, input_signature=[tf.TensorSpec([], tf.float32)])
    tf.saved_model.save(root, str(folder))


def expected(folder: Path) -> dict[str, NDArray[Any]]:
    """Return the constants of a SavedModel that count, by key, as TensorFlow reads them."""
    from tensorflow.core.protobuf import saved_model_pb2
    from tensorflow.python.framework import tensor_util

    model = saved_model_pb2.SavedModel()
    model.ParseFromString((folder / "saved_model.pb").read_bytes())
    found: dict[str, NDArray[Any]] = {}
    for index, meta in enumerate(model.meta_graphs, 1):
        prefix = "saved_model.pb/" if index == 1 else f"saved_model.pb {index}/"
        bodies = [(prefix, meta.graph_def.node)]
        bodies += [(f"{prefix}{f.signature.name}/", f.node_def) for f in meta.graph_def.library.function]
        for path, nodes in bodies:
            for node in nodes:
                value = node.attr["value"].tensor
                if node.op != "Const" or value.dtype not in TYPES:
                    continue
                array = tensor_util.MakeNdarray(value)
                is_initial = not array.any() and not value.tensor_content
                if array.size >= LEAST_ELEMENTS and not is_initial:
                    found[path + node.name] = array
    return found


def assert_equals_tensorflow(folder: Path) -> int:
    """Assert that the distinct constants are TensorFlow's, bit for bit; return how many there are in all."""
    found = expected(folder)
    distinct = {(value.dtype, value.shape, value.tobytes()): key for key, value in reversed(found.items())}
    with open_checkpoint(folder) as checkpoint:
        constants = {info.key: info for info in checkpoint if info.role is Role.CONSTANT}
        assert constants.keys() == set(distinct.values()), folder
        for key, info in constants.items():
            assert (info.shape, info.dtype) == (found[key].shape, found[key].dtype.name)
            assert checkpoint.read_stored(info.name) == found[key].tobytes(), key
    return len(found)


def saved_models(folder: Path) -> Iterator[Path]:
    """Yield the SavedModels below a folder."""
    for directory, _, names in os.walk(folder):
        if "saved_model.pb" in names:
            yield Path(directory)


def test_constants_of_real_models_equal_tensorflow(corpus: Path) -> None:
    """Every constant that counts in the SavedModels of the corpus is found, with TensorFlow's bytes."""
    counts = {path.name: assert_equals_tensorflow(path) for path in saved_models(corpus)}
    assert len(counts) >= 14
    assert counts["basic-pitch-sm"] == 8
    assert counts["tfx-tft-sm-novars"] == 0


def test_constants_of_the_zoo_equal_tensorflow(zoo: Path) -> None:
    """So is every one in the SavedModels of eight versions of Keras and TensorFlow."""
    assert len([assert_equals_tensorflow(path) for path in saved_models(zoo)]) >= 20


def test_every_type_and_form_that_tensorflow_writes(tmp_path: Path) -> None:
    """TensorFlow's own constants of every type are read, whole, repeated and repeated at the end."""
    rng = np.random.default_rng(1)
    values: dict[str, Any] = {}
    for dtype in ("float32", "float64", "float16", ml_dtypes.bfloat16, "complex64", "complex128"):
        name = np.dtype(dtype).name
        values[f"{name}_whole"] = rng.normal(size=(5, 7)).astype(dtype)
        values[f"{name}_same"] = np.full((64, 64), 1.5, dtype)
        values[f"{name}_tail"] = np.pad(rng.normal(size=9), (0, 991), constant_values=2).astype(dtype)
    values["int8_whole"] = rng.integers(-128, 128, (5, 7), np.int8)
    values["int8_same"] = np.full((64, 64), -3, np.int8)
    values["few"] = np.ones(LEAST_ELEMENTS - 1, np.float32)
    values["integers"] = np.arange(1000)
    save_constants(tmp_path / "m", values)
    assert assert_equals_tensorflow(tmp_path / "m") >= 20


@pytest.mark.parametrize(
    ("kind", "field"), [(1, 5), (2, 6), (8, 9), (14, 13), (18, 12), (19, 13), (24, 18), (25, 18)]
)
def test_lists_of_every_type(tmp_path: Path, kind: int, field: int) -> None:
    """A list gives TensorFlow's bytes for every type, whole or with a last element that is repeated."""
    from tensorflow.core.framework import tensor_pb2
    from tensorflow.python.framework import tensor_util

    dtype = np.dtype(getattr(ml_dtypes, TYPES[kind], None) or TYPES[kind])
    values = np.arange(1, 21).astype(dtype)
    for count in (1, 5, 20):
        codes = values[:count].view(np.uint16).tolist() if field == 13 else ()
        raw = b"".join(varint(code) for code in codes) if codes else values[:count].tobytes()
        message = tensor([4, 5], chunk(field, raw), kind=kind)
        proto = tensor_pb2.TensorProto.FromString(message)
        whole = tensor_util.MakeNdarray(proto)
        entry = only(tmp_path, message, kind)
        assert entry is not None
        assert (entry.shape, entry.dtype) == ((4, 5), TYPES[kind])
        storage = entry.storage
        if isinstance(storage, Extent):
            place = (tmp_path / "saved_model.pb").read_bytes()[storage.offset :][: storage.nbytes]
            assert (storage.file, place) == (7, whole.tobytes())
        elif isinstance(storage, Inline):
            assert storage.data == whole.tobytes()
        else:
            assert count == 1
            assert storage == Fill(whole.tobytes()[: dtype.itemsize])


def test_what_is_no_weight_is_left_out(tmp_path: Path) -> None:
    """Small constants, integers, strings, and zeros that one number stands for do not count."""
    ones = packed(5, [1.0] * 20)
    for value, kind in (
        (tensor([15], packed(5, [1.0] * 15)), 1),
        (tensor([20], chunk(7, b"\1" * 20), kind=3), 3),
        (tensor([20], chunk(8, b"text"), kind=7), 7),
        (tensor([20], packed(5, [0.0])), 1),
        (tensor([20]), 1),
        (tensor([0], ones), 1),
    ):
        assert only(tmp_path, value, kind) is None
    kept = only(tmp_path, tensor([20], packed(5, [0.0] * 20)))
    assert kept is not None
    assert isinstance(kept.storage, Extent)
    assert listed(tmp_path, chunk(1, constant("c", tensor([20], ones), operation=b"Constant"))) == {}


def test_what_an_unusual_encoding_says(tmp_path: Path) -> None:
    """A constant counts whatever order and length of encoding its fields have, also beside a decoy."""
    value = attribute(b"value", chunk(8, tensor([16], packed(5, [2.0]))))
    long_type = chunk(5, chunk(2, b"\x30\x81\x00") + chunk(1, b"dtype"))
    decoy = attribute(b"note", chunk(2, attribute(b"dtype", number(6, 3))))
    node = value + decoy + long_type + chunk(2, b"Const") + chunk(1, b"c")
    assert listed(tmp_path, chunk(1, node)).keys() == {"c"}


def test_functions_and_graphs_are_told_apart(tmp_path: Path) -> None:
    """A constant is named by its function, wherever the function's name stands, and by its graph."""
    node = constant("c", tensor([16], packed(5, [2.0])))
    named, unnamed = chunk(1, chunk(1, b"f")), chunk(1, chunk(1, b"g"))
    library = chunk(2, chunk(1, named + chunk(3, node)) + chunk(1, chunk(3, node) + unnamed))
    graph = chunk(1, node) + library
    assert listed(tmp_path, graph).keys() == {"c", "f/c", "g/c"}
    file = LocalFile(tmp_path / "saved_model.pb")
    entries = read_constants(file, 0, [(2, 0, len(graph))] * 2, DEFAULT_LIMITS)
    file.close()
    assert [entry.key for entry in entries][3:] == [f"saved_model.pb 2/{key}" for key in ("c", "f/c", "g/c")]


def test_numbers_that_are_not_all_there(tmp_path: Path) -> None:
    """A constant whose bytes do not make its shape, or that is listed singly, is absent, with the reason."""
    singly = b"".join(varint(5 << 3 | 5) + bytes(4) for _ in range(16))
    for value, reason in (
        (tensor([20], chunk(4, bytes(79))), "79 bytes of it instead of 80"),
        (tensor([16], singly), "singly"),
        (tensor([16], singly, packed(5, [1.0] * 16)), "singly"),
        (tensor([1 << 40], packed(5, [1.0])), "more bytes than are plausible"),
        (tensor([1 << 25], packed(5, [1.0, 2.0])), "more bytes than are plausible"),
    ):
        entry = only(tmp_path, value)
        assert entry is not None
        assert isinstance(entry.storage, Absent)
        assert reason in entry.storage.reason


@pytest.mark.parametrize("kind", [6, 11, 12, 13, 15, 16, 26, 29, 30, 33])
def test_numbers_of_narrow_types_are_not_passed_over(tmp_path: Path, kind: int) -> None:
    """A constant of a quantized type is measured, or told as one that is not, and the audit incomplete."""
    name, size = DATA_TYPES[kind]
    value = tensor([16], chunk(4, bytes(range(1, 16 * size + 1))), kind=kind)
    entry = only(tmp_path, value, kind)
    assert entry is not None
    assert (entry.dtype, isinstance(entry.storage, Extent)) == (name, True)
    graph = chunk(1, constant("c", value, kind))
    (tmp_path / "saved_model.pb").write_bytes(number(1, 1) + chunk(2, chunk(2, graph)))
    report = audit(tmp_path)
    assert report.exit_code == (0 if name == "int8" else 3)


def test_a_constant_whose_value_its_callers_give(tmp_path: Path) -> None:
    """A constant of a function that is called with its value, or its type, is told as left out."""
    one, given = chunk(8, tensor([16], packed(5, [1.0]))), chunk(9, b"v")
    dtype = attribute(b"dtype", number(6, 1))
    for attributes in (
        dtype + attribute(b"value", given),
        dtype + attribute(b"value", one + given),
        attribute(b"dtype", given) + attribute(b"value", one),
    ):
        node = chunk(1, b"k") + chunk(2, b"Const") + attributes
        entry = listed(tmp_path, chunk(1, node))["k"]
        assert isinstance(entry.storage, Absent)
        assert "What calls its function" in entry.storage.reason


def test_a_constant_for_the_host_is_one(tmp_path: Path) -> None:
    """TensorFlow's other operation for constants counts like the first."""
    node = constant("c", tensor([16], packed(5, [1.0] * 16)), operation=b"HostConst")
    assert listed(tmp_path, chunk(1, node)).keys() == {"c"}


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (chunk(1, constant("c", tensor([16], packed(5, [1.0])))) * 2, "a second constant"),
        (chunk(1, constant("c", tensor([16], packed(5, [1.0]) * 2))), "has field 5 twice"),
        (chunk(1, constant("c", tensor([16], chunk(5, bytes(5))))), "in the middle of a number"),
        (chunk(1, constant("c", tensor([16]))[:-1] + b"\xff"), "damaged"),
        (chunk(1, b"\x0b" + b"Const"), "no field begins there"),
        (chunk(1, chunk(2, b"Const") + b"\x12\x7f"), "beyond its message"),
        (chunk(1, constant("c" * 70_000, tensor([16], packed(5, [1.0])))), "a name or a shape"),
    ],
)
def test_damage_is_told(tmp_path: Path, graph: bytes, message: str) -> None:
    """A graph that is malformed, or that could be understood in two ways, is refused."""
    with pytest.raises(ReadError, match=message):
        listed(tmp_path, graph)


def test_limits_hold(tmp_path: Path) -> None:
    """More constants, more nodes or longer names than the limits allow are refused."""
    nodes = [chunk(1, constant(f"c{index}", tensor([16], packed(5, [1.0])))) for index in range(3)]
    assert len(listed(tmp_path, b"".join(nodes), Limits(max_tensors=3))) == 3
    with pytest.raises(ReadError, match="more than 2 constants"):
        listed(tmp_path, b"".join(nodes), Limits(max_tensors=2))
    with pytest.raises(ReadError, match="more than 8 nodes"):
        listed(tmp_path, chunk(1, b"") * 9, Limits(max_tensors=2))
    with pytest.raises(ReadError, match="more than 5 characters"):
        listed(tmp_path, b"".join(nodes), Limits(max_metadata=5))


class Counting:
    """A file in memory that counts the bytes that are read of it."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.label, self.size, self.bytes_read = "saved_model.pb", len(data), 0

    def read(self, offset: int, nbytes: int) -> bytes:
        """Return a stretch."""
        self.bytes_read += nbytes
        return self._data[offset : offset + nbytes]

    def read_into(self, offset: int, buffer: memoryview) -> None:
        """Fill a buffer."""
        buffer[:] = self.read(offset, len(buffer))


@pytest.mark.parametrize("size", [0, 3_000, 50_000, 70_000, 300_000])
def test_a_file_is_read_about_once(size: int) -> None:
    """Whatever the size of nodes, no more bytes are read than a few times those of the file."""
    node = constant("c" * 30, tensor([size // 4], chunk(4, bytes(size // 4 * 4))))
    nodes = [chunk(1, node.replace(b"c" * 30, f"{index:030}".encode())) for index in range(40)]
    graph = b"".join(nodes)
    source = Counting(graph)
    found = read_constants(source, 0, [(2, 0, len(graph))], DEFAULT_LIMITS)
    assert len(found) == (40 if size else 0)
    assert source.bytes_read <= 3 * len(graph) + (64 << 10)


def test_a_model_of_constants_alone_is_audited(tmp_path: Path) -> None:
    """A model without variables is judged by its constants, and a NaN in one of them is an error."""
    rng = np.random.default_rng(1)
    values = {"kernel": rng.normal(size=(8, 8)).astype("float32")}
    save_constants(tmp_path / "good", values)
    good = audit(tmp_path / "good")
    assert good.exit_code == 0
    values["kernel"][3, 3] = np.nan
    save_constants(tmp_path / "bad", values)
    bad = audit(tmp_path / "bad")
    assert bad.exit_code == 1
    (finding,) = bad.findings
    assert finding.code == "WA101"
    assert finding.tensor is not None
    assert finding.tensor.startswith("saved_model.pb/__inference_total_")
    assert finding.tensor.endswith("/kernel")


def test_a_constant_is_not_written(tmp_path: Path) -> None:
    """A repair of a constant is refused with its name, and so is writing one; the file stays as it is."""
    kernel = np.random.default_rng(1).normal(size=(8, 8)).astype("float32")
    save_constants(tmp_path / "m", {"kernel": kernel})
    before = (tmp_path / "m" / "saved_model.pb").read_bytes()
    chosen = Selector(tensors=("saved_model.pb/*",))
    with pytest.raises(RepairError, match="kernel is a constant of the graph and cannot be repaired"):
        repair_model(tmp_path / "m", requests=[Request((Clip(-1, 1),), chosen)], in_place=True)
    with open_checkpoint(tmp_path / "m") as checkpoint:
        (name,) = [info.name for info in checkpoint if info.role is Role.CONSTANT]
        (tmp_path / "copy").mkdir()
        with pytest.raises(WriteError, match="is a constant of the graph"):
            write_model(checkpoint, {name: lambda: iter(())}, tmp_path / "copy")
    assert (tmp_path / "m" / "saved_model.pb").read_bytes() == before
