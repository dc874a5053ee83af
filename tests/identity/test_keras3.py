"""Keras 3 files: what numbered variables in numbered layers are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import pytest

from tests.identity.catalogs import by_name, functional, keras3, layer, max_norm, result
from weightaudit.catalog import Flaw
from weightaudit.checkpoint import open_checkpoint
from weightaudit.identity.config import policy_of
from weightaudit.tensor import Evidence, Role

if TYPE_CHECKING:
    from pathlib import Path


def test_layer_names_come_from_the_config_and_not_from_the_path() -> None:
    """``layers/dense`` may be called fc1 while ``layers/dense_1`` is called dense."""
    config = functional(
        layer("Dense", "fc1", kernel_constraint=max_norm(2.0), trainable=False),
        layer("Dense", "dense", use_bias=False),
    )
    stored = {"layers/dense/vars/0": (3, 4), "layers/dense/vars/1": (4,), "layers/dense_1/vars/0": (4, 2)}
    tensors = by_name(keras3(stored, config))
    assert set(tensors) == {"fc1/kernel", "fc1/bias", "dense/kernel"}
    kernel = tensors["fc1/kernel"]
    assert (kernel.role, kernel.evidence, kernel.layer_class) == (Role.KERNEL, Evidence.CONFIG, "Dense")
    assert kernel.constraint is not None
    assert kernel.constraint.config == {"max_value": 2.0, "axis": 0}
    assert (kernel.trainable, tensors["dense/kernel"].trainable) == (False, True)
    assert tensors["fc1/bias"].constraint is None


def test_backslashes_of_windows_are_folder_marks() -> None:
    """A file written on Windows is understood as the same file written elsewhere."""
    config = functional(layer("Dense", "fc1"))
    tensors = by_name(keras3({"layers\\dense\\vars\\0": (3, 4), "layers\\dense\\vars\\1": (4,)}, config))
    assert set(tensors) == {"fc1/kernel", "fc1/bias"}


def test_ten_variables_keep_their_numeric_order() -> None:
    """HDF5 lists '10' before '2'; slots are still matched to the right variables."""
    dense = [layer("Dense", f"d{i}") for i in range(3)]
    config = functional(*dense, compile_config={"optimizer": {"class_name": "Adam", "config": {}}})
    stored: dict[str, tuple[int, ...]] = {"optimizer/vars/0@int64": (), "optimizer/vars/1": ()}
    for i in range(3):
        path = f"layers/dense_{i}" if i else "layers/dense"
        stored |= {f"{path}/vars/0": (i + 2, i + 3), f"{path}/vars/1": (i + 3,)}
        for j in range(2):
            stored |= {
                f"optimizer/vars/{4 * i + 2 + j}": (i + 2, i + 3),
                f"optimizer/vars/{4 * i + 4 + j}": (i + 3,),
            }
    infos = by_name(keras3(dict(sorted(stored.items())), config))
    assert infos["optimizer/d2/kernel/velocity"].key == "optimizer/vars/11"
    assert infos["optimizer/d1/bias/momentum"].key == "optimizer/vars/8"
    assert infos["optimizer/iteration"].role is Role.COUNTER
    assert infos["optimizer/learning_rate"].role is Role.HYPERPARAMETER
    assert sum(info.role is Role.OPTIMIZER_SLOT for info in infos.values()) == 12


def test_nested_models_and_wrappers_are_walked() -> None:
    """A nested Sequential, a Bidirectional LSTM and a TimeDistributed layer get the paths of Keras."""
    inner = {"class_name": "Sequential", "config": {"name": "inner", "layers": [layer("Dense", "fc")]}}
    lstm = layer("LSTM", "forward_lstm", recurrent_constraint=max_norm(1.0))
    config = functional(
        inner,
        layer("Bidirectional", "both", layer=lstm),
        layer("TimeDistributed", "each", layer=layer("Dense", "out")),
    )
    cells: dict[str, tuple[int, ...]] = {
        f"layers/bidirectional/{way}_layer/cell/vars/{i}": shape
        for way in ("forward", "backward")
        for i, shape in enumerate([(4, 12), (3, 12), (12,)])
    }
    wrapped = {"layers/time_distributed/layer/vars/0": (6, 2), "layers/time_distributed/layer/vars/1": (2,)}
    nested = {"layers/sequential/layers/dense/vars/0": (5, 4), "layers/sequential/layers/dense/vars/1": (4,)}
    infos = by_name(keras3(cells | wrapped | nested, config))
    assert {"inner/fc/kernel", "each/out/bias", "both/backward_lstm/lstm_cell/bias"} <= set(infos)
    recurrent = infos["both/forward_lstm/lstm_cell/recurrent_kernel"]
    assert (recurrent.role, recurrent.gates, recurrent.fan_in) == (Role.RECURRENT_KERNEL, 4, 3)
    assert recurrent.constraint is not None


def test_a_missing_bias_is_a_defect() -> None:
    """The config promises a bias, the kernel is there, the bias is not: the defect names it."""
    identified = result(keras3({"layers/dense/vars/0": (3, 4)}, functional(layer("Dense", "fc1"))))
    assert [(defect.flaw, defect.tensor) for defect in identified.defects] == [
        (Flaw.MISSING_TENSOR, "fc1/bias")
    ]


def test_a_missing_layer_is_a_defect_only_if_it_is_not_shared() -> None:
    """A layer that a nested model already stored is not reported; one that is nowhere is."""
    shared = layer("Dense", "shared")
    config = functional(functional(shared, name="inner"), shared, layer("Dense", "lost", use_bias=False))
    stored = {"layers/functional/layers/dense/vars/0": (3, 3), "layers/functional/layers/dense/vars/1": (3,)}
    assert [defect.tensor for defect in result(keras3(stored, config)).defects] == ["lost/kernel"]


def test_optional_variables_are_not_missed() -> None:
    """Layers whose config switches variables off raise no defect for them."""
    config = functional(
        layer("Dense", "a", use_bias=False),
        layer("BatchNormalization", "b", scale=False),
        layer("EinsumDense", "c", equation="ab,bc->ac", bias_axes=None),
        layer("Normalization", "d", mean=[0.0]),
        layer("Dropout", "e"),
    )
    stored: dict[str, tuple[int, ...]] = {"layers/dense/vars/0": (2, 3), "layers/einsum_dense/vars/0": (2, 3)}
    stored |= {f"layers/batch_normalization/vars/{i}": (3,) for i in range(3)}
    identified = result(keras3(stored, config))
    assert identified.defects == ()
    roles = {info.name: info.role for info, _ in identified.tensors}
    assert roles["b/beta"] is Role.NORM_OFFSET
    assert roles["b/moving_variance"] is Role.MOVING_VARIANCE


def test_a_custom_layer_is_unknown() -> None:
    """Variables of a class that Keras does not define are listed, and nothing is claimed about them."""
    custom = {
        "module": "my.code",
        "class_name": "Dense",
        "registered_name": "my>Dense",
        "config": {"name": "own"},
    }
    stored = {"layers/dense/vars/0": (3, 4), "layers/dense/vars/1": (4,)}
    infos = by_name(keras3(stored, functional({**custom, "config": {"name": "own"}}))).values()
    assert {info.evidence for info in infos} <= {Evidence.GUESS, Evidence.UNKNOWN}
    assert all(info.constraint is None for info in infos)


def test_tfsm_layers_are_unknown() -> None:
    """What lies under a TFSMLayer has lost its meaning, whatever the shapes suggest."""
    stored = {"layers/tfsm_layer/vars/0": (3, 4), "layers/tfsm_layer/vars/1": (4,)}
    infos = by_name(keras3(stored, functional(layer("TFSMLayer", "served")))).values()
    assert [(info.role, info.layer_class) for info in infos] == [(Role.UNKNOWN, "TFSMLayer")] * 2


def test_weights_without_config_are_guessed() -> None:
    """Paths and shapes suggest roles, and the evidence says that they are guesses."""
    stored = {
        "layers/dense/vars/0": (3, 4),
        "layers/dense/vars/1": (4,),
        "layers/batch_normalization/vars/0": (4,),
    }
    stored |= {f"layers/batch_normalization/vars/{i}": (4,) for i in range(1, 4)}
    infos = by_name(keras3(stored, names={"layers/dense": "head"}))
    assert (infos["head/kernel"].role, infos["head/kernel"].evidence) == (Role.KERNEL, Evidence.GUESS)
    variance = next(info for info in infos.values() if info.key == "layers/batch_normalization/vars/3")
    assert (variance.role, variance.evidence) == (Role.MOVING_VARIANCE, Evidence.GUESS)


def test_a_lone_norm_vector_is_not_guessed() -> None:
    """One vector of a LayerNormalization may be gamma or beta: without a config it stays unknown."""
    (info,) = by_name(keras3({"layers/layer_normalization/vars/0": (4,)})).values()
    assert (info.role, info.evidence) == (Role.UNKNOWN, Evidence.UNKNOWN)


def test_int4_kernels_know_their_scale_zero_and_group() -> None:
    """A packed kernel names the tensors that dequantize it, and has the fans of the real kernel."""
    policy = {"class_name": "Int4DTypePolicy", "config": {"mode": "int4/128", "source_name": "float32"}}
    stored = {
        "layers/dense/vars/0@int8": (8, 2),
        "layers/dense/vars/1": (4,),
        "layers/dense/vars/2": (1, 4),
        "layers/dense/vars/3@int8": (1, 4),
        "layers/dense/vars/4": (8,),
    }
    infos = by_name(keras3(stored, functional(layer("Dense", "fc", dtype=policy))))
    quantization = infos["fc/kernel"].quantization
    assert quantization is not None
    assert quantization.mode == "int4"
    keys = [quantization.scale, quantization.zero, quantization.group]
    assert keys == [f"layers/dense/vars/{i}" for i in (2, 3, 4)]
    assert (infos["fc/kernel"].fan_in, infos["fc/kernel"].output_axes) == (8, (1,))
    assert infos["fc/bias"].role is Role.BIAS
    assert infos["fc/g_idx"].role is Role.QUANTIZATION


def test_duplicate_names_become_unique() -> None:
    """Two models of one functional model may hold layers of one name: the key tells them apart."""
    config = functional(
        functional(layer("Dense", "fc", use_bias=False), name="a"), functional(layer("Dense", "fc"), name="b")
    )
    stored = {
        "layers/functional/layers/dense/vars/0": (2, 2),
        "layers/functional_1/layers/dense/vars/0": (2, 2),
        "layers/functional_1/layers/dense/vars/1": (2,),
    }
    names = {info.name for info, _ in result(keras3(stored, config)).tensors}
    assert "fc (layers/functional/layers/dense/vars/0)/kernel" in names
    assert len(names) == 3


def test_a_wrapped_convolution_is_known_without_a_config() -> None:
    """SpectralNormalization keeps the kernel of any layer: rank 4 of a convolution, rank 2 of a Dense."""
    stored: dict[str, tuple[int, ...]] = {
        "layers/spectral_normalization/vars/0": (3, 3, 8, 16),
        "layers/spectral_normalization/vars/1": (1, 16),
    }
    tensors = by_name(keras3(stored))
    assert tensors["spectral_normalization/kernel"].role is Role.KERNEL
    assert tensors["spectral_normalization/vector_u"].role is Role.STATE


def test_the_cell_of_a_recurrent_convolution_is_known_without_a_config() -> None:
    """Only the layer around it says what the cell of a ConvLSTM2D is."""
    kernels: dict[str, tuple[int, ...]] = {"0": (3, 3, 1, 16), "1": (3, 3, 4, 16), "2": (16,)}
    tensors = by_name(keras3({f"layers/conv_lstm2d_1/cell/vars/{i}": s for i, s in kernels.items()}))
    recurrent = tensors["conv_lstm2d_1/cell/recurrent_kernel"]
    assert (recurrent.role, recurrent.gates, recurrent.evidence) == (
        Role.RECURRENT_KERNEL,
        4,
        Evidence.GUESS,
    )


def test_keras_2_names_a_recurrent_convolution_without_its_cell() -> None:
    """The same model is called conv_lstm2d/kernel by Keras 2, and has a cell in the path in Keras 3."""
    config = functional(layer("ConvLSTM2D", "rnn"))
    kernels: dict[str, tuple[int, ...]] = {"0": (3, 3, 1, 16), "1": (3, 3, 4, 16), "2": (16,)}
    stored = {f"layers/conv_lstm2d/cell/vars/{i}": shape for i, shape in kernels.items()}
    assert "rnn/conv_lstm_cell/bias" in by_name(keras3(stored, config))
    assert "rnn/bias" in by_name(keras3(stored, config, metadata={"keras_version": "2.15.0"}))


def test_a_constraint_of_a_custom_layer_is_told_but_not_tied_to_a_tensor() -> None:
    """Which tensor a user's own layer constrains is not in the file, so a note says what is not checked."""
    custom = {"class_name": "Scaled", "registered_name": "my>Scaled", "module": "my.layers"}
    config = functional({**custom, "config": {"name": "own", "kernel_constraint": max_norm(2.0)}})
    identified = result(keras3({"layers/scaled/vars/0": (3, 4)}, config))
    assert identified.tensors[0][0].constraint is None
    (note,) = identified.notes
    assert "own" in note
    assert "kernel_constraint=MaxNorm" in note


