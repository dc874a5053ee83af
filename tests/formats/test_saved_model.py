"""SavedModels: their checkpoint, what saved_model.pb declares, and what is missing."""

from __future__ import annotations

import os
import shutil
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from tests.formats.tensorflow_files import (
    Pair,
    chunk,
    entry,
    header,
    number,
    read_pairs,
    shape,
    simple_table,
    varint,
)
from tests.formats.tensorflow_oracle import assert_equals_tensorflow, tensorflow
from weightaudit.catalog import Catalog, Defect, Extent, Flaw
from weightaudit.errors import ReadError, UnsupportedFormatError
from weightaudit.formats.graph_constants import CONSTANT
from weightaudit.formats.saved_model import catalog_saved_model
from weightaudit.limits import DEFAULT_LIMITS, Limits
from weightaudit.source import Files


def catalog(folder: Path, limits: Limits = DEFAULT_LIMITS) -> Catalog:
    """Catalog a SavedModel."""
    with Files(folder) as files:
        return catalog_saved_model(files, limits)


def compared(folder: Path) -> Catalog:
    """Catalog a SavedModel and compare its variables with TensorFlow."""
    with Files(folder) as files:
        found = catalog_saved_model(files, DEFAULT_LIMITS)
        stored = tuple(entry for entry in found.entries if entry.attributes != CONSTANT)
        if stored:
            variables = replace(found, entries=stored)
            assert_equals_tensorflow(variables, files, folder / "variables" / "variables")
    return found


def damage(found: Catalog) -> list[Defect]:
    """Return the defects of a catalog but for remarks on its reach."""
    return [defect for defect in found.defects if defect.flaw is not Flaw.REACH]


@pytest.fixture(scope="module")
def object_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel of TensorFlow 2 with three variables and a table."""
    tf = tensorflow()
    root = tf.Module()
    root.kernel = tf.Variable(tf.random.normal([3, 2]), name="dense/kernel")
    root.frozen = tf.Variable(2.0, name="frozen", trainable=False)
    root.inner = tf.Module()
    root.inner.items = [tf.Variable([1, 2, 3], name="listed")]
    root.table = tf.lookup.experimental.MutableHashTable(tf.string, tf.int64, -1)
    folder = tmp_path_factory.mktemp("object_model")
    tf.saved_model.save(root, str(folder))
    return folder


@pytest.fixture(scope="module")
def graph_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel of TensorFlow 1 whose graph also reads a checkpoint that is not its own."""
    tf = tensorflow()
    v1 = tf.compat.v1
    folder = tmp_path_factory.mktemp("graph_model") / "model"
    with tf.Graph().as_default(), v1.Session() as session:
        v1.get_variable("scope/w", [2, 3])
        v1.get_variable("scope/parts", [4, 2], partitioner=v1.fixed_size_partitioner(2), use_resource=False)
        v1.get_variable("scope/frozen", [2], trainable=False)
        v1.add_to_collection("trainable_variables_of_old", "x" * 5000)
        foreign = tf.raw_ops.RestoreV2(
            prefix="elsewhere", tensor_names=["foreign"], shape_and_slices=[""], dtypes=[tf.float32]
        )
        session.run(v1.global_variables_initializer())
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, ["serve", "gpu"], main_op=tf.group(foreign))
        builder.save()
    return folder


def test_an_object_model_equals_tensorflow(object_model: Path) -> None:
    """A TensorFlow 2 model has TensorFlow's tensors, and its variables are described."""
    found = compared(object_model)
    assert (found.container, found.defects, found.notes) == ("SavedModel", (), ())
    document = found.documents["saved_model"]
    assert document["tensorflow_version"] == tensorflow().__version__
    assert document["tags"] == ["serve"]
    described = {item["name"]: item for item in document["variables"]}
    assert described["dense/kernel"] == {
        "name": "dense/kernel",
        "dtype": "float32",
        "shape": [3, 2],
        "trainable": True,
    }
    assert described["frozen"]["trainable"] is False
    assert described["listed"]["shape"] == [3]
    assert found.graph is not None
    assert "keras_metadata" not in found.documents


