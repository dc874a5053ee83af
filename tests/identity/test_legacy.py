"""Legacy HDF5 files: names of three decades of Keras versions."""

from __future__ import annotations

from typing import Any

import pytest

from tests.identity.catalogs import by_name, legacy, max_norm, result
from weightaudit.catalog import Flaw
from weightaudit.tensor import Evidence, Role

DENSE: dict[str, Any] = {
    "class_name": "Dense",
    "config": {"name": "dense_1", "kernel_constraint": max_norm(3.0)},
}


def model(*layers: dict[str, Any]) -> dict[str, Any]:
    """Return a Sequential model as Keras 2 wrote it."""
    return {"class_name": "Sequential", "config": {"name": "sequential", "layers": list(layers)}}


def test_config_gives_class_role_and_constraint() -> None:
    """A weight of a configured layer is certain, and carries what is declared for it."""
    stored = {("dense_1", "dense_1/kernel:0"): (3, 4), ("dense_1", "dense_1/bias:0"): (4,)}
    infos = by_name(legacy(stored, model(DENSE)))
    kernel = infos["dense_1/kernel"]
    assert (kernel.role, kernel.evidence, kernel.layer_class) == (Role.KERNEL, Evidence.CONFIG, "Dense")
    assert kernel.constraint is not None
    assert kernel.constraint.name == "MaxNorm"
    assert (kernel.trainable, kernel.fan_in) == (True, 3)


def test_scopes_of_a_second_session_are_undone() -> None:
    """``conv2d_1_1/kernel`` in the group conv2d_1 is the kernel of conv2d_1."""
    assert set(by_name(legacy({("conv2d_1", "conv2d_1_1/kernel:0"): (3, 3, 1, 8)}))) == {"conv2d_1/kernel"}


LSTM: dict[str, Any] = {"class_name": "LSTM", "config": {"name": "lstm_1", "units": 4}}
BOTH: dict[str, Any] = {"class_name": "Bidirectional", "config": {"name": "both_1", "layer": LSTM}}
NESTED: dict[str, Any] = {
    "class_name": "Sequential",
    "config": {"name": "conv", "layers": [{"class_name": "Dense", "config": {"name": "conv_1"}}]},
}


@pytest.mark.parametrize(
    ("config", "group", "weight", "name"),
    [
        (LSTM, "lstm_1", "lstm_1_2/kernel", "lstm_1/kernel"),
        (BOTH, "both_1", "both_1_1/forward_lstm_1/kernel", "both_1/forward_lstm_1/kernel"),
        (NESTED, "conv", "conv_1/kernel", "conv_1/kernel"),
        (None, "bidirectional_1", "bidirectional_1_1/forward_x/kernel", "bidirectional_1/forward_x/kernel"),
    ],
)
def test_scopes_of_a_second_session_are_undone_around_a_cell(
    config: dict[str, Any] | None, group: str, weight: str, name: str
) -> None:
    """Recurrent layers, wrappers and their slots lose the second number; a layer in a model keeps its own."""
    stored = {(group, f"{weight}:0"): (3, 16), ("optimizer", f"training/Adam/{weight}/m:0"): (3, 16)}
    infos = by_name(legacy(stored, model(config) if config else None))
    assert set(infos) == {name, f"optimizer/{name}/m"}


@pytest.mark.parametrize(
    ("owner", "layer_class", "gates"),
    [
        ("forward_lstm_1", "LSTMCell", 4),
        ("backward_gru", "GRUCell", 3),
        ("forward_cu_dnnlstm_1", "CuDNNLSTM", 4),
        ("backward_simple_rnn_2", "SimpleRNNCell", 1),
        ("forward_dense_1", "", 1),
    ],
)
def test_names_tell_what_runs_in_both_directions(owner: str, layer_class: str, gates: int) -> None:
    """Without a config, the copies that Bidirectional makes of a recurrent layer are told by their names."""
    (info,) = by_name(legacy({("b", f"b/{owner}/recurrent_kernel:0"): (12, 12 * gates)})).values()
    assert (info.layer_class, info.gates, info.role) == (layer_class, gates, Role.RECURRENT_KERNEL)


@pytest.mark.parametrize(
    ("weight", "shape", "role"),
    [
        ("dense_1_W:0", (3, 4), Role.KERNEL),
        ("dense_1_b:0", (4,), Role.BIAS),
        ("lstm_1_U_f:0", (4, 4), Role.RECURRENT_KERNEL),
        ("batchnormalization_1_running_std:0", (4,), Role.MOVING_VARIANCE),
        ("batchnormalization_1_running_mean", (4,), Role.MOVING_MEAN),
        ("crf/chain_kernel:0", (7, 7), Role.UNKNOWN),
    ],
)
def test_names_alone_tell_roles(weight: str, shape: tuple[int, ...], role: Role) -> None:
    """Without a config, names of Keras 1 and 2 give the role; strange names give none."""
    (info,) = by_name(legacy({("group", weight): shape})).values()
    assert info.role is role
    assert info.evidence is (Evidence.UNKNOWN if role is Role.UNKNOWN else Evidence.NAME)