def test_versions_of_keras_that_lose_layers_are_named() -> None:
    """Before 3.15 layers in lists of lists were not saved, which only matters for classes of a user."""
    own = {"class_name": "Own", "registered_name": "my>Own", "config": {"name": "own"}}
    stored = {"layers/own/vars/0": (3, 4), "layers/dense/vars/0": (3, 4), "layers/dense/vars/1": (4,)}
    plain = {name: shape for name, shape in stored.items() if "own" not in name}
    for version, warns in (("3.14.0", True), ("3.15.1", False), ("2.15.0", False)):
        metadata = {"keras_version": version}
        config = functional(own, layer("Dense", "fc"))
        assert bool(result(keras3(stored, config, metadata=metadata)).notes) is warns
        assert result(keras3(plain, functional(layer("Dense", "fc")), metadata=metadata)).notes == ()


def test_a_kernel_that_is_stored_twice_is_called_a_copy() -> None:
    """SpectralNormalization stores the kernel of the layer inside once more, with that layer's constraint."""
    inner = layer("Dense", "fc", kernel_constraint=max_norm(1.0))
    config = functional(layer("SpectralNormalization", "spectral", layer=inner))
    path = "layers/spectral_normalization"
    stored = {f"{path}/vars/0": (3, 4), f"{path}/vars/1": (1, 4), f"{path}/layer/vars/0": (3, 4)}
    tensors = by_name(keras3({**stored, f"{path}/layer/vars/1": (4,)}, config))
    assert {"spectral/kernel_copy", "spectral/vector_u", "spectral/fc/kernel"} < set(tensors)
    for name in ("spectral/kernel_copy", "spectral/fc/kernel"):
        assert (tensors[name].layer_class, tensors[name].constraint is not None) == ("Dense", True)
    old = by_name(keras3(stored, config, metadata={"keras_version": "2.15.0"}))
    assert {"spectral/kernel_copy", "spectral/kernel"} < set(old)


