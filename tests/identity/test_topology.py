"""Which layer feeds which: the same as in the live model, and nothing that a hostile file says can hurt."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.identity.catalogs import functional, layer
from weightaudit.checkpoint import open_checkpoint
from weightaudit.discover import search
from weightaudit.errors import ReadError, UnsupportedFormatError
from weightaudit.identity.topology import Topology, read_topology

WORDS = st.sampled_from([
    *("", "a", "b", "class_name", "config", "layers", "layer", "name", "Dense", "Functional", "Sequential"),
    *("inbound_nodes", "input_layers", "output_layers", "keras_history", "args", "__tuple__", "items"),
    *("activation", "relu", "TimeDistributed", "Bidirectional", "module", "keras.src.ops.numpy"),
])  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 5) | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=6),
    max_leaves=40,
)


def fed_by(item: dict[str, Any], *calls: Any) -> dict[str, Any]:
    """Return a layer of a functional model with its calls, as Keras 2 writes them."""
    return {**item, "name": item["config"]["name"], "inbound_nodes": list(calls)}


def old(*names: str) -> list[Any]:
    """Return a call as Keras 2 writes it: a list of tensors."""
    return [[name, 0, 0, {}] for name in names]


def new(*names: str) -> dict[str, Any]:
    """Return a call as Keras 3 writes it: arguments with tensors in them."""
    tensors = [
        {"class_name": "__keras_tensor__", "config": {"shape": [None, 4], "keras_history": [name, 0, 0]}}
        for name in names
    ]
    return {"args": [tensors if len(tensors) > 1 else tensors[0]], "kwargs": {}}


def edges(topology: Topology) -> set[tuple[str, str]]:
    """Return all edges, after checking that both ends know of each."""
    found = {(path, after) for path, node in topology.nodes.items() for after in node.successors}
    assert found == {(before, path) for path, node in topology.nodes.items() for before in node.predecessors}
    return found


def sequential(*layers: dict[str, Any], name: str = "sequential") -> dict[str, Any]:
    """Return the serialized form of a sequential model."""
    return {"class_name": "Sequential", "config": {"name": name, "layers": list(layers)}}


def test_a_sequential_model_is_a_chain() -> None:
    """Each layer feeds the next one, with what is known of its activation and of what it does to scale."""
    config = sequential(
        layer("InputLayer", "in"),
        layer("Dense", "first", activation="relu"),
        layer("Dropout", "drop"),
        layer("Dense", "second", activation={"class_name": "function", "config": "tanh"}),
    )
    topology = read_topology(config)
    assert edges(topology) == {("in", "first"), ("first", "drop"), ("drop", "second")}
    nodes = topology.nodes
    assert [node.activation for node in nodes.values()] == ["linear", "relu", "linear", "tanh"]
    assert [path for path, node in nodes.items() if node.keeps_scale] == ["drop"]


def test_keras_1_wrote_the_layers_as_the_whole_configuration() -> None:
    """A list of layers is a sequential model too, and old class names are known."""
    layers = [layer("Convolution2D", "conv"), layer("Activation", "act", activation="relu")]
    topology = read_topology({"class_name": "Sequential", "config": layers})
    assert edges(topology) == {("conv", "act")}
    assert topology.nodes["conv"].layer_class == "Conv2D"


def test_calls_of_all_generations_are_understood() -> None:
    """Keras 3 writes tensors as objects, Keras 2 as lists, TensorFlow operations as a bare list."""
    for call in (new, old):
        config = functional(
            fed_by(layer("InputLayer", "in")),
            fed_by(layer("Dense", "left"), call("in")),
            fed_by(layer("Dense", "right"), call("in")),
            fed_by(layer("Add", "sum"), call("left", "right")),
        )
        expected = {("in", "left"), ("in", "right"), ("left", "sum"), ("right", "sum")}
        assert edges(read_topology(config)) == expected
    operation = {"class_name": "TFOpLambda", "config": {"name": "plus", "function": "math.add"}}
    config = functional(
        fed_by(layer("InputLayer", "a")),
        fed_by(layer("InputLayer", "b")),
        {**operation, "inbound_nodes": [["a", 0, 0, {"y": ["b", 0, 0], "name": None}]]},
    )
    assert edges(read_topology(config)) == {("a", "plus"), ("b", "plus")}


def test_data_passes_through_models_within_models() -> None:
    """Edges lead to the inner input layer that takes a tensor, and from the inner layer that gives it."""
    inner = functional(
        fed_by(layer("InputLayer", "x")),
        fed_by(layer("InputLayer", "y")),
        fed_by(layer("Dense", "dx"), old("x")),
        fed_by(layer("Dense", "dy"), old("y")),
        name="inner",
    )
    inner["config"] |= {
        "input_layers": [["x", 0, 0], ["y", 0, 0]],
        "output_layers": [["dx", 0, 0], ["dy", 0, 0]],
    }
    config = functional(
        fed_by(layer("InputLayer", "a")),
        fed_by(layer("InputLayer", "b")),
        fed_by(inner, old("a", "b")),
        fed_by(layer("Dense", "from_dx"), [["inner", 0, 0, {}]]),
        fed_by(layer("Dense", "from_dy"), [["inner", 0, 1, {}]]),
    )
    found = edges(read_topology(config))
    assert {("a", "inner/x"), ("b", "inner/y")} <= found
    assert {("inner/dx", "from_dx"), ("inner/dy", "from_dy")} <= found
    assert len(found) == 6


def test_a_shared_layer_has_all_that_feed_it() -> None:
    """It is one node with the edges of all its calls, and says how many there are."""
    config = functional(
        fed_by(layer("InputLayer", "a")),
        fed_by(layer("InputLayer", "b")),
        fed_by(layer("Dense", "shared"), old("a"), old("b")),
    )
    node = read_topology(config).nodes["shared"]
    assert (node.predecessors, node.calls) == (("a", "b"), 2)


def test_wrappers_do_what_the_layer_inside_does() -> None:
    """TimeDistributed takes class and activation from inside; what a Bidirectional does stays its own."""
    wrapped = layer("Dense", "inside", activation="relu")
    topology = read_topology(
        sequential(
            layer("TimeDistributed", "steps", layer=wrapped),
            layer("Bidirectional", "both", layer=layer("LSTM", "lstm")),
        )
    )
    steps, both = topology.nodes.values()
    assert (steps.layer_class, steps.activation) == ("Dense", "relu")
    assert both.layer_class == "Bidirectional"
    assert topology.at("steps/inside") is steps
    assert topology.at("both/forward_lstm/lstm_cell") is both


def test_what_changes_the_scale_is_not_said_to_keep_it() -> None:
    """Saturating, bounded and unknown layers keep nothing; a foreign class of a known name is unknown."""
    foreign = {"module": "mine.layers", "class_name": "Add", "config": {"name": "foreign"}}
    topology = read_topology(
        sequential(
            layer("Activation", "tanh", activation="tanh"),
            layer("ReLU", "relu6", max_value=6.0),
            layer("Multiply", "gate"),
            layer("Lambda", "lambda"),
            foreign,
            layer("ReLU", "relu"),
            layer("MaxPooling2D", "pool"),
        )
    )
    assert [path for path, node in topology.nodes.items() if node.keeps_scale] == ["relu", "pool"]
    assert topology.nodes["relu6"].activation == "relu6"


def test_a_layer_is_found_by_the_path_that_a_container_gives() -> None:
    """Names of models are left out or put in front; where two layers may be meant, none is returned."""
    inner = sequential(layer("Dense", "deep"), layer("Dense", "twice"), name="inner")
    topology = read_topology(sequential(layer("Dense", "outer"), layer("Dense", "twice"), inner, name="top"))
    for path, name in {
        "outer": "outer",
        "top/outer": "outer",
        "inner/deep": "inner/deep",
        "deep": "inner/deep",
        "top/inner/deep": "inner/deep",
        "inner/twice": "inner/twice",
    }.items():
        node = topology.at(path)
        assert node is not None
        assert node.path == name
    assert topology.at("twice") is None
    assert topology.at("elsewhere/deep") is None
    assert topology.at("") is None


def test_without_a_configuration_nothing_is_known() -> None:
    """No document, a subclassed model or one of another library gives no nodes and no error."""
    documents: tuple[Any, ...] = (None, {}, [], "text", {"class_name": "MyModel", "config": {"units": 3}})
    for document in documents:
        topology = read_topology(document)
        assert not topology.nodes
        assert topology.at("dense") is None


@settings(deadline=None, max_examples=300)
@given(document=JSON, name=WORDS)
def test_any_document_is_read(document: Any, name: str) -> None:
    """Whatever a file says, both ends agree about every edge, and nothing is raised."""
    wrapped = {"class_name": "Functional", "config": {"layers": document}}
    for each in (document, wrapped, {"class_name": "Sequential", "config": document}):
        topology = read_topology(each)
        edges(topology)
        topology.at(name)
        topology.at(f"{name}/{name}")


def test_cycles_and_loops_are_edges_like_others() -> None:
    """A layer that feeds itself, or a ring of two, is told as it is written."""
    config = functional(
        fed_by(layer("Dense", "a"), old("b"), old("a")),
        fed_by(layer("Dense", "b"), old("a")),
    )
    assert edges(read_topology(config)) == {("b", "a"), ("a", "a"), ("a", "b")}


def test_deep_nesting_ends() -> None:
    """A model in a model in a model, and a tensor in ever more lists, are followed to a bound only."""
    model: dict[str, Any] = sequential(layer("Dense", "dense"))
    call: Any = ["dense", 0, 0]
    for _ in range(150):
        model = sequential(model)
    for _ in range(50_000):
        call = [call]
    assert read_topology(model).at("dense") is None
    config = functional(fed_by(layer("Dense", "dense")), fed_by(layer("Dense", "last"), call))
    assert edges(read_topology(config)) == {("dense", "last")}


class Counting(dict[str, Any]):
    """An object of a document that counts how often it is looked into."""

    looks = 0

    def get(self, key: str, default: Any = None) -> Any:
        type(self).looks += 1
        return super().get(key, default)


def test_a_hundred_thousand_layers_are_read_once_each() -> None:
    """The work grows in proportion to the layers, and so do the edges."""
    per_layer: list[float] = []
    for count in (1_000, 100_000):
        Counting.looks = 0
        layers = [
            Counting(class_name="Dense", config={"name": f"d{i}"}, inbound_nodes=[old(f"d{i - 1}")])
            for i in range(count)
        ]
        topology = read_topology(functional(*layers))
        assert len(edges(topology)) == count - 1
        per_layer.append(Counting.looks / count)
    assert per_layer[1] < 1.1 * per_layer[0]


def test_namesakes_in_very_many_models_are_not_searched() -> None:
    """A name that each of a thousand models has is not looked up among all of them."""
    topology = read_topology(
        sequential(*(sequential(layer("Dense", "same"), name=f"m{i}") for i in range(1000)))
    )
    assert topology.at("same") is None
    node = topology.at("m7/same")
    assert node is not None
    assert node.path == "m7/same"


def live_edges(model: Any) -> Iterator[tuple[str, str]]:
    """Yield the edges between the layers of a live functional model without inner models."""
    for one in model.layers:
        for call in one._inbound_nodes:
            for tensor in call.input_tensors:
                yield tensor._keras_history[0].name, one.name


def test_edges_are_those_of_the_live_model(tmp_path: Path) -> None:
    """A model of Keras itself, with branches, a shared layer and keyword arguments, saved and read back."""
    import keras

    layers = keras.layers
    image = keras.Input((8, 8, 3))
    left = layers.Conv2D(4, 3, padding="same")(image)
    right = layers.Conv2D(4, 1)(image)
    joined = layers.ReLU()(layers.BatchNormalization()(layers.Add()([left, right])))
    flat = layers.Reshape((64, 4))(joined)
    attended = layers.MultiHeadAttention(2, 4)(flat, value=flat, key=flat)
    shared = layers.Dense(4)
    model = keras.Model(image, layers.Concatenate()([shared(flat), shared(attended)]))
    for suffix in (".keras", ".h5"):
        with warnings.catch_warnings():
            # Keras warns of its own way to read its variables, and of HDF5.
            warnings.simplefilter("ignore")
            model.save(tmp_path / f"model{suffix}")
        with open_checkpoint(tmp_path / f"model{suffix}") as checkpoint:
            topology = checkpoint.topology
            assert edges(topology) == set(live_edges(model))
            assert {info.layer for info in checkpoint if topology.at(info.layer) is None} == set()


def test_layers_of_the_zoo_have_a_place(zoo: Path) -> None:
    """In functional and sequential models of eight versions, nearly every layer with weights has its node."""
    found = lost = 0
    for target in search([str(zoo)]).targets:
        try:
            checkpoint = open_checkpoint(target.path)
        except (ReadError, UnsupportedFormatError):
            continue
        with checkpoint:
            topology = checkpoint.topology
            edges(topology)
            paths = {info.layer for info in checkpoint if info.layer and not info.is_bookkeeping}
            if topology.nodes:
                found += sum(topology.at(path) is not None for path in paths)
                lost += sum(topology.at(path) is None for path in paths)
    assert found > 20 * lost
    assert found > 500


def test_the_last_of_a_chain_feeds_nothing() -> None:
    """The order of nodes is that of the configuration, and only neighbours are connected."""
    topology = read_topology(sequential(*(layer("Dense", f"d{i}") for i in range(5))))
    assert edges(topology) == set(pairwise(topology.nodes))
    assert topology.nodes["d4"].successors == ()


def test_names_that_are_repeated_for_every_layer_take_no_room() -> None:
    """Layers inside a model of an enormous name are left out, since each path would repeat the name."""
    inner = sequential(*(layer("Dense", f"d{number}") for number in range(100)), name="n" * 100_000)
    topology = read_topology(sequential(inner, layer("Dense", "last")))
    assert [*topology.nodes] == ["last"]
    assert sum(map(len, topology.names)) < 1_000
