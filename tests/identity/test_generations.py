"""Names that old releases, and other libraries, give to what Keras calls a kernel or embeddings today."""

from __future__ import annotations

from typing import Any

import pytest

from tests.identity.catalogs import by_name, legacy, result, tensorflow
from weightaudit.catalog import ObjectGraph, Variable
from weightaudit.tensor import Evidence, Role


def keras1(*layers: tuple[str, str, dict[str, Any]]) -> dict[str, Any]:
    """Return a Sequential as Keras 1 wrote it: a bare list of layers, without a name of its own."""
    listed = [{"class_name": kind, "config": {"name": name, **config}} for kind, name, config in layers]
    return {"class_name": "Sequential", "config": listed}


def test_an_embedding_of_keras_1_is_no_kernel() -> None:
    """Keras 1 called the rows of an embedding ``W``, which is a kernel in other layers."""
    limit = {"name": "UnitNorm", "axis": 1}
    config = keras1(("Embedding", "tokens", {"W_constraint": limit, "init": "uniform"}))
    catalog = legacy({("tokens", "tokens_W"): (30, 8)}, config)
    info = by_name(catalog)["tokens/W"]
    assert (info.role, info.evidence, info.output_axes) == (Role.EMBEDDING, Evidence.CONFIG, (0,))
    assert info.constraint is not None
    assert (info.constraint.name, info.constraint.config) == ("UnitNorm", {"axis": 1})
    assert info.initializer is not None
    assert info.initializer.name == "RandomUniform"


def test_the_class_counts_for_more_than_the_name() -> None:
    """A Dense layer that somebody called an embedding has a kernel."""
    config = keras1(("Dense", "word_embedding", {}))
    info = by_name(legacy({("word_embedding", "word_embedding_W"): (30, 8)}, config))["word_embedding/W"]
    assert (info.role, info.evidence) == (Role.KERNEL, Evidence.CONFIG)


def test_a_separable_convolution_of_keras_1_lacks_nothing() -> None:
    """Its kernels had the layer's name before their own; they are found, and so not missed."""
    names = ["depthwise_kernel", "pointwise_kernel", "b"]
    shapes = [(3, 3, 4, 1), (1, 1, 4, 6), (6,)]
    stored = {("sep", f"sep_{name}"): shape for name, shape in zip(names, shapes, strict=True)}
    config = keras1(("SeparableConvolution2D", "sep", {"dim_ordering": "tf"}))
    found = result(legacy(stored, config))
    assert found.defects == ()
    assert [(info.name, info.fan_in, info.evidence) for info, _ in found.tensors] == [
        ("sep/depthwise_kernel", 9, Evidence.CONFIG),
        ("sep/pointwise_kernel", 4, Evidence.CONFIG),
        ("sep/b", None, Evidence.CONFIG),
    ]


def test_layers_inside_others_of_keras_1_are_found_by_their_names() -> None:
    """Wrappers, directions and models without a name all lead to the layer that the variable names."""
    dense = {"class_name": "Dense", "config": {"name": "dense_3", "init": "he_normal"}}
    gru = {"class_name": "GRU", "config": {"name": "gru_1", "inner_init": "orthogonal"}}
    inner = keras1(("Dense", "dense_1", {"W_constraint": {"name": "MaxNorm", "m": 2, "axis": 0}}))
    config = keras1(("TimeDistributed", "timedistributed_1", {"layer": dense}))
    config["config"] += [{"class_name": "Bidirectional", "config": {"name": "both", "layer": gru}}, inner]
    tensors = by_name(
        legacy(
            {
                ("timedistributed_1", "dense_3_W"): (4, 6),
                ("both", "backward_gru_1_U_z"): (4, 4),
                ("sequential_1", "dense_1_W"): (8, 6),
            },
            config,
        )
    )
    assert {(info.layer_class, info.evidence) for info in tensors.values()} == {
        ("Dense", Evidence.CONFIG),
        ("GRUCell", Evidence.CONFIG),
    }
    started = {name: info.initializer.name for name, info in tensors.items() if info.initializer}
    assert started == {"timedistributed_1/dense_3/W": "HeNormal", "both/backward_gru_1/U_z": "Orthogonal"}
    constraint = tensors["sequential_1/dense_1/W"].constraint
    assert constraint is not None
    assert constraint.config == {"max_value": 2, "axis": 0}