def test_a_graph_model_equals_tensorflow(graph_model: Path) -> None:
    """A TensorFlow 1 model has TensorFlow's tensors and lists; foreign tensors are not missed."""
    found = compared(graph_model)
    assert {item.key for item in found.entries} == {"scope/w", "scope/parts", "scope/frozen"}
    assert found.documents["saved_model"]["trained"] == {
        "scope/w": True,
        "scope/parts": True,
        "scope/frozen": False,
    }
    (reach,) = found.defects
    assert (reach.flaw, reach.message[-25:]) == (Flaw.REACH, "read files (1 RestoreV2).")
    document = found.documents["saved_model"]
    assert sorted(document["tags"]) == ["gpu", "serve"]
    names = {item["name"]: item["shape"] for item in document["variables"]}
    assert names == {
        "scope/w": [2, 3],
        "scope/parts/part_0": [2, 2],
        "scope/parts/part_1": [2, 2],
        "scope/frozen": [2],
    }


def without(folder: Path, target: Path, key: str) -> Path:
    """Copy a model without one entry of its index."""
    shutil.copytree(folder, target)
    index = target / "variables" / "variables.index"
    kept = [pair for pair in read_pairs(index) if pair[0] != key.encode()]
    index.write_bytes(simple_table(kept))
    return target


def test_a_variable_that_is_gone_is_a_defect(object_model: Path, graph_model: Path, tmp_path: Path) -> None:
    """A variable that loading needs and the index lacks is named, for both generations of models."""
    key = "kernel/.ATTRIBUTES/VARIABLE_VALUE"
    (defect,) = catalog(without(object_model, tmp_path / "two", key)).defects
    assert (defect.flaw, defect.tensor) == (Flaw.MISSING_TENSOR, key)
    (defect,) = damage(catalog(without(graph_model, tmp_path / "one", "scope/w")))
    assert (defect.flaw, defect.tensor) == (Flaw.MISSING_TENSOR, "scope/w")


def test_a_checkpoint_that_is_gone_is_a_defect(object_model: Path, graph_model: Path, tmp_path: Path) -> None:
    """A model whose variables directory was lost in a copy is damaged, not empty."""
    for model in (object_model, graph_model):
        target = tmp_path / model.name
        target.mkdir()
        shutil.copy(model / "saved_model.pb", target)
        found = catalog(target)
        assert found.entries == ()
        assert [defect.flaw for defect in damage(found)] == [Flaw.MISSING_DATA]
        assert "variables/variables.index is missing" in found.defects[0].message


def test_a_variable_that_only_the_model_declares(object_model: Path, tmp_path: Path) -> None:
    """A variable that was taken out of the checkpoint's object graph too is found by saved_model.pb."""
    target = tmp_path / "model"
    shutil.copytree(object_model, target)
    other = tensorflow().Module()
    other.kernel = tensorflow().Variable([1.0], name="dense/kernel")
    checkpoint = tensorflow().train.Checkpoint(other)
    checkpoint.write(str(target / "variables" / "variables"))
    defects = catalog(target).defects
    assert {defect.flaw for defect in defects} == {Flaw.MISSING_TENSOR}
    assert "listed" in {defect.tensor for defect in defects}


def test_a_model_without_variables(tmp_path: Path) -> None:
    """A model without variables and without constants of any size gives a note, and no defect."""
    tf = tensorflow()
    root = tf.Module()
    root.double = tf.function(lambda x: x * 2.0, input_signature=[tf.TensorSpec([None])])
    tf.saved_model.save(root, str(tmp_path / "m"))
    shutil.rmtree(tmp_path / "m" / "variables")
    found = catalog(tmp_path / "m")
    assert (found.entries, found.defects) == ((), ())
    assert "no variables" in found.notes[0]


