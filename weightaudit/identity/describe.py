"""Everything that is known about one tensor, put together."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from weightaudit.catalog import Entry
from weightaudit.identity.config import Layer, policy_of
from weightaudit.identity.declared import declarations
from weightaudit.identity.fans import NO_FANS, Fans, fans
from weightaudit.identity.layers import NEVER_TRAINED, role_of
from weightaudit.tensor import BOOKKEEPING_ROLES, MATRIX_ROLES, Declared, Evidence, Role, TensorInfo

Described = tuple[TensorInfo, Entry]

_NO_LAYER = Layer("", "")
_ADAPTED = frozenset(["kernel", "embeddings"])


class Nature(NamedTuple):
    """What is the same for all tensors of a kind.

    Attributes:
        geometry: Fans, output axes and gates.
        is_named_by_layer: Whether what stands before the last slash of a name is the path of a layer.

    All others are those of `TensorInfo`.
    """

    role: Role = Role.UNKNOWN
    evidence: Evidence = Evidence.UNKNOWN
    layer_class: str = ""
    trainable: bool | None = None
    geometry: Fans = NO_FANS
    constraint: Declared | None = None
    regularizer: Declared | None = None
    initializer: Declared | None = None
    policy: str = ""
    is_named_by_layer: bool = True


def tensor(entry: Entry, name: str, nature: Nature) -> Described:
    """Describe a tensor of a name and a nature."""
    (role, evidence, layer_class, trainable, geometry,
     constraint, regularizer, initializer, policy, by_layer) = nature  # fmt: skip
    info = TensorInfo(
        name=name,
        key=entry.key,
        shape=entry.shape,
        dtype=entry.dtype,
        role=role,
        evidence=evidence,
        layer=name.rpartition("/")[0] if by_layer else "",
        layer_class=layer_class,
        trainable=trainable,
        fan_in=geometry.fan_in,
        fan_out=geometry.fan_out,
        output_axes=geometry.output_axes,
        gates=geometry.gates,
        constraint=constraint,
        regularizer=regularizer,
        initializer=initializer,
        policy=policy,
    )
    return info, entry


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
    return tensor(entry, name, nature_of(entry.shape, variable, layer, evidence, role))


def nature_of(
    shape: tuple[int, ...], variable: str, layer: Layer | None, evidence: Evidence, role: Role | None = None
) -> Nature:
    """Return the nature of a variable of a layer; the arguments are those of `describe`."""
    known = layer or _NO_LAYER
    role = role or role_of(variable, known.layer_class)
    if role in MATRIX_ROLES and len(shape) < 2 and not known.layer_class:
        # A "weight" of one axis, of a layer that nobody knows, multiplies no matrix.
        role = Role.UNKNOWN
    constraint, regularizer, initializer = (
        declarations(known.config, known.layer_class, variable)
        if known.builtin and variable
        else (None, None, None)
    )
    return Nature(
        role,
        Evidence.UNKNOWN if role is Role.UNKNOWN else evidence,
        known.layer_class,
        _trainable(role, variable, layer if evidence is Evidence.CONFIG else None),
        fans(known.layer_class, variable, role, shape, known.config),
        constraint,
        regularizer,
        initializer,
        policy_of(known.config) if known.config else "",
    )


def bookkeeping(entry: Entry, name: str, role: Role, evidence: Evidence = Evidence.NAME) -> Described:
    """Describe a tensor that inference never reads, such as an optimizer slot or a metric."""
    return tensor(entry, name, bookkeeping_nature(role, evidence))


@cache
def bookkeeping_nature(role: Role, evidence: Evidence = Evidence.NAME) -> Nature:
    """Return the nature of tensors that inference never reads."""
    return Nature(role, evidence, trainable=False, is_named_by_layer=False)


def unknown(entry: Entry, name: str, layer_class: str = "") -> Described:
    """Describe a tensor of which only the name is known."""
    return tensor(entry, name, Nature(layer_class=layer_class))


def _trainable(role: Role, variable: str, layer: Layer | None) -> bool | None:
    if role in NEVER_TRAINED or role in BOOKKEEPING_ROLES:
        return False
    if layer is not None and variable in _ADAPTED and layer.config.get("lora_rank"):
        # Low-rank adapters are trained in place of the weights that they are added to.
        return False
    return layer.trainable if layer is not None else None
