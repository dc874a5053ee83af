"""Integers of quantized layers are linked to what decodes them, in every layout that Keras has written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.identity.catalogs import by_name, functional, keras3, layer, legacy, max_norm, result
from weightaudit.catalog import Flaw
from weightaudit.tensor import Declared, Evidence, Quantization, Role


def policy(mode: str) -> dict[str, Any]:
    """Return the serialized form of the policy of a quantized layer."""
    return {"class_name": "QuantizedDTypePolicy", "config": {"mode": mode, "source_name": "float32"}}


def dense(mode: str, **more: Any) -> dict[str, Any]:
    """Return the configuration of a quantized Dense layer called fc, with nine units."""
    return functional(layer("Dense", "fc", units=9, dtype=policy(mode), **more))


GPTQ = {
    "layers/dense/vars/0": (9,),
    "layers/dense/vars/1@uint8": (5, 8),
    "layers/dense/vars/2": (9, 2),
    "layers/dense/vars/3@uint8": (9, 2),
    "layers/dense/vars/4": (8,),
}


def test_kernels_of_gptq_are_turned_around() -> None:
    """The kernel is stored as outputs times inputs, and fans, axes and the constraint follow that."""
    tensors = by_name(keras3(GPTQ, dense("gptq/4/4", kernel_constraint=max_norm(2.0))))
    kernel = tensors["fc/kernel"]
    assert kernel.quantization is not None
    assert (kernel.quantization.mode, kernel.quantization.packed_axis) == ("gptq", 0)
    keys = [kernel.quantization.scale, kernel.quantization.zero, kernel.quantization.group]
    assert keys == [f"layers/dense/vars/{number}" for number in (2, 3, 4)]
    assert (kernel.fan_in, kernel.fan_out, kernel.output_axes) == (8, 9, (0,))
    assert kernel.constraint == Declared("MaxNorm", {"max_value": 2.0, "axis": [1]})
    assert kernel.is_floating
    assert not kernel.trainable
    assert tensors["fc/kernel_zero"].role is Role.QUANTIZATION


def test_awq_has_a_factor_for_each_input() -> None:
    """AWQ's factors are one more tensor that decodes the kernel."""
    stored = {**GPTQ, "layers/dense/vars/4": (8,), "layers/dense/vars/5": (8,)}
    kernel = by_name(keras3(stored, dense("awq/4/4")))["fc/kernel"]
    assert kernel.quantization is not None
    assert (kernel.quantization.inputs, kernel.quantization.group) == (
        "layers/dense/vars/4",
        "layers/dense/vars/5",
    )


def test_lost_zero_points_are_a_defect() -> None:
    """Without zero points, as Keras 3.14 and 3.15 save GPTQ, a kernel stands for nothing, which is told."""
    stored = {**dict(list(GPTQ.items())[:3]), "layers/dense/vars/3": (8,)}
    found = result(keras3(stored, dense("gptq/4/4")))
    (defect,) = found.defects
    assert (defect.flaw, defect.tensor) == (Flaw.MISSING_TENSOR, "fc/kernel_zero")
    assert "save it before it is quantized" in defect.message
    kernel = next(info for info, _ in found.tensors if info.name == "fc/kernel")
    assert (kernel.quantization, kernel.is_floating) == (None, False)


def test_lost_zero_points_of_weights_alone_are_a_note() -> None:
    """Where no configuration tells that it is GPTQ, the same is a remark, not a defect."""
    stored = {"layers/dense/vars/0@uint8": (5, 8), "layers/dense/vars/1": (9, 2), "layers/dense/vars/2": (8,)}
    found = result(keras3(stored))
    assert found.defects == ()
    assert len(found.notes) == 1
    assert {info.evidence for info, _ in found.tensors} == {Evidence.GUESS}


@pytest.mark.parametrize(
    ("kernel", "scale", "axis", "fan_in"),
    [((4, 8), (8,), 0, 8), ((8, 4), (8,), -1, 8), ((8, 5), (9,), -1, 8), ((7, 1), (1,), -1, 7)],
)
def test_where_int4_is_packed(
    kernel: tuple[int, ...], scale: tuple[int, ...], axis: int, fan_in: int
) -> None:
    """Keras before 3.14 packed rows, later versions columns: the width of the scale tells which."""
    stored = {"layers/dense/vars/0@int8": kernel, "layers/dense/vars/1": scale}
    found = by_name(keras3(stored, dense("int4", use_bias=False)))["fc/kernel"]
    assert found.quantization == Quantization("int4", "layers/dense/vars/1", packed_axis=axis)
    assert found.fan_in == fan_in


def test_an_embedding_and_its_output_matrix() -> None:
    """Both matrices of an untied ReversibleEmbedding know their scales; the second is a kernel's kind."""
    stored = {
        "layers/reversible_embedding/vars/0@int8": (11, 4),
        "layers/reversible_embedding/vars/1": (11, 3),
        "layers/reversible_embedding/vars/2@int8": (11, 3),
        "layers/reversible_embedding/vars/3": (8,),
        "layers/reversible_embedding/vars/4@int8": (4, 11),
        "layers/reversible_embedding/vars/5": (3, 11),
        "layers/reversible_embedding/vars/6": (3, 11),
    }
    config = functional(layer("ReversibleEmbedding", "words", tie_weights=False, dtype=policy("int4/3")))
    found = by_name(keras3(stored, config))
    path = "layers/reversible_embedding/vars"
    assert found["words/embeddings"].quantization == Quantization(
        "int4", f"{path}/1", f"{path}/2", f"{path}/3"
    )
    reverse = found["words/reverse_embeddings"]
    assert reverse.quantization == Quantization("int4", f"{path}/5", f"{path}/6", f"{path}/3", packed_axis=0)
    assert reverse.output_axes == (1,)


def test_names_tell_gptq_in_files_of_whole_models() -> None:
    """An HDF5 file keeps the names of variables; EinsumDense calls its zero points in its own way."""
    weights = {
        ("fc", f"fc/{name}"): shape
        for name, shape in {
            "kernel": (5, 8),
            "kernel_scale": (9, 2),
            "zero_point": (9, 2),
            "g_idx": (8,),
        }.items()
    }
    catalog = legacy(
        weights, functional(layer("EinsumDense", "fc", equation="abc,cd->abd", dtype=policy("gptq/4/4")))
    )
    entries = tuple(
        entry if "scale" in entry.key or "g_idx" in entry.key else replace(entry, dtype="uint8")
        for entry in catalog.entries
    )
    found = by_name(replace(catalog, entries=entries))
    assert found["fc/zero_point"].role is Role.QUANTIZATION
    kernel = found["fc/kernel"]
    assert kernel.quantization is not None
    assert kernel.quantization.zero == "fc/fc/zero_point"
