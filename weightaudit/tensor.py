"""What one tensor of a saved model is: its name, its storage type, and what it is for."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from math import prod
from typing import TYPE_CHECKING, Any

from weightaudit.dtypes import itemsize, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Role(StrEnum):
    """What a tensor does in its layer. Rules choose the tensors they judge by it."""

    KERNEL = "kernel"
    RECURRENT_KERNEL = "recurrent_kernel"
    BIAS = "bias"
    EMBEDDING = "embedding"
    NORM_SCALE = "norm_scale"
    NORM_OFFSET = "norm_offset"
    MOVING_MEAN = "moving_mean"
    MOVING_VARIANCE = "moving_variance"
    ACTIVATION_SLOPE = "activation_slope"
    QUANTIZATION = "quantization"
    OPTIMIZER_SLOT = "optimizer_slot"
    HYPERPARAMETER = "hyperparameter"
    METRIC = "metric"
    COUNTER = "counter"
    SEED = "seed"
    STATE = "state"
    CONSTANT = "constant"
    UNKNOWN = "unknown"


MATRIX_ROLES = frozenset({Role.KERNEL, Role.RECURRENT_KERNEL, Role.EMBEDDING})
"""Roles whose tensors are multiplied with activations: scale, sparsity and dead channels matter there."""

BOOKKEEPING_ROLES = frozenset(
    {Role.OPTIMIZER_SLOT, Role.HYPERPARAMETER, Role.METRIC, Role.COUNTER, Role.SEED, Role.STATE}
)
"""Roles that inference never reads. They are measured, but most rules leave them alone."""


class Evidence(StrEnum):
    """How the role and the layer class of a tensor are known."""

    CONFIG = "config"
    """The saved model's own configuration says so."""
    NAME = "name"
    """The framework wrote a name that says so, as ``dense/kernel:0``."""
    GUESS = "guess"
    """Inferred from shapes or from an automatic layer name; it may be wrong."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Declared:
    """An object that a layer's configuration declares for one of its tensors, such as a constraint.

    Attributes:
        name: Class name, for instance ``MaxNorm`` or ``GlorotUniform``.
        config: Its constructor arguments, as stored.
        builtin: Whether Keras itself defines the class. What a custom class does cannot be known.
    """

    name: str
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    builtin: bool = True


@dataclass(frozen=True, slots=True)
class Quantization:
    """How the stored integers of a tensor become the weights that the layer computes with.

    Attributes:
        mode: ``int8`` (weight = stored / scale), ``int4`` (weight = (stored - zero) * scale, or
            stored / scale where there is no zero point; two weights in a byte, low nibble first),
            ``gptq`` (weight = (stored - zero) * scale, of 2, 3 or 8 bits, or two of 4 bits in a byte;
            the kernel is stored transposed) or ``awq`` (as 4-bit ``gptq``, then divided by `inputs`).
        scale: Key of the scale tensor in the same checkpoint: one per output channel (for an
            EinsumDense in int8 with axes of size 1 for the contracted ones), per row of an
            embedding, or per group and output channel where `group` is given.
        zero: Key of the zero-point tensor, if there is one.
        group: Key of the tensor that maps the inputs of a kernel, or the columns of an embedding,
            to quantization groups, if there is one.
        inputs: Key of the tensor with a factor per input that the weights were multiplied with.
        packed_axis: Axis along which neighbouring weights share a byte, if they do: 0 or -1.
    """

    mode: str
    scale: str
    zero: str | None = None
    group: str | None = None
    inputs: str | None = None
    packed_axis: int = -1


def axes_besides(rank: int, axes: Iterable[int]) -> tuple[int, ...]:
    """Return the axes of a tensor that are not among some, which may be counted from the last as well."""
    others = {axis % rank for axis in axes} if rank else set[int]()
    return tuple(axis for axis in range(rank) if axis not in others)


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorInfo:
    """What is known about one tensor before a single byte of it is read.

    Attributes:
        name: The name a user of the framework knows, such as ``encoder/dense_1/kernel``.
        key: The name the container uses, such as ``layers/dense/vars/0``.
        shape: Stored shape; ``()`` for a scalar.
        dtype: Storage type: ``float32``, ``bfloat16``, ``int8``, ``string``, ...
        role: What the tensor does in its layer.
        evidence: How `role` and `layer_class` are known. Only CONFIG and NAME are certain.
        layer: Path of the layer, such as ``encoder/dense_1``; empty if the tensor belongs to none.
        layer_class: Keras class of the layer, such as ``Conv2D``; empty if not known.
        trainable: Whether an optimizer would change it; None if not known.
        fan_in: Number of inputs that one output unit sums over; None where the notion does not apply.
        fan_out: Number of output units times receptive field; None where the notion does not apply.
        output_axes: Axes of `shape` that number the output channels; empty where there are none.
        gates: How many gate matrices lie side by side on the last axis (LSTM 4, GRU 3, else 1).
        constraint: The constraint that the model declares for this tensor.
        regularizer: The regularizer that the model declares for this tensor.
        initializer: The initializer that the model declares for this tensor.
        policy: Name of the layer's dtype policy, such as ``float32``, ``mixed_float16`` or
            ``int8_from_float32``; empty if not known. It tells in which type the layer computes.
        quantization: How to turn stored integers into weights, for quantized layers.
    """

    name: str
    key: str
    shape: tuple[int, ...]
    dtype: str
    role: Role = Role.UNKNOWN
    evidence: Evidence = Evidence.UNKNOWN
    layer: str = ""
    layer_class: str = ""
    trainable: bool | None = None
    fan_in: int | None = None
    fan_out: int | None = None
    output_axes: tuple[int, ...] = ()
    gates: int = 1
    constraint: Declared | None = None
    regularizer: Declared | None = None
    initializer: Declared | None = None
    policy: str = ""
    quantization: Quantization | None = None

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the elements in memory; 0 for types without numbers, such as strings."""
        return self.size * itemsize(self.dtype)

    @property
    def summed_axes(self) -> tuple[int, ...]:
        """Axes of `shape` that do not number output channels: what lies along them makes up one channel."""
        return axes_besides(len(self.shape), self.output_axes)

    @property
    def is_numeric(self) -> bool:
        """Whether the tensor holds numbers. Strings, resources and variants are listed, not measured."""
        return kind_of(self.dtype) != "opaque"

    @property
    def is_floating(self) -> bool:
        """Whether the values are floating point, real or complex, or become so by dequantization."""
        return kind_of(self.dtype) in {"float", "complex"} or self.quantization is not None

    @property
    def is_certain(self) -> bool:
        """Whether role and layer class are known rather than guessed."""
        return self.evidence in {Evidence.CONFIG, Evidence.NAME}

    @property
    def is_bookkeeping(self) -> bool:
        """Whether inference never reads this tensor (optimizer slots, metrics, counters, seeds, states)."""
        return self.role in BOOKKEEPING_ROLES