def test_policies_of_all_generations_are_named() -> None:
    """A policy is a string, an object with a name, or an object with a mode and what was quantized."""
    for written, name in (
        ("float32", "float32"),
        ({"class_name": "Policy", "config": {"name": "mixed_float16"}}, "mixed_float16"),
        ({"class_name": "DTypePolicy", "config": {"name": "bfloat16"}}, "bfloat16"),
        ({"config": {"mode": "float8", "source_name": "float32"}}, "float8_from_float32"),
        ({"config": {"default_policy": "float32", "policy_map": {}}}, "map_float32"),
        ({"config": {"default_policy": {"config": {"name": "bfloat16"}}}}, "map_bfloat16"),
        ({"config": {"default_policy": {"config": {"default_policy": "float32"}}}}, ""),
        ({"config": ["nonsense"]}, ""),
        (None, ""),
    ):
        assert policy_of({"dtype": written}) == name
    stored = {"layers/dense/vars/0": (3, 4), "layers/dense/vars/1": (4,)}
    infos = by_name(keras3(stored, functional(layer("Dense", "fc", dtype="mixed_float16"))))
    assert {info.policy for info in infos.values()} == {"mixed_float16"}


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras 3.15 on numpy 2
def test_a_map_of_policies_is_named_as_keras_names_it(tmp_path: Path) -> None:
    """Layers under a map have the name of the live map, the projections inside attention among them."""
    policy = keras.dtype_policies.DTypePolicyMap(
        "mixed_bfloat16", {"mha/query": keras.DTypePolicy("float32")}
    )
    inputs = keras.Input((5, 8))
    attention = keras.layers.MultiHeadAttention(2, 4, dtype=policy, name="mha")(inputs, inputs)
    model = keras.Model(inputs, keras.layers.Dense(3, dtype=policy, name="head")(attention))
    model.save(tmp_path / "m.keras")
    with open_checkpoint(tmp_path / "m.keras") as checkpoint:
        assert {info.policy for info in checkpoint.tensors} == {policy.name}


