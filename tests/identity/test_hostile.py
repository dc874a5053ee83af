"""Configurations of strangers: nothing that a file says may raise or lose a tensor."""

from __future__ import annotations

import time
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.effort import grows_in_step
from tests.identity.catalogs import functional, keras3, layer, legacy, tensorflow
from weightaudit.catalog import Catalog, Entry, Fill, Layout, ObjectGraph, Slot, Variable
from weightaudit.identity import identify
from weightaudit.tensor import Evidence

WORDS = st.sampled_from(
    [
        "",
        "/",
        ":0",
        "class_name",
        "config",
        "layers",
        "layer",
        "cell",
        "cells",
        "name",
        "Dense",
        "LSTM",
        "__tuple__",
        "Bidirectional",
        "Sequential",
        "Functional",
        "items",
        "module",
        "dtype",
        "equation",
        "ab,bc->ac",
        "strides",
        "kernel",
        "x_W",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 5) | st.floats() | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=6),
    max_leaves=30,
)
KEYS = st.sampled_from(
    [
        "",
        "/",
        "vars/0",
        "layers/dense/vars/0",
        "layers/dense/vars/1",
        "layers\\lstm\\cell\\vars\\0",
        "optimizer/vars/0",
        "optimizer/vars/12",
        "kernel",
        "dense/kernel:0",
        "a/Adam_1",
        "/.OPTIMIZER_SLOT/",
        "_all_variables/0",
        ":0",
    ]
)
DOCUMENTS = st.sampled_from(["config", "metadata", "names", "training_config", "keras_metadata"])
NODES = st.integers(0, 5)
GRAPHS = st.builds(
    ObjectGraph,
    st.just(6),
    st.dictionaries(NODES, st.dictionaries(WORDS, NODES, max_size=3), max_size=4),
    st.lists(st.builds(Variable, NODES, KEYS, KEYS | WORDS), max_size=6),
    st.lists(st.builds(Slot, NODES, WORDS, NODES), max_size=4),
)


@st.composite
def catalogs(draw: st.DrawFn) -> Catalog:
    """Draw a catalog whose keys, attributes and documents fit nothing."""
    attributes = st.dictionaries(st.sampled_from(["section", "layer", "weight"]), KEYS | st.just("layer"))
    shapes = st.lists(st.integers(0, 5), max_size=5).map(tuple)
    dtypes = st.sampled_from(["float32", "int8", "int64", "string"])
    keys = draw(st.lists(KEYS, unique=True, max_size=8))
    entries = tuple(
        Entry(key, draw(shapes), draw(dtypes), Fill(), attributes=draw(attributes)) for key in keys
    )
    documents = draw(st.dictionaries(DOCUMENTS, JSON, max_size=4))
    layout, graph = draw(st.sampled_from(list(Layout))), draw(st.none() | GRAPHS)
    return Catalog("strange", layout, entries, documents=documents, graph=graph)


@settings(max_examples=400, deadline=None)
@given(catalogs())
def test_nothing_raises_and_no_tensor_is_lost(catalog: Catalog) -> None:
    """Every entry comes out under a name of its own, except second copies, which a note counts."""
    identified = identify(catalog)
    keys = {entry.key for _, entry in identified.tensors}
    lost = {entry.key for entry in catalog.entries} - keys
    assert bool(lost) <= bool(identified.notes)
    names = [info.name for info, _ in identified.tensors]
    assert len(set(names)) == len(names)
    assert all(names)


def test_deep_nesting_does_not_explode() -> None:
    """Bidirectional layers inside each other double at each level: the walk stops early."""
    nested: dict[str, Any] = layer("Dense", "core")
    for depth in range(60):
        nested = layer("Bidirectional", f"b{depth}", layer=nested)
    start = time.monotonic()
    identify(keras3({"layers/bidirectional/vars/0": (2, 2)}, functional(nested)))
    assert time.monotonic() - start < 2


def test_nested_layers_are_looked_up() -> None:
    """The weights of a nested model are found by name, not by a walk through the model for each of them."""

    def find(count: int) -> None:
        inner = functional(*(layer("Dense", f"dense_{n}") for n in range(count)), name="inner")
        weights = {("inner", f"dense_{n}/kernel:0"): (2, 2) for n in range(count)}
        identified = identify(legacy(weights, functional(inner)))
        assert {info.evidence for info, _ in identified.tensors} == {Evidence.CONFIG}

    assert grows_in_step(find, 50)


def test_layers_of_a_checkpoint_are_looked_up() -> None:
    """The variables of a checkpoint with a configuration are found by name, and among too many not at all."""

    def find(count: int, names: int) -> set[Evidence]:
        keys = [f"v{n}/.ATTRIBUTES/VARIABLE_VALUE" for n in range(count)]
        listed = [Variable(n + 1, key, f"dense_{n % names}/kernel") for n, key in enumerate(keys)]
        config = functional(*(layer("Dense", f"dense_{n % names}") for n in range(count)))
        graph = ObjectGraph(count + 1, variables=listed)
        identified = identify(tensorflow(dict.fromkeys(keys, (2, 2)), graph, config=config))
        return {info.evidence for info, _ in identified.tensors}

    assert find(50, 50) == {Evidence.CONFIG}
    assert Evidence.CONFIG not in find(50, 1)
    assert grows_in_step(lambda count: find(count, count), 50)
    assert grows_in_step(lambda count: find(count, 1), 50)


def test_very_many_optimizers_cost_no_pairs() -> None:
    """Groups that look like optimizers, as many as layers, are not each compared with every weight."""

    def find(count: int) -> None:
        stored = {f"layers/dense_{n}/vars/0": (2, 2) for n in range(count)}
        identify(keras3(stored | {f"optimizer/x_{n}/vars/0": (2, 2) for n in range(count)}))

    assert grows_in_step(find, 50)