def test_keras_metadata(tmp_path: Path) -> None:
    """Class and configuration of each Keras 2 layer are found under the number of its object."""
    keras = pytest.importorskip("tf_keras")
    dense = keras.layers.Dense(2, kernel_constraint=keras.constraints.MaxNorm(3), name="fc", input_shape=(4,))
    keras.Sequential([dense]).save(tmp_path / "m", save_format="tf")
    found = compared(tmp_path / "m")
    layers = {
        item["metadata"].get("name"): (number, item)
        for number, item in found.documents["keras_metadata"].items()
    }
    number_of_fc, item = layers["fc"]
    assert (item["identifier"], item["metadata"]["class_name"]) == ("_tf_keras_layer", "Dense")
    assert item["metadata"]["config"]["kernel_constraint"]["config"]["max_value"] == 3
    assert found.graph is not None
    assert {"kernel", "bias"} <= found.graph.children[int(number_of_fc)].keys()


def test_old_keras_metadata_is_found_in_the_model_itself(zoo: Path) -> None:
    """TensorFlow 2.4, which had no keras_metadata.pb, gives the same document."""
    found = compared(zoo / "tf24" / "seq_basic_sm")
    metadata = found.documents["keras_metadata"]
    assert metadata["0"]["path"] == "root"
    assert {"Dense", "Sequential"} <= {
        item["metadata"]["class_name"] for item in metadata.values() if "class_name" in item["metadata"]
    }


def assert_all_clean(folder: Path) -> int:
    """Compare every SavedModel below a folder with TensorFlow, and return how many there were."""
    count = 0
    for directory, _, names in os.walk(folder):
        if "saved_model.pb" in names:
            assert damage(compared(Path(directory))) == [], directory
            count += 1
    return count


def test_real_models_equal_tensorflow(corpus: Path) -> None:
    """Every SavedModel of the corpus has TensorFlow's tensors and no false alarm."""
    assert assert_all_clean(corpus) >= 14


def test_zoo_models_equal_tensorflow(zoo: Path) -> None:
    """SavedModels of every framework version of the zoo have TensorFlow's tensors and no false alarm."""
    assert assert_all_clean(zoo) >= 20


def test_stale_shards_are_a_note(corpus: Path) -> None:
    """Shards of an older save beside the model's own are told, and are no defect."""
    found = catalog(corpus / "deepdamper-stale-shards")
    assert "variables.data-00000-of-00002" in found.notes[0]
    assert found.defects == ()


@pytest.mark.parametrize("name", ["saved_model.pbtxt", "saved_model.cpb"])
def test_other_forms_are_refused_by_name(tmp_path: Path, name: str) -> None:
    """A model that is stored as text or in pieces is refused with a sentence that says so."""
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UnsupportedFormatError, match=name):
        catalog(tmp_path)


def meta_graph(*nodes: bytes) -> bytes:
    """Encode a SavedModel of one graph with these objects."""
    return number(1, 1) + chunk(
        2, chunk(1, chunk(4, b"serve")) + chunk(7, b"".join(chunk(1, node) for node in nodes))
    )


def child(place: int, name: str) -> bytes:
    """Encode a child of an object."""
    return chunk(1, number(1, place) + chunk(2, name.encode()))


def variable(name: str, sizes: bytes) -> bytes:
    """Encode a variable as an object."""
    return chunk(7, number(1, 1) + chunk(2, sizes) + chunk(6, name.encode()))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 20,
        b"garbage that is no message",
        chunk(1, b"\0")[:-1],
        meta_graph(child(1 << 30, "x")),
        meta_graph(child(-1, "x")),
        chunk(2, chunk(7, b"") + chunk(7, b"")),
        chunk(2, chunk(7, b"\x0a\x7f")),
    ],
)
def test_damaged_models_are_refused(tmp_path: Path, content: bytes) -> None:
    """A saved_model.pb that is cut off, empty, no message, or refers to nothing gives a ReadError."""
    (tmp_path / "saved_model.pb").write_bytes(content)
    with pytest.raises(ReadError, match=r"saved_model\.pb"):
        catalog(tmp_path)


