"""How many inputs an output sums over, which axes number the outputs, and how gates are laid out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING, Any

from weightaudit.identity.config import as_list, as_text
from weightaudit.identity.layers import GATES
from weightaudit.tensor import MATRIX_ROLES, Role

if TYPE_CHECKING:
    from collections.abc import Mapping

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Fans:
    """Geometry of a weight tensor; the attributes are those of `TensorInfo`."""

    fan_in: int | None = None
    fan_out: int | None = None
    output_axes: tuple[int, ...] = ()
    gates: int = 1


NO_FANS = Fans()
"""The geometry of what has none."""
_WITH_GATES = MATRIX_ROLES | {Role.BIAS}


def fans(layer_class: str, variable: str, role: Role, shape: Shape, config: Mapping[str, Any]) -> Fans:
    """Return the geometry of a weight tensor as signal propagation sees it.

    It differs from ``keras.initializers.compute_fans``, which takes every tensor for a convolution
    kernel of its rank: strides divide the fan-in of a transposed convolution, attention kernels
    are contracted over other axes, and a gate is one output of several.

    Args:
        layer_class: Canonical class, empty if not known; then the axes are read as (..., in, out).
        variable: Name of the variable in its layer, such as ``kernel``.
        role: Its role; only kernels and embeddings have a geometry, biases at most gates.
        shape: Shape of the kernel that the layer computes with.
        config: Constructor arguments of the layer, as far as known.
    """
    if config:
        return _fans(layer_class, variable, role, shape, config)
    return _usual_fans(layer_class, variable, role, shape)


@lru_cache(maxsize=4096)
def _usual_fans(layer_class: str, variable: str, role: Role, shape: Shape) -> Fans:
    """Return the geometry where no configuration tells; models have few shapes, and many tensors of each."""
    return _fans(layer_class, variable, role, shape, {})


def _fans(layer_class: str, variable: str, role: Role, shape: Shape, config: Mapping[str, Any]) -> Fans:
    gates = GATES.get(layer_class, 1) if role in _WITH_GATES else 1
    if gates > 1 and (not shape or shape[-1] % gates):
        gates = 1
    if role is Role.EMBEDDING and len(shape) == 2:
        # The second matrix of a ReversibleEmbedding is multiplied with, as a kernel is.
        return Fans(*shape, (1,)) if variable == "reverse_embeddings" else Fans(output_axes=(0,))
    if role not in {Role.KERNEL, Role.RECURRENT_KERNEL} or len(shape) < 2:
        return NO_FANS if gates == 1 else Fans(gates=gates)
    ordering = config.get("dim_ordering")
    if len(shape) > 2 and ordering not in {None, "tf", "default"}:
        return _keras1(shape, as_text(ordering))
    last = len(shape) - 1
    if layer_class == "EinsumDense":
        return _einsum(as_text(config.get("equation")), shape)
    if layer_class.endswith("Transpose"):
        return _transposed(shape, config.get("strides"))
    if variable == "depthwise_kernel" or layer_class.startswith("DepthwiseConv"):
        field = prod(shape[:-2])
        return Fans(field, field * shape[-1], (last - 1, last))
    if layer_class.startswith("LocallyConnected"):
        return Fans(shape[-2], shape[-1], (last,)) if last == 2 else NO_FANS
    field = prod(shape[:-2])
    return Fans(field * shape[-2], field * shape[-1] // gates, (last,), gates)


def _keras1(shape: Shape, ordering: str) -> Fans:
    """Keras 1 kept kernels as (out, in, rows, columns) where ``dim_ordering`` is ``th``."""
    if ordering != "th":
        return NO_FANS
    return Fans(prod(shape[1:]), shape[0] * prod(shape[2:]), (0,))


def _transposed(shape: Shape, strides: object) -> Fans:
    listed = as_list([strides] if isinstance(strides, int) else strides)
    steps = [step for step in listed if isinstance(step, int) and step > 0]
    field = prod(shape[:-2])
    return Fans(max(1, field * shape[-1] // prod(steps)), field * shape[-2], (len(shape) - 2,))


def _einsum(equation: str, shape: Shape) -> Fans:
    """Read axes from an equation such as ``abc,cde->abde``: what is not in the output is summed over."""
    inputs, _, result = equation.replace(" ", "").replace("...", "").partition("->")
    data, _, weights = inputs.partition(",")
    if len(shape) == 2 and len(weights) != 2:
        # int4 kernels are stored flattened: contracted axes first, all others last.
        return Fans(shape[0], shape[1], (1,))
    if len(weights) != len(shape) or not data:
        return NO_FANS
    summed = [size for letter, size in zip(weights, shape, strict=True) if letter not in result]
    outputs = tuple(i for i, letter in enumerate(weights) if letter in result and letter not in data)
    return Fans(prod(summed), prod(shape[axis] for axis in outputs), outputs)
