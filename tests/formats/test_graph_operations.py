"""Operations of a SavedModel that reach beyond it: which are told, which are not, and hostile nodes."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

from tests.formats.tensorflow_files import chunk, varint
from tests.formats.tensorflow_oracle import tensorflow
from weightaudit.catalog import Flaw
from weightaudit.checkpoint import open_checkpoint
from weightaudit.errors import ReadError
from weightaudit.formats.graph_constants import read_constants
from weightaudit.formats.graph_operations import KINDS, Operations, may_reach
from weightaudit.limits import DEFAULT_LIMITS
from weightaudit.source import LocalFile

if TYPE_CHECKING:
    from pathlib import Path


def told(model: Path) -> list[str]:
    """Return what is said of a SavedModel's reach."""
    with open_checkpoint(model) as checkpoint:
        return [defect.message for defect in checkpoint.defects if defect.flaw is Flaw.REACH]


def saved(folder: Path, *functions: Any) -> Path:
    """Save a module with a variable and functions that take a string."""
    tf = tensorflow()
    module = tf.Module()
    module.kernel = tf.Variable(tf.random.normal([4, 4]))
    for number, function in enumerate(functions):
        traced = tf.function(function, input_signature=[tf.TensorSpec([], tf.string)])
        setattr(module, f"call_{number}", traced)
    tf.saved_model.save(module, str(folder))
    return folder


def counted(folder: Path, graph: bytes, saver: frozenset[str] = frozenset()) -> dict[str, int]:
    """Return the operations that are counted in a GraphDef."""
    (folder / "saved_model.pb").write_bytes(graph)
    file = LocalFile(folder / "saved_model.pb")
    span = (2, 0, len(graph))
    operations = Operations([(span, saver)])
    try:
        read_constants(file, 0, [span], DEFAULT_LIMITS, operations)
    finally:
        file.close()
    return dict(operations.counts)


def node(operation: bytes, name: bytes = b"n", more: bytes = b"") -> bytes:
    """Encode a node of a graph."""
    return chunk(1, chunk(1, name) + chunk(2, operation) + more)


def test_names_are_operations_of_tensorflow() -> None:
    """Every name in the lists is an operation of TensorFlow, in one list, and found by the search."""
    names = [name for kind in KINDS.values() for name in kind]
    assert len(set(names)) == len(names)
    assert [name for name in names if not may_reach(name.encode())] == []
    tensorflow()
    registry: Any = import_module("tensorflow.python.framework.op_def_registry")
    assert [name for name in names if registry.get(name) is None] == []


def test_operations_of_functions_are_told(tmp_path: Path) -> None:
    """Files, Python and what is printed into a file are told with their counts, wherever functions lie."""
    tf = tensorflow()

    def reads(path: Any) -> Any:
        tf.print("seen", output_stream="file://" + str(tmp_path / "log"))
        tf.io.write_file(path, "x")
        return tf.io.read_file(path) + tf.cond(tf.equal(path, ""), lambda: tf.io.read_file("b"), lambda: path)

    def runs(path: Any) -> Any:
        return tf.numpy_function(lambda text: text, [path], tf.string)

    (message,) = told(saved(tmp_path / "model", reads, runs))
    assert message.startswith(
        "saved_model.pb has operations that, where they are run, read files (2 ReadFile)"
    )
    assert "write files (1 PrintV2, 1 WriteFile), run other code (1 PyFunc)." in message


def test_usual_models_are_silent(tmp_path: Path) -> None:
    """The model's own saver, a table filled from an asset, and what is printed to the terminal are normal."""
    tf = tensorflow()
    (tmp_path / "words.txt").write_text("one\ntwo\n")
    initializer = tf.lookup.TextFileInitializer(
        str(tmp_path / "words.txt"), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE,
        tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER,
    )  # fmt: skip
    table = tf.lookup.StaticHashTable(initializer, -1)

    def looks(text: Any) -> Any:
        tf.print(text)
        return table.lookup(text)

    tf_module = tf.Module()
    tf_module.table, tf_module.kernel = table, tf.Variable(tf.random.normal([4, 4]))
    tf_module.look = tf.function(looks, input_signature=[tf.TensorSpec([], tf.string)])
    tf.saved_model.save(tf_module, str(tmp_path / "model"))
    assert told(tmp_path / "model") == []


