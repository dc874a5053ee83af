"""Everything that is known about one tensor, put together."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from weightaudit.catalog import Entry, Json
from weightaudit.identity.config import Layer, as_mapping, as_text
from weightaudit.identity.declared import declarations
from weightaudit.identity.fans import fans
from weightaudit.identity.layers import NEVER_TRAINED, role_of
from weightaudit.tensor import BOOKKEEPING_ROLES, Evidence, Quantization, Role, TensorInfo

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Described = tuple[TensorInfo, Entry]

_NO_LAYER = Layer("", "")


def describe(
    entry: Entry,
    name: str,
    variable: str,
    layer: Layer | None,
    evidence: Evidence,
    *,
    role: Role | None = None,
) -> Described:
    """Describe a variable of a layer.

    Args:
        entry: The stored tensor.
        name: Canonical name; what stands before its last slash is the layer's path.
        variable: Today's name of the variable, such as ``kernel``; it selects what the config declares.
        layer: The layer as configured, or as guessed; None if nothing is known of it.
        evidence: How the layer and the variable are known. It becomes UNKNOWN if the role is.
        role: The role, if the name of the variable and the class of the layer do not tell it.
    """
    known = layer or _NO_LAYER
    role = role or role_of(variable, known.layer_class)
    shape = entry.shape
    geometry = fans(known.layer_class, variable, role, shape, known.config)
    constraint, regularizer, initializer = (
        declarations(known.config, known.layer_class, variable)
        if known.builtin and variable
        else (None, None, None)
    )
    info = TensorInfo(
        name=name,
        key=entry.key,
        shape=shape,
        dtype=entry.dtype,
        role=role,
        evidence=Evidence.UNKNOWN if role is Role.UNKNOWN else evidence,
        layer=name.rpartition("/")[0],
        layer_class=known.layer_class,
        trainable=_trainable(role, layer if evidence is Evidence.CONFIG else None),
        fan_in=geometry.fan_in,
        fan_out=geometry.fan_out,
        output_axes=geometry.output_axes,
        gates=geometry.gates,
        constraint=constraint,
        regularizer=regularizer,
        initializer=initializer,
    )
    return info, entry


def bookkeeping(entry: Entry, name: str, role: Role, evidence: Evidence = Evidence.NAME) -> Described:
    """Describe a tensor that inference never reads, such as an optimizer slot or a metric."""
    info = TensorInfo(
        name=name, key=entry.key, shape=entry.shape, dtype=entry.dtype,
        role=role, evidence=evidence, trainable=False,
    )  # fmt: skip
    return info, entry


def unknown(entry: Entry, name: str, layer_class: str = "") -> Described:
    """Describe a tensor of which only the name is known."""
    info = TensorInfo(
        name=name, key=entry.key, shape=entry.shape, dtype=entry.dtype,
        layer=name.rpartition("/")[0], layer_class=layer_class,
    )  # fmt: skip
    return info, entry


def quantize(described: Iterable[Described], mode: str) -> list[Described]:
    """Tell the integer weights of one quantized layer which of its tensors dequantize them.

    Args:
        described: All tensors of the layer.
        mode: ``int8`` or ``int4``; with any other nothing is changed.
    """
    tensors = list(described)
    if mode not in {"int8", "int4"}:
        return tensors
    by_variable = {info.name.rpartition("/")[2]: entry.key for info, entry in tensors}
    return [(_quantized(info, by_variable, mode), entry) for info, entry in tensors]


def quantize_layers(described: Iterable[Described]) -> list[Described]:
    """Connect integer weights with their scales, in every layer whose tensors show a quantization."""
    by_layer: dict[str, list[Described]] = {}
    for each in described:
        by_layer.setdefault(each[0].layer, []).append(each)
    return [each for members in by_layer.values() for each in quantize(members, _mode_shown(members))]


def _mode_shown(members: Iterable[Described]) -> str:
    """Return the mode that shapes tell: int4 packs two weights of the last axis in a byte."""
    stored = {info.name.rpartition("/")[2]: info for info, _ in members}
    for variable in ("kernel", "embeddings"):
        weights, scale = stored.get(variable), stored.get(f"{variable}_scale")
        if weights is None or scale is None or weights.dtype != "int8":
            continue
        # The scale of an int8 kernel is as wide as the kernel; an embedding has one per row either way.
        whole = variable == "embeddings" or scale.shape[-1:] == weights.shape[-1:]
        return "int8" if whole and "g_idx" not in stored else "int4"
    return ""


def _quantized(info: TensorInfo, keys: Mapping[str, str], mode: str) -> TensorInfo:
    variable = info.name.rpartition("/")[2]
    scale = keys.get(f"{variable}_scale")
    if info.role is Role.QUANTIZATION:
        return replace(info, trainable=False)
    if info.dtype != "int8" or scale is None:
        return info
    found = Quantization(mode, scale, keys.get(f"{variable}_zero"), keys.get("g_idx"))
    return replace(info, trainable=False, quantization=found)


def _trainable(role: Role, layer: Layer | None) -> bool | None:
    if role in NEVER_TRAINED or role in BOOKKEEPING_ROLES:
        return False
    return layer.trainable if layer is not None else None


def optimizer_class(value: Json) -> str:
    """Return the class of an optimizer from its serialized form: a string, or an object that may nest it."""
    name = as_text(value) or as_text(as_mapping(value).get("class_name"))
    config = as_mapping(as_mapping(value).get("config"))
    inner = as_mapping(config.get("inner_optimizer") or config.get("optimizer"))
    return as_text(inner.get("class_name")) or name