def test_adapters_freeze_what_they_are_added_to() -> None:
    """With low-rank adapters the kernel is no longer trained, and the bias still is."""
    stored = {"layers/dense/vars/0": (3, 4), "layers/dense/vars/1": (4,)}
    infos = by_name(keras3(stored, functional(layer("Dense", "fc", lora_rank=2))))
    assert (infos["fc/kernel"].trainable, infos["fc/bias"].trainable) == (False, True)


def test_what_a_subclassed_model_holds_itself_has_its_name_once() -> None:
    """In weights alone the model's own name stands before a variable of its own, and is not repeated."""
    stored = {"vars/0": (), "head/vars/0": (4, 2), "head/vars/1": (2,)}
    tensors = by_name(keras3(stored, names={"": "net", "head": "dense_1"}))
    assert set(tensors) == {"net/0", "net/dense_1/kernel", "net/dense_1/bias"}


def test_what_a_model_of_no_name_holds_itself_is_called_as_it_is_stored() -> None:
    """Weights of Keras 2 tell no names: no name of a tensor begins with a slash."""
    tensors = by_name(keras3({"vars/0": (1, 10, 32), "proj/vars/0": (4, 2), "proj/vars/1": (2,)}))
    assert set(tensors) == {"vars/0", "proj/kernel", "proj/bias"}


def test_a_scalar_after_the_learning_rate_may_be_a_slot() -> None:
    """The slot of a temperature has no axis, as hyperparameters have none: its role is called a guess."""
    stored = {"vars/0": (), "optimizer/vars/0@int64": (), "optimizer/vars/1": (), "optimizer/vars/2": ()}
    tensors = by_name(keras3(stored))
    assert tensors["optimizer/learning_rate"].evidence is Evidence.NAME
    assert tensors["optimizer/2"].evidence is Evidence.GUESS
