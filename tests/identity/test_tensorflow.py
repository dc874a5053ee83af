"""Checkpoints and SavedModels: by object graph, by Keras metadata, by name."""

from __future__ import annotations

import pytest

from tests.identity.catalogs import by_name, result, tensorflow
from weightaudit.catalog import Flaw, ObjectGraph, Slot, Variable
from weightaudit.identity import is_second_moment
from weightaudit.identity.optimizer import slot_name
from weightaudit.tensor import Declared, Evidence, Role

END = "/.ATTRIBUTES/VARIABLE_VALUE"


def graph_of(*variables: tuple[str, str]) -> ObjectGraph:
    """Return an object graph of nothing but variables, given as key and full name."""
    listed = [Variable(node, key + END, full) for node, (key, full) in enumerate(variables)]
    return ObjectGraph(len(listed), variables=listed)


def test_metadata_and_slots_of_a_saved_model() -> None:
    """Keras metadata gives class, role and constraint; the graph gives each slot its variable."""
    variables = [
        Variable(2, f"layer_with_weights-0/kernel{END}", "fc/kernel"),
        Variable(4, f"layer_with_weights-0/kernel/.OPTIMIZER_SLOT/optimizer/v{END}", "Adam/fc/kernel/v"),
        Variable(5, f"optimizer/iter{END}", "Adam/iter"),
    ]
    children = {0: {"layer_with_weights-0": 1, "optimizer": 3}, 1: {"kernel": 2}, 3: {"iter": 5}}
    graph = ObjectGraph(6, children, variables, [Slot(2, "v", 4)])
    config = {"name": "fc", "kernel_constraint": {"class_name": "UnitNorm", "config": {"axis": 0}}}
    metadata = {"class_name": "Dense", "name": "fc", "config": config}
    item = {"path": "root.layer_with_weights-0", "identifier": "_tf_keras_layer", "metadata": metadata}
    keys = [variable.key for variable in variables]
    stored = dict(zip(keys, [(3, 4), (3, 4), ()], strict=True))
    infos = by_name(tensorflow(stored, graph, keras_metadata={"1": item}))
    kernel = infos["fc/kernel"]
    assert (kernel.role, kernel.evidence, kernel.layer_class) == (Role.KERNEL, Evidence.CONFIG, "Dense")
    assert kernel.constraint is not None
    assert kernel.constraint.name == "UnitNorm"
    assert infos["optimizer/fc/kernel/v"].role is Role.OPTIMIZER_SLOT
    assert infos["optimizer/iter"].role is Role.COUNTER


def test_the_second_copy_of_an_export_is_dropped() -> None:
    """Keras 3 exports list every variable twice: it is audited once, and a note says so."""
    graph = graph_of(
        ("variables/0", "fc/kernel"),
        ("_all_variables/0", "fc/kernel"),
        ("_all_variables/1", "seed_generator/seed_generator_state"),
    )
    stored = {
        f"variables/0{END}": (3, 4),
        f"_all_variables/0{END}": (3, 4),
        f"_all_variables/1{END}@int64": (2,),
    }
    identified = result(tensorflow(stored, graph))
    roles = {info.name: info.role for info, _ in identified.tensors}
    assert roles == {"fc/kernel": Role.KERNEL, "seed_generator/seed_generator_state": Role.SEED}
    assert len(identified.notes) == 1


def test_a_variable_that_the_graph_lists_is_missed() -> None:
    """A key of the object graph that the index lacks is a defect."""
    graph = graph_of(("a/kernel", "a/kernel"), ("a/bias", "a/bias"))
    defects = result(tensorflow({f"a/kernel{END}": (2, 2)}, graph)).defects
    assert [(defect.flaw, defect.tensor) for defect in defects] == [(Flaw.MISSING_TENSOR, "a/bias")]


def test_a_normalization_of_keras_2_is_known_by_what_its_object_holds() -> None:
    """A checkpoint calls its variables mean, variance and count, as nothing else that holds all three."""
    names = ("mean", "variance", "count")
    children = {0: {"first": 1, "second": 5}, 1: {name: 2 + place for place, name in enumerate(names)}}
    children[5] = {"mean": 6, "count": 7}
    variables = [Variable(2 + place, f"first/{name}{END}", name) for place, name in enumerate(names)]
    variables += [Variable(6, f"second/mean{END}", ""), Variable(7, f"second/count{END}", "")]
    stored = {variable.key: (3,) * ("count" not in variable.key) for variable in variables}
    infos = by_name(tensorflow(stored, ObjectGraph(8, children, variables)))
    roles = {name: (infos[name].role, infos[name].layer_class) for name in names}
    assert roles == {
        "mean": (Role.MOVING_MEAN, "Normalization"),
        "variance": (Role.MOVING_VARIANCE, "Normalization"),
        "count": (Role.COUNTER, "Normalization"),
    }
    assert (infos["second/mean"].role, infos["second/count"].role) == (Role.UNKNOWN, Role.METRIC)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("Ftrl/linear/dense/kernel", "optimizer/dense/kernel/linear"),
        ("Adagrad/accumulator/dense/kernel", "optimizer/dense/kernel/accumulator"),
        ("Adadelta/accumulated_grad/dense/kernel", "optimizer/dense/kernel/accumulated_grad"),
        ("m/linear/kernel", "optimizer/linear/kernel/m"),
        ("Adam/v/dense/kernel", "optimizer/dense/kernel/v"),
    ],
)
def test_an_optimizer_that_is_called_like_a_slot_is_no_slot(path: str, name: str) -> None:
    """tf_keras writes the optimizer, the slot and the variable; TensorFlow 1 called slots by optimizers."""
    assert slot_name(path, {}) == name