def test_one_gate_of_keras1_is_no_side_by_side_gates() -> None:
    """Keras 1 stored one tensor per gate: an LSTM kernel of 8 columns is one gate of 8 units."""
    config = [{"class_name": "LSTM", "config": {"name": "lstm_1", "output_dim": 8}}]
    infos = by_name(
        legacy({("lstm_1", "lstm_1_W_i:0"): (3, 8)}, {"class_name": "Sequential", "config": config})
    )
    info = infos["lstm_1/W_i"]
    assert (info.role, info.gates, info.fan_out) == (Role.KERNEL, 1, 8)
    (info,) = by_name(legacy({("lstm_1", "lstm_1_W_i:0"): (3, 8)})).values()
    assert (info.role, info.gates, info.fan_out) == (Role.KERNEL, 1, 8)


def test_theano_kernels_have_their_outputs_first() -> None:
    """A Keras 1 kernel with dim_ordering ``th`` is (out, in, rows, columns)."""
    config = [{"class_name": "Convolution2D", "config": {"name": "c", "dim_ordering": "th", "bias": False}}]
    infos = by_name(legacy({("c", "c_W"): (32, 3, 5, 5)}, {"class_name": "Sequential", "config": config}))
    assert (infos["c/W"].fan_in, infos["c/W"].output_axes) == (75, (0,))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("Adam/m/dense_1/kernel:0", "optimizer/dense_1/kernel/m"),
        ("Adam/dense_1/kernel/v:0", "optimizer/dense_1/kernel/v"),
        ("training/Adam/dense_1/kernel/m:0", "optimizer/dense_1/kernel/m"),
        ("adam/dense_1_kernel_velocity", "optimizer/dense_1/kernel/velocity"),
    ],
)
def test_slots_are_named_after_their_variable(path: str, name: str) -> None:
    """Every generation of slot names leads to ``optimizer/<variable>/<slot>``."""
    stored = {("dense_1", "dense_1/kernel:0"): (3, 4), ("optimizer", path): (3, 4)}
    info = by_name(legacy(stored))[name]
    assert (info.role, info.trainable) == (Role.OPTIMIZER_SLOT, False)


def test_unnamed_slots_are_found_by_sorted_names() -> None:
    """Keras 2.0 sorted variables by name and left slots unnamed: shapes confirm the order."""
    stored = {
        ("b", "b/kernel:0"): (3, 4),
        ("b", "b/bias:0"): (4,),
        ("a", "a/kernel:0"): (4, 2),
        ("a", "a/bias:0"): (2,),
    }
    order = [(2,), (4, 2), (4,), (3, 4)]
    stored |= {("optimizer", f"Variable_{i}:0"): shape for i, shape in enumerate(order * 2)}
    documents: dict[str, Any] = {"optimizer_config": {"class_name": "Adam", "config": {}}}
    infos = by_name(legacy(stored, training_config=documents))
    assert infos["optimizer/a/bias/momentum"].key == "optimizer/Variable_0:0"
    assert infos["optimizer/b/kernel/velocity"].key == "optimizer/Variable_7:0"


@pytest.mark.parametrize("names", [("Variable_",) * 3, ("m_", "v_", "vhat_")])
def test_adam_of_keras2_keeps_a_zero_for_each_maximum_of_amsgrad(names: tuple[str, str, str]) -> None:
    """Slots are kept kind after kind, and the last kind has one number for each variable."""
    stored = {("a", "a/kernel:0"): (4, 2), ("a", "a/bias:0"): (2,)}
    shapes = [(4, 2), (2,), (4, 2), (2,), (1,), (1,)]
    slots = {("optimizer", f"training/Adam/{names[i // 2]}{i}:0"): shape for i, shape in enumerate(shapes)}
    documents = {"optimizer_config": {"class_name": "Adam", "config": {"amsgrad": False}}}
    infos = list(by_name(legacy(stored | slots, training_config=documents)).values())[2:]
    assert [info.name.removeprefix("optimizer/a/") for info in infos] == [
        f"{variable}/{slot}"
        for slot in ("momentum", "velocity", "velocity_hat")
        for variable in ("kernel", "bias")
    ]


def test_a_bias_that_the_config_promises_is_missed() -> None:
    """A kernel without the bias that its layer declares is a defect, without a false one for the kernel."""
    defects = result(legacy({("dense_1", "dense_1/kernel:0"): (3, 4)}, model(DENSE))).defects
    assert [(defect.flaw, defect.tensor) for defect in defects] == [(Flaw.MISSING_TENSOR, "dense_1/bias")]