@pytest.mark.parametrize(
    ("weight", "shape", "role"),
    [
        ("bert/embeddings/word_embeddings/weight:0", (30, 8), Role.EMBEDDING),
        ("transformer/wte/weight:0", (30, 8), Role.EMBEDDING),
        ("t5/shared/shared/weight:0", (30, 8), Role.EMBEDDING),
        ("encoder/block_._0/layer_._0/layer_norm/weight:0", (8,), Role.NORM_SCALE),
        ("transformer/h_._0/attn/c_attn/weight:0", (8, 24), Role.KERNEL),
        ("block/layer_scale/weight:0", (8,), Role.UNKNOWN),
        ("block/layer_scale/kernel:0", (8,), Role.UNKNOWN),
        ("embedding_1_W", (30, 8), Role.EMBEDDING),
    ],
)
def test_weight_means_what_its_owner_is(weight: str, shape: tuple[int, ...], role: Role) -> None:
    """Without a config the owner's name tells what ``weight`` is; a lone vector is no kernel."""
    (found,) = result(legacy({("main", weight): shape})).tensors
    assert found[0].role is role
    path = weight.removesuffix(":0")
    if "/" in path:
        assert [info.role for info, _ in result(tensorflow({path: shape})).tensors] == [role]


def test_projections_of_attention_are_told_by_name() -> None:
    """Weights by name, without a config, know that a query contracts its first axis and not its second."""
    stored = {
        ("mha", "block/attention/query/kernel:0"): (8, 2, 4),
        ("mha", "block/attention/query/bias"): (2, 4),
    }
    info = by_name(legacy(stored))["block/attention/query/kernel"]
    assert (info.fan_in, info.fan_out, info.output_axes) == (8, 8, (1, 2))


def test_a_class_without_such_a_variable_is_not_claimed() -> None:
    """A user's own layer that is called ``attention`` is not that of Keras, which has no kernel."""
    info = by_name(legacy({("attention", "attention_W"): (8, 1)}))["attention/W"]
    assert (info.role, info.layer_class) == (Role.KERNEL, "")


def test_bare_names_give_way_to_the_path() -> None:
    """Layers built outside of a model call what they hold kernel and bias; both get the path of the layer."""
    place = "model/_box_predictor/_heads/0"
    keys = [f"{place}/{name}/.ATTRIBUTES/VARIABLE_VALUE" for name in ("kernel", "bias")]
    step = "step/.ATTRIBUTES/VARIABLE_VALUE"
    variables = [
        Variable(2, keys[0], "kernel"),
        Variable(3, keys[1], "bias"),
        Variable(4, step, "global_step"),
    ]
    graph = ObjectGraph(5, {0: {"layer": 1, "step": 4}, 1: {"kernel": 2, "bias": 3}}, variables)
    tensors = by_name(tensorflow({keys[0]: (3, 3, 4, 8), keys[1]: (8,), step: ()}, graph))
    roles = {name: info.role for name, info in tensors.items()}
    assert roles == {f"{place}/kernel": Role.KERNEL, f"{place}/bias": Role.BIAS, "global_step": Role.COUNTER}


def test_a_model_without_a_name_is_not_taken_for_every_layer() -> None:
    """Bare names, as of Keras 3.0, in a group that the configuration does not know are of no layer."""
    config = keras1(("Dense", "dense_2", {}))
    config["config"].insert(0, keras1(("Dense", "dense_1", {})))
    tensors = by_name(legacy({("other", "bias"): (6,), ("sequential_1", "dense_1/bias:0"): (6,)}, config))
    assert (tensors["other/bias"].layer_class, tensors["other/bias"].evidence) == ("", Evidence.NAME)
    assert tensors["dense_1/bias"].evidence is Evidence.CONFIG
