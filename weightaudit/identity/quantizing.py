"""Which integers of a layer are weights, and which of its tensors turn them into numbers.

Layouts after Keras 3.11 to 3.15 (``quantized_build`` of Dense, EinsumDense, Embedding and
ReversibleEmbedding).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from weightaudit.catalog import Defect, Flaw
from weightaudit.identity.config import as_list
from weightaudit.identity.layers import ZERO_POINTS
from weightaudit.tensor import Declared, Evidence, Quantization, Role, TensorInfo

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from weightaudit.identity.describe import Described

_STORED_AS = {"int8": "int8", "int4": "int8", "gptq": "uint8", "awq": "uint8"}
"""The type of the integers, by the modes that can be undone."""
_TRANSPOSED = frozenset(["gptq", "awq"])
_UNCLEAR = "int8 or int4"
_WEIGHTS = ("kernel", "embeddings", "reverse_embeddings")


def quantize(described: Iterable[Described], mode: str) -> list[Described]:
    """Tell the integer weights of one quantized layer which of its tensors dequantize them.

    Args:
        described: All tensors of the layer.
        mode: ``int8``, ``int4``, ``float8``, ``gptq``, ``awq`` or empty. Weights of float8 are stored
            as floating point numbers.
    """
    tensors = list(described)
    if mode:
        grouped = any(info.name.endswith("/g_idx") for info, _ in tensors)
        tensors = [(_with_mode(info, mode, grouped=grouped), entry) for info, entry in tensors]
    if mode not in _STORED_AS:
        return tensors
    by_variable = {info.name.rpartition("/")[2]: info for info, _ in tensors}
    return [(_quantized(info, by_variable, mode), entry) for info, entry in tensors]


def quantize_layers(described: Iterable[Described]) -> list[Described]:
    """Connect integer weights with their scales, in every layer whose tensors show a quantization."""
    by_layer: dict[str, list[Described]] = {}
    for each in described:
        by_layer.setdefault(each[0].layer, []).append(each)
    quantized = {
        layer: _mode_shown(members)
        for layer, members in by_layer.items()
        if any(info.role is Role.QUANTIZATION for info, _ in members)
    }
    usual = usual_mode(quantized.values())
    connected: list[Described] = []
    for layer, members in by_layer.items():
        mode = quantized.get(layer)
        connected += members if mode is None else quantize(members, usual if mode == _UNCLEAR else mode)
    return connected


def usual_mode(modes: Iterable[str]) -> str:
    """Return the mode of layers whose tensors leave open whether they are int8 or int4, by other layers.

    ``model.quantize()`` treats all layers alike, and Keras before 3.14 stored int4 in the shapes of int8.
    """
    return "int4" if {mode for mode in modes if mode and mode != _UNCLEAR} == {"int4"} else "int8"


def unclear(described: Iterable[Described]) -> list[str]:
    """Return a note where nothing but shapes tells that weights are int8."""
    taken = [
        info.name
        for info, _ in described
        if info.quantization and info.quantization.mode == "int8" and "_from_" not in info.policy
    ]
    note = (
        "Nothing in the file tells how {} is quantized. It is taken for int8, as which int4 of Keras 3.11 to "
        "3.13 looks, too: give the configuration of the model (--config)."
    )
    return [note.format(taken[0])] if taken else []


def without_zero_points(described: Iterable[Described]) -> tuple[list[Defect], list[str]]:
    """Return what to tell of integer weights that stand for nothing, because zero points are lost.

    Returns:
        A defect if a configuration tells of them, and a note if they are only guessed.
    """
    lost = [
        info
        for info, _ in described
        if info.dtype == "uint8" and info.role is Role.KERNEL and info.quantization is None
    ]
    if not lost:
        return [], []
    others = f" and of {len(lost) - 1} more kernels" if len(lost) > 1 else ""
    message = (
        f"The zero points of {lost[0].name}{others} are not in the file, so neither Keras nor an audit can "
        "tell their weights; Keras 3.14 and 3.15 leave them out of GPTQ and AWQ models: save it before "
        "it is quantized."
    )
    certain = next((info for info in lost if info.evidence is Evidence.CONFIG), None)
    if certain is None:
        return [], [message]
    return [Defect(Flaw.MISSING_TENSOR, message, f"{certain.layer}/kernel_zero")], []


def _mode_shown(members: Iterable[Described]) -> str:
    """Return the mode that policies, names and shapes tell, `_UNCLEAR` for int8 or int4."""
    stored = {info.name.rpartition("/")[2]: info for info, _ in members}
    if "kernel_amax_history" in stored:
        return "float8"
    for info in stored.values():
        declared, found, _ = info.policy.partition("_from_")
        if found and declared.partition("/")[0] in _STORED_AS:
            return declared.partition("/")[0]
    for variable in ("kernel", "embeddings"):
        weights, scale = stored.get(variable), stored.get(f"{variable}_scale")
        if weights is None or scale is None:
            continue
        if weights.dtype == "uint8":
            return "awq" if "awq_scales" in stored else "gptq"
        if weights.dtype == "int8":
            # A scale as wide as its kernel is one of int8, or of int4 where rows are packed; embeddings have
            # one per row either way.
            whole = variable == "embeddings" or scale.shape[-1:] == weights.shape[-1:]
            return _UNCLEAR if whole and "g_idx" not in stored else "int4"
    return ""


def _with_mode(info: TensorInfo, mode: str, *, grouped: bool) -> TensorInfo:
    """Name the policy that a layer has whose quantization shows in its tensors, but not in its config."""
    if not info.policy or "_from_" in info.policy:
        return info
    # The policy of grouped weights also tells how large the groups should be.
    return replace(info, policy="" if grouped else f"{mode}_from_{info.policy}")


def _quantized(info: TensorInfo, layer: Mapping[str, TensorInfo], mode: str) -> TensorInfo:
    """Return one tensor of a quantized layer with what follows from its other tensors."""
    if info.role is Role.QUANTIZATION:
        return replace(info, trainable=False)
    variable = info.name.rpartition("/")[2]
    scale = layer.get(f"{variable}_scale")
    if variable not in _WEIGHTS or info.dtype != _STORED_AS[mode]:
        return info
    zero = next((layer[one] for one in (f"{variable}_zero", *ZERO_POINTS) if one in layer), None)
    if scale is None or (mode in _TRANSPOSED and zero is None):
        return replace(info, trainable=False)
    group, inputs = layer.get("g_idx"), layer.get("awq_scales")
    quantization = Quantization(
        mode,
        scale.key,
        zero.key if zero else None,
        group.key if group and zero else None,
        inputs=inputs.key if inputs else None,
        packed_axis=_packed_axis(variable, info, scale, mode),
    )
    known = replace(info, trainable=False, quantization=quantization)
    return _laid_out(known, scale, mode) if variable == "kernel" else known


def _packed_axis(variable: str, info: TensorInfo, scale: TensorInfo, mode: str) -> int:
    """Return along which axis two weights share a byte; it does not matter where none do.

    Keras before 3.14 packed int4 kernels along their first axis: their scales are as wide as they are.
    """
    if mode != "int4" or variable == "embeddings":
        return 0 if mode in _TRANSPOSED else -1
    is_old = scale.shape[-1:] == info.shape[-1:] and info.shape[-1:] != (1,)
    return 0 if variable == "reverse_embeddings" or is_old else -1


def _laid_out(info: TensorInfo, scale: TensorInfo, mode: str) -> TensorInfo:
    """Correct what depends on how a kernel is laid out: packed, flattened to a matrix, or turned around."""
    if mode in _TRANSPOSED:
        fans = (info.shape[-1], scale.shape[0]) if len(info.shape) == 2 and scale.shape else (None, None)
        turned = _turned(info.constraint) if info.layer_class == "Dense" else _without_axis(info.constraint)
        return replace(info, fan_in=fans[0], fan_out=fans[1], output_axes=(0,), constraint=turned)
    if mode == "int8":
        return info
    if info.quantization is not None and info.quantization.packed_axis == 0:
        return replace(info, fan_in=None if info.fan_in is None else 2 * info.fan_in)
    if len(info.shape) != 2 or not scale.shape:
        return info
    kept = info.constraint if info.layer_class == "Dense" else _without_axis(info.constraint)
    return replace(info, fan_in=info.shape[0], fan_out=scale.shape[-1], output_axes=(1,), constraint=kept)


def _turned(constraint: Declared | None) -> Declared | None:
    """Return a constraint on a matrix as one on its transpose."""
    if constraint is None or constraint.name not in {"MaxNorm", "MinMaxNorm", "UnitNorm"}:
        return _without_axis(constraint)
    stored = constraint.config.get("axis", 0)
    axes = as_list(stored) or [stored]
    if not all(type(axis) is int and -2 <= axis < 2 for axis in axes):
        return None
    turned = [1 - axis % 2 for axis in axes]
    return replace(constraint, config={**constraint.config, "axis": turned})


def _without_axis(constraint: Declared | None) -> Declared | None:
    """Return a constraint that means the same in every layout, None for any other."""
    return constraint if constraint is not None and constraint.name == "NonNeg" else None
