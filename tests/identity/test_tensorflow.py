"""Checkpoints and SavedModels: by object graph, by Keras metadata, by name."""

from __future__ import annotations

from dataclasses import replace

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


def _optimizer_graph(name: str) -> tuple[ObjectGraph, dict[str, tuple[int, ...]]]:
    """Return the graph of a checkpoint with a network and its Keras 3 optimizer under a name, and shapes."""
    variables = [
        Variable(2, f"net/kernel{END}", "disc/dense/kernel"),
        Variable(5, f"{name}/_iterations{END}", "adam_3/iteration"),
        Variable(6, f"{name}/_variables/2{END}", "adam_3/disc_dense_kernel_momentum"),
        Variable(7, f"{name}/_learning_rate{END}", "adam_3/learning_rate"),
    ]
    children = {
        0: {"net": 1, name: 3},
        1: {"kernel": 2},
        3: {"_iterations": 5, "_variables": 4, "_learning_rate": 7, "_trainable_variables": 8},
        4: {"0": 5, "1": 7, "2": 6},
        8: {"0": 2},
    }
    keys = [variable.key for variable in variables]
    return ObjectGraph(9, children, variables), dict(zip(keys, [(3, 4), (), (3, 4), ()], strict=True))


def test_the_learning_rate_of_an_optimizer_need_not_be_listed() -> None:
    """An optimizer of tf_keras holds its learning rate beside the list of its variables, under any name."""
    graph, stored = _optimizer_graph("opt")
    children = {**graph.children, 4: {"0": 5, "1": 6}}
    variables = [one._replace(full_name="learning_rate") if one.node == 7 else one for one in graph.variables]
    infos = by_name(tensorflow(stored, replace(graph, children=children, variables=variables)))
    assert infos["opt/learning_rate"].role is Role.HYPERPARAMETER


@pytest.mark.parametrize("name", ["optimizer", "discriminator_optimizer", "opt_d"])
def test_an_optimizer_is_known_by_what_it_holds(name: str) -> None:
    """A pair of networks keeps its optimizers under names of its own: their slots are no unknown weights."""
    graph, stored = _optimizer_graph(name)
    infos = by_name(tensorflow(stored, graph))
    assert infos["optimizer/disc/dense/kernel/momentum"].role is Role.OPTIMIZER_SLOT
    assert infos[f"{name}/iteration"].role is Role.COUNTER
    assert infos[f"{name}/learning_rate"].role is Role.HYPERPARAMETER
    assert infos["disc/dense/kernel"].role is Role.KERNEL


def test_an_old_optimizer_is_known_by_what_it_holds() -> None:
    """Optimizers before Keras 2.11 count in `iter`: their own name does not decide what a scalar is."""
    variables = [
        Variable(2, f"opt/iter{END}", "Adam/iter"),
        Variable(3, f"opt/learning_rate{END}", "Adam/learning_rate"),
    ]
    graph = ObjectGraph(4, {0: {"opt": 1}, 1: {"iter": 2, "learning_rate": 3}}, variables)
    infos = by_name(tensorflow({variable.key: () for variable in variables}, graph))
    roles = {name: info.role for name, info in infos.items()}
    assert roles == {"opt/iter": Role.COUNTER, "opt/learning_rate": Role.HYPERPARAMETER}


def test_a_checkpoint_that_counts_itself_is_no_optimizer() -> None:
    """A training loop may keep its own step and rate beside a network, whose weights stay weights."""
    variables = [
        Variable(1, f"iter{END}", "iter"),
        Variable(2, f"learning_rate{END}", "learning_rate"),
        Variable(3, f"dense/kernel{END}", "dense/kernel"),
        Variable(4, f"kernel{END}", "kernel"),
    ]
    children = {0: {"iter": 1, "learning_rate": 2, "dense": 5, "kernel": 4}, 5: {"kernel": 3}}
    stored = {variables[0].key: (), variables[1].key: (), variables[2].key: (3, 4), variables[3].key: (4, 5)}
    infos = by_name(tensorflow(stored, ObjectGraph(6, children, variables)))
    assert infos["dense/kernel"].role is Role.KERNEL
    assert infos["kernel"].role is Role.KERNEL


def test_two_copies_of_a_network_are_told_apart_by_their_part() -> None:
    """A target network has the names of the one it follows: the part of the checkpoint comes before them."""
    graph = graph_of(("online/layer/kernel", "net/dense/kernel"), ("target/layer/kernel", "net/dense/kernel"))
    stored = {f"online/layer/kernel{END}": (3, 4), f"target/layer/kernel{END}": (3, 4)}
    infos = by_name(tensorflow(stored, graph))
    assert set(infos) == {"online/net/dense/kernel", "target/net/dense/kernel"}
    assert {info.layer_class for info in infos.values()} == {"Dense"}


def test_a_variable_that_nobody_named_is_called_by_its_place() -> None:
    """TensorFlow calls it `Variable`, which tells nothing: the attribute that holds it does."""
    graph = graph_of(("replay", "Variable"), ("head/kernel", "Variable_1"))
    infos = by_name(tensorflow({f"replay{END}": (10, 4), f"head/kernel{END}": (4, 2)}, graph))
    assert set(infos) == {"replay", "head/kernel"}
    assert infos["head/kernel"].role is Role.KERNEL


@pytest.mark.parametrize("key", ["tower/weights_2", "W1", "net/w_1", "fc/kernel_3"])
def test_numbered_weights_of_tensorflow_1_are_kernels(key: str) -> None:
    """TensorFlow 1 numbers a second variable of one name, and tutorials number them by hand."""
    assert by_name(tensorflow({key: (48, 4)}))[key].role is Role.KERNEL


@pytest.mark.parametrize("key", ["tower/biases_2", "b1", "net/b_1", "fc/bias_3"])
def test_numbered_biases_of_tensorflow_1_are_biases(key: str) -> None:
    """What holds for their kernels holds for their biases."""
    assert by_name(tensorflow({key: (4,)}))[key].role is Role.BIAS