@pytest.mark.parametrize(
    ("key", "shape", "role"),
    [
        ("conv/weights", (3, 3, 1, 8), Role.KERNEL),
        ("conv/weights/part_0", (3, 3, 1, 8), Role.KERNEL),
        ("conv/biases", (8,), Role.BIAS),
        ("bn/gamma", (8,), Role.NORM_SCALE),
        ("bn/moving_variance", (8,), Role.MOVING_VARIANCE),
        ("conv/weights/Adam_1", (3, 3, 1, 8), Role.OPTIMIZER_SLOT),
        ("conv/weights/Momentum", (3, 3, 1, 8), Role.OPTIMIZER_SLOT),
        ("layer/kernel_slot_v", (8, 8), Role.OPTIMIZER_SLOT),
        ("training/Ftrl/linear/weights/accumulator", (8, 1), Role.OPTIMIZER_SLOT),
        ("beta1_power", (), Role.HYPERPARAMETER),
        ("global_step@int64", (), Role.COUNTER),
        ("conv/weights/ExponentialMovingAverage", (3, 3, 1, 8), Role.KERNEL),
        ("encoder/block_000/layer_norm/scale", (8,), Role.NORM_SCALE),
        ("bert/embeddings/word_embeddings", (300, 16), Role.EMBEDDING),
        ("bert/embeddings/word_embeddings/lamb_m", (300, 16), Role.OPTIMIZER_SLOT),
        ("bert/embeddings/LayerNorm/gamma", (16,), Role.NORM_SCALE),
        ("cls/predictions/output_bias", (300,), Role.BIAS),
        ("shared/embedding", (300, 16), Role.EMBEDDING),
        ("encoder/block_000/layer_000/SelfAttention/q", (16, 16), Role.KERNEL),
        ("encoder/block_000/layer_000/SelfAttention/q_slot_vr", (16,), Role.OPTIMIZER_SLOT),
        ("model/h0/ln_1/g", (16,), Role.NORM_SCALE),
        ("model/h0/ln_1/b", (16,), Role.NORM_OFFSET),
        ("model/h0/attn/c_attn/b", (48,), Role.BIAS),
        ("body/layer_norm/layer_norm_bias", (16,), Role.NORM_OFFSET),
        ("normal_head/bias", (16,), Role.BIAS),
        ("bn/moving_mean/local_step@int32", (), Role.COUNTER),
        ("bn/moving_mean/biased", (8,), Role.STATE),
        ("train/beta1_power", (), Role.HYPERPARAMETER),
        ("weight_normalization/g", (8,), Role.UNKNOWN),
        ("cls/seq_relationship/output_weights", (2, 16), Role.UNKNOWN),
        ("b", (), Role.UNKNOWN),
        ("anything/else", (8, 8), Role.UNKNOWN),
    ],
)
def test_tensorflow_1_names(key: str, shape: tuple[int, ...], role: Role) -> None:
    """Without an object graph the key is all there is, and it is enough for the usual names."""
    (info,) = by_name(tensorflow({key: shape})).values()
    assert info.role is role


def test_an_average_beside_its_variable_is_no_weight() -> None:
    """An ExponentialMovingAverage is a weight only where the variable itself was left out."""
    infos = by_name(tensorflow({"w/kernel": (2, 2), "w/kernel/ExponentialMovingAverage": (2, 2)}))
    assert infos["w/kernel/ExponentialMovingAverage"].role is Role.OPTIMIZER_SLOT
    assert infos["w/kernel"].role is Role.KERNEL


def test_second_moments_are_told_by_name() -> None:
    """Only slots that average squares must not be negative."""
    squares = ["optimizer/a/kernel/velocity", "a/kernel/Adam_1", "optimizer/a/kernel/v", "a/w/accumulator"]
    others = ["optimizer/a/kernel/momentum", "a/kernel/Adam", "a/kernel/m", "velocity/kernel"]
    assert all(is_second_moment(name) for name in squares)
    assert not any(is_second_moment(name) for name in others)


def test_a_quantized_kernel_keeps_its_name_beside_the_one_from_before() -> None:
    """The optimizer of a quantized model still holds the float kernel under the same full name."""
    keys = {
        "model/_operations/3/_kernel": ("dense/kernel", "int8", (8, 4)),
        "model/_operations/3/kernel_scale": ("dense/kernel_scale", "float32", (4,)),
        "model/optimizer/_trainable_variables/0": ("dense/kernel", "float32", (8, 4)),
    }
    graph = graph_of(*((key, full) for key, (full, _, _) in keys.items()))
    stored = {f"{key}{END}@{dtype}": shape for key, (_, dtype, shape) in keys.items()}
    infos = by_name(tensorflow(stored, graph))
    kernel = infos["dense/kernel"]
    assert kernel.quantization is not None
    assert kernel.quantization.scale == f"model/_operations/3/kernel_scale{END}"
    assert "model/optimizer/_trainable_variables/0" in infos


def test_states_and_adapters_are_known_by_name() -> None:
    """The states of a stateful RNN are no weights, and the second half of an adapter starts at zero."""
    names = {"rnn/rnn_state": (2, 8), "dense/lora_kernel_a": (8, 4), "dense/lora_kernel_b": (4, 8)}
    graph = graph_of(*((f"variables/{index}", name) for index, name in enumerate(names)))
    stored = {f"variables/{index}{END}": shape for index, shape in enumerate(names.values())}
    infos = by_name(tensorflow(stored, graph))
    assert infos["rnn/rnn_state"].role is Role.STATE
    assert infos["dense/lora_kernel_b"].initializer == Declared("Zeros")
    assert infos["dense/lora_kernel_a"].initializer is None