def test_another_checkpoint_is_told(tmp_path: Path) -> None:
    """A restore that is not the model's own is told; the saver's two operations are not counted with it."""
    tf = tensorflow()

    def restores(path: Any) -> Any:
        return tf.raw_ops.RestoreV2(
            prefix=path, tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.float32]
        )[0]

    (message,) = told(saved(tmp_path / "model", restores))
    assert message.endswith("read files (1 RestoreV2).")


def second_saver(folder: Path, entered: str = "") -> Path:
    """Save a TensorFlow 1 graph that has a second saver, and say what leads to its restore operation."""
    v1 = tensorflow().compat.v1
    with v1.Graph().as_default() as graph, v1.Session() as session:
        given = v1.placeholder(v1.float32, [None, 4])
        result = given @ v1.get_variable("kernel", [4, 4])
        saver = v1.train.Saver().saver_def
        session.run(v1.global_variables_initializer())
        if entered == "output":
            with v1.control_dependencies([graph.get_operation_by_name(saver.restore_op_name)]):
                result = v1.identity(result)
        signature = v1.saved_model.predict_signature_def({"x": given}, {"y": result})
        restore = graph.get_operation_by_name(saver.restore_op_name)
        builder = v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            {"serving_default": signature},
            saver=v1.train.Saver(),
            main_op=restore if entered == "main op" else None,
        )
        builder.save()
    return folder


def test_what_training_left_behind_is_normal(tmp_path: Path) -> None:
    """A second saver is left out where neither a signature nor loading leads to it."""
    assert told(second_saver(tmp_path / "model")) == []


@pytest.mark.parametrize("entered", ["output", "main op"])
def test_a_second_saver_that_is_run_is_told(tmp_path: Path, entered: str) -> None:
    """A restore operation that an output needs, or that loading runs, is told; what saves stays left out."""
    (message,) = told(second_saver(tmp_path / "model", entered))
    assert message.endswith("read files (1 RestoreV2).")


def test_unusual_encodings_are_seen(tmp_path: Path) -> None:
    """Order, repetition, long numbers and size of a node's fields hide no operation."""
    late = chunk(1, chunk(2, b"ReadFile") + chunk(1, b"n"))
    twice = node(b"NoOp", more=chunk(2, b"WriteFile"))
    not_last = node(b"WriteFile", more=chunk(2, b"NoOp"))
    long_number = chunk(1, b"\x92\x00\x86\x80\x00PyFunc")
    large = node(b"EagerPyFunc", more=chunk(5, chunk(1, b"x" * 70_000)))
    bare = chunk(2, chunk(1, chunk(3, chunk(2, b"MatchingFiles"))))
    found = counted(tmp_path, late + twice + not_last + long_number + large + bare)
    assert found == {"ReadFile": 1, "WriteFile": 1, "PyFunc": 1, "EagerPyFunc": 1, "MatchingFiles": 1}


def test_a_name_alone_is_no_operation(tmp_path: Path) -> None:
    """Nodes and attributes that are called like an operation are none."""
    assert counted(tmp_path, node(b"NoOp", b"ReadFile", chunk(5, chunk(1, b"PyFunc")))) == {}


def test_the_saver_is_what_the_model_says(tmp_path: Path) -> None:
    """Savers are told by what calls them: a function of a telling name that nothing of it calls is none."""
    call = node(
        b"StatefulPartitionedCall", b"save", chunk(5, chunk(1, b"f") + chunk(2, chunk(10, chunk(1, b"f"))))
    )
    body = chunk(3, chunk(1, b"s") + chunk(2, b"SaveV2"))
    functions = b"".join(
        chunk(1, chunk(1, chunk(1, name)) + body) for name in (b"f", b"__inference__traced_save")
    )
    graph = call + chunk(2, functions)
    assert counted(tmp_path, graph, frozenset({"save"})) == {"SaveV2": 1}
    assert counted(tmp_path, graph) == {"SaveV2": 2}
    assert counted(tmp_path, node(b"SaveV2", b"save"), frozenset({"save"})) == {}


@pytest.mark.parametrize(
    "graph",
    [
        chunk(1, b"\x0bPyFunc"),
        chunk(1, chunk(2, b"PyFunc") + b"\x12\x7f"),
        chunk(1, varint(2 << 3 | 2) + varint(70_000) + b"PyFunc" + bytes(69_994)),
    ],
)
def test_damage_is_told(tmp_path: Path, graph: bytes) -> None:
    """A node that is malformed, or whose operation has an absurd name, is refused."""
    with pytest.raises(ReadError, match="is damaged"):
        counted(tmp_path, graph)