def test_every_cut_of_a_model_is_refused(object_model: Path, tmp_path: Path) -> None:
    """saved_model.pb cut off at any byte gives an error and never a smaller model."""
    whole = (object_model / "saved_model.pb").read_bytes()
    for size in range(0, len(whole), max(1, len(whole) // 200)):
        (tmp_path / "saved_model.pb").write_bytes(whole[:size])
        with pytest.raises(ReadError):
            catalog(tmp_path)


def test_odd_declarations_are_survived(tmp_path: Path) -> None:
    """Shapes that are not known, and types that do not exist, are described as not known."""
    nodes = (
        child(1, "a") + child(2, "b"),
        variable("a", shape(-7)),
        chunk(7, number(1, 999) + chunk(2, number(3, 1))),
    )
    (tmp_path / "saved_model.pb").write_bytes(meta_graph(*nodes))
    found = catalog(tmp_path)
    assert [(item["dtype"], item["shape"]) for item in found.documents["saved_model"]["variables"]] == [
        ("float32", None),
        ("", None),
    ]
    assert "2 variables" in found.defects[0].message


def test_a_large_constant_is_not_read(tmp_path: Path) -> None:
    """The bytes of a frozen constant, of more than the limit of metadata, are listed and not loaded."""
    blob = 32 << 20

    def around(field: int, head: bytes) -> bytes:
        return varint(field << 3 | 2) + varint(len(head) + blob) + head

    dimension = chunk(2, chunk(2, number(1, blob // 4)))
    value = around(8, number(1, 1) + dimension + around(4, b""))
    dtype = chunk(5, chunk(1, b"dtype") + chunk(2, number(6, 1)))
    node = chunk(1, b"c") + chunk(2, b"Const") + dtype + around(5, chunk(1, b"value") + around(2, value))
    path = tmp_path / "saved_model.pb"
    path.write_bytes(around(2, around(2, around(1, node))))
    os.truncate(path, path.stat().st_size + blob)
    tracemalloc.start()
    (entry,) = catalog(tmp_path, Limits(max_metadata=1 << 20)).entries
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    assert entry.storage == Extent(0, path.stat().st_size - blob, blob)


@pytest.mark.parametrize("text", [b"{", b'{"a": 1, "a": 2}', b"[" * 200_000, b"\xff", b"[]"])
def test_damaged_keras_metadata_is_refused(tmp_path: Path, text: bytes) -> None:
    """Metadata that is no JSON, has a key twice or nests too deep gives a ReadError."""
    (tmp_path / "saved_model.pb").write_bytes(meta_graph(b""))
    node = chunk(1, number(2, 0) + chunk(3, b"root") + chunk(4, b"_tf_keras_layer") + chunk(5, text))
    (tmp_path / "keras_metadata.pb").write_bytes(node)
    with pytest.raises(ReadError, match=r"keras_metadata\.pb"):
        catalog(tmp_path)


def test_a_model_with_a_v1_checkpoint(tmp_path: Path) -> None:
    """SavedModels of 2016 keep a version 1 checkpoint below variables/."""
    (tmp_path / "variables").mkdir()
    tensorflow().raw_ops.SaveSlices(
        filename=str(tmp_path / "variables" / "variables-00000-of-00001"),
        tensor_names=["w"],
        shapes_and_slices=[""],
        data=[tensorflow().ones([2])],
    )
    (tmp_path / "saved_model.pb").write_bytes(meta_graph(b""))
    found = catalog(tmp_path)
    assert (found.container, [item.key for item in found.entries]) == ("SavedModel", ["w"])


def test_links_out_of_the_model_are_not_followed(tmp_path: Path) -> None:
    """A variables directory that is a link to somewhere else is refused."""
    outside = tmp_path / "outside"
    outside.mkdir()
    pairs: list[Pair] = [header(), entry("a")]
    (outside / "variables.index").write_bytes(simple_table(pairs))
    model = tmp_path / "model"
    model.mkdir()
    (model / "saved_model.pb").write_bytes(meta_graph(b""))
    (model / "variables").symlink_to(outside)
    with pytest.raises(ReadError, match="outside the model"):
        catalog(model)
