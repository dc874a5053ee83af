"""What is known about the layer classes of Keras: their variables in stored order, and what each is for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Any

from weightaudit.identity.classes import COMPOSITE, WITHOUT_WEIGHTS
from weightaudit.tensor import Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RECURRENT_CELLS = {
    "LSTM": "LSTMCell",
    "GRU": "GRUCell",
    "SimpleRNN": "SimpleRNNCell",
    "ConvLSTM1D": "ConvLSTMCell",
    "ConvLSTM2D": "ConvLSTMCell",
    "ConvLSTM3D": "ConvLSTMCell",
}
"""Layers whose variables belong to a cell, and the class of that cell."""

GATES = {
    "LSTM": 4,
    "LSTMCell": 4,
    "ConvLSTMCell": 4,
    "GRU": 3,
    "GRUCell": 3,
    "CuDNNLSTM": 4,
    "CuDNNGRU": 3,
} | {f"ConvLSTM{rank}D": 4 for rank in (1, 2, 3)}
"""How many gate matrices lie side by side on the last axis of a recurrent layer's tensors."""


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable that a layer has always (`option` empty), or if an option of its config is true."""

    name: str
    option: str = ""
    default: bool = True


_BIAS = Variable("bias", "use_bias")
_AFFINE = (Variable("gamma", "scale"), Variable("beta", "center"))
_KERNEL = (Variable("kernel"), _BIAS)
_RECURRENT = (Variable("kernel"), Variable("recurrent_kernel"), _BIAS)
_BATCH_NORMALIZATION = (
    *_AFFINE,
    Variable("moving_mean"),
    Variable("moving_variance"),
    *(Variable(name, "renorm", default=False) for name in ("moving_stddev", "renorm_mean", "renorm_stddev")),
)

# The order is that of save_own_variables: trainable variables first, each kind in order of creation.
_LAYERS: dict[str, tuple[Variable, ...]] = {
    "Dense": _KERNEL,
    "EinsumDense": (Variable("kernel"), Variable("bias", "bias_axes", default=False)),
    "Embedding": (Variable("embeddings"),),
    "ReversibleEmbedding": (
        Variable("embeddings"),
        Variable("reverse_embeddings", "untied_weights", default=False),
    ),
    "BatchNormalization": _BATCH_NORMALIZATION,
    "SyncBatchNormalization": _BATCH_NORMALIZATION,
    "LayerNormalization": _AFFINE,
    "GroupNormalization": _AFFINE,
    "RMSNormalization": (Variable("scale"),),
    "Normalization": tuple(Variable(name, "adapted_state") for name in ("mean", "variance", "count")),
    "PReLU": (Variable("alpha"),),
    "AdditiveAttention": (Variable("scale", "use_scale"),),
    "Attention": (
        Variable("scale", "use_scale", default=False),
        Variable("concat_score_weight", "concat_score", default=False),
    ),
    "SpectralNormalization": (Variable("kernel"), Variable("vector_u")),
    "STFTSpectrogram": (Variable("real_kernel"), Variable("imag_kernel")),
    "CuDNNLSTM": (Variable("kernel"), Variable("recurrent_kernel"), Variable("bias")),
    "CuDNNGRU": (Variable("kernel"), Variable("recurrent_kernel"), Variable("bias")),
    **dict.fromkeys(["LSTMCell", "GRUCell", "SimpleRNNCell", "ConvLSTMCell"], _RECURRENT),
    **{f"Conv{rank}D{kind}": _KERNEL for rank, kind in product((1, 2, 3), ("", "Transpose"))},
    **{f"DepthwiseConv{rank}D": _KERNEL for rank in (1, 2)},
    **{f"LocallyConnected{rank}D": _KERNEL for rank in (1, 2)},
    **{
        f"SeparableConv{rank}D": (Variable("depthwise_kernel"), Variable("pointwise_kernel"), _BIAS)
        for rank in (1, 2)
    },
}

_FLOAT8 = tuple(
    f"{what}_{kind}" for what in ("inputs", "kernel", "outputs_grad") for kind in ("scale", "amax_history")
)
_SEARCHED = ("gptq", "awq")
"""Modes that look for the best integers with sample data; Keras 3.14 and 3.15 lose their zero points."""


def _dense(zero: str) -> dict[str, tuple[str, ...]]:
    return {
        "int8": ("kernel", "bias", "kernel_scale"),
        "int4": ("kernel", "bias", "kernel_scale", "kernel_zero", "g_idx"),
        "float8": ("kernel", "bias", *_FLOAT8),
        "gptq": ("bias", "kernel", "kernel_scale", zero, "g_idx"),
        "awq": ("bias", "kernel", "kernel_scale", zero, "awq_scales", "g_idx"),
    }


_EMBEDDING = {
    "int8": ("embeddings", "embeddings_scale"),
    "int4": ("embeddings", "embeddings_scale", "embeddings_zero", "g_idx"),
}
_REVERSE = ("reverse_embeddings", "reverse_embeddings_scale", "reverse_embeddings_zero")
# keras.src.layers.core: variable_serialization_spec of each class (3.15), with the names of the variables.
_QUANTIZED: dict[str, dict[str, tuple[str, ...]]] = {
    "Dense": _dense("kernel_zero"),
    "EinsumDense": _dense("zero_point"),
    "Embedding": _EMBEDDING,
    "ReversibleEmbedding": {
        "int8": (*_EMBEDDING["int8"], *_REVERSE[:2]),
        "int4": (*_EMBEDDING["int4"], *_REVERSE),
    },
}
MODES = ("", *_QUANTIZED["Dense"])
"""Kinds of quantization, the first for none."""
QUANTIZABLE = frozenset(_QUANTIZED)
"""Classes that Keras can quantize."""
_ONLY_GROUPED = frozenset(["kernel_zero", "embeddings_zero", "reverse_embeddings_zero", "g_idx"])
ZERO_POINTS = frozenset(["kernel_zero", "zero_point"])
"""What the zero points of a kernel are called."""

ROLES: dict[str, Role] = {
    **dict.fromkeys(
        [
            "kernel",
            *(f"{kind}_kernel" for kind in ("depthwise", "pointwise", "real", "imag", "quantized")),
            *(f"lora_{weight}_{side}" for weight in ("kernel", "embeddings") for side in "ab"),
        ],
        Role.KERNEL,
    ),
    "recurrent_kernel": Role.RECURRENT_KERNEL,
    "bias": Role.BIAS,
    "embeddings": Role.EMBEDDING,
    "reverse_embeddings": Role.EMBEDDING,
    "gamma": Role.NORM_SCALE,
    "beta": Role.NORM_OFFSET,
    "moving_mean": Role.MOVING_MEAN,
    "renorm_mean": Role.MOVING_MEAN,
    # Standard deviations, but what must hold for a variance must hold for them: finite, not negative.
    **dict.fromkeys(["moving_variance", "moving_stddev", "renorm_stddev"], Role.MOVING_VARIANCE),
    "alpha": Role.ACTIVATION_SLOPE,
    **dict.fromkeys(["vector_u", "rnn_state"], Role.STATE),
    "seed_generator_state": Role.SEED,
    **dict.fromkeys(
        [*_FLOAT8, *ZERO_POINTS, "awq_scales", *_EMBEDDING["int4"][1:], *_REVERSE[1:]],
        Role.QUANTIZATION,
    ),
}  # fmt: skip
"""Roles that the name of a variable alone tells."""

_CLASS_ROLES: dict[tuple[str, str], Role] = {
    ("Normalization", "mean"): Role.MOVING_MEAN,
    ("Normalization", "variance"): Role.MOVING_VARIANCE,
    ("Normalization", "count"): Role.COUNTER,
    ("RMSNormalization", "scale"): Role.NORM_SCALE,
    ("AdditiveAttention", "scale"): Role.NORM_SCALE,
    ("Attention", "scale"): Role.NORM_SCALE,
    ("Attention", "concat_score_weight"): Role.NORM_SCALE,
}

NEVER_TRAINED = frozenset(
    {Role.MOVING_MEAN, Role.MOVING_VARIANCE, Role.METRIC, Role.COUNTER, Role.SEED, Role.STATE}
)
"""Roles whose tensors no optimizer changes, whatever the config says."""


def is_leaf(layer_class: str) -> bool:
    """Say whether the variables of this class are known."""
    return layer_class in _LAYERS or layer_class in WITHOUT_WEIGHTS


def is_known(layer_class: str) -> bool:
    """Say whether this is a class of Keras itself whose structure is known."""
    return is_leaf(layer_class) or layer_class in COMPOSITE


def role_of(variable: str, layer_class: str = "") -> Role:
    """Return the role of a variable of a layer; UNKNOWN if neither name nor class tells it."""
    return _CLASS_ROLES.get((layer_class, variable)) or ROLES.get(variable, Role.UNKNOWN)


def _has(variable: Variable, config: Mapping[str, Any]) -> bool:
    if not variable.option:
        return True
    if variable.option == "concat_score":
        return config.get("score_mode") == "concat"
    if variable.option == "untied_weights":
        return config.get("tie_weights") is False
    if variable.option == "adapted_state":
        return config.get("mean") is None
    return bool(config.get(variable.option, variable.default))


def variables(layer_class: str, config: Mapping[str, Any], mode: str = "") -> tuple[str, ...] | None:
    """Return the names of a layer's own variables in stored order.

    Args:
        layer_class: Canonical class.
        config: Its constructor arguments; what is absent has Keras' default.
        mode: Quantization mode, empty for none. ``int4`` stands for grouped and per-channel
            quantization; `quantized_variables` tells the two apart.

    Returns:
        The names, or None for a class whose variables are not known.
    """
    if layer_class in WITHOUT_WEIGHTS:
        return ()
    spec = _LAYERS.get(layer_class)
    if spec is None:
        return None
    plain = tuple(variable.name for variable in spec if _has(variable, config))
    if layer_class == "LayerNormalization" and config.get("rms_scaling"):
        return ("gamma",)
    names = _QUANTIZED.get(layer_class, {}).get(mode)
    if names is None:
        return plain
    absent = {"bias", "reverse_embeddings"} - set(plain)
    return tuple(name for name in names if not any(name.startswith(one) for one in absent))


@lru_cache(maxsize=1024)
def may_have(layer_class: str, variable: str) -> bool:
    """Say whether layers of a class may have a variable of this name; yes where its variables are not known.

    Args:
        layer_class: Canonical class.
        variable: Today's name of the variable, or ``depthwise_kernel``.
    """
    if layer_class not in _LAYERS or variable.startswith("lora_"):
        return True
    names = {one.name for one in _LAYERS[layer_class]}.union(*_QUANTIZED.get(layer_class, {}).values())
    return variable in names or (variable == "depthwise_kernel" and layer_class.startswith("DepthwiseConv"))


def quantized_variables(
    layer_class: str, config: Mapping[str, Any], mode: str, count: int
) -> tuple[str, ...] | None:
    """Return the names of a quantized layer that stores `count` variables, None if no variant has so many.

    Per-channel int4 has neither zero points nor groups. Keras 3.14 and 3.15 store no zero points of
    GPTQ and AWQ, which they cannot load without.
    """
    names = variables(layer_class, config, mode) or ()
    left_out = ZERO_POINTS if mode in _SEARCHED else _ONLY_GROUPED
    fewer = tuple(name for name in names if name not in left_out)
    return next((variant for variant in (names, fewer) if len(variant) == count), None)


@lru_cache(maxsize=1024)
def variants(layer_class: str, count: int) -> tuple[tuple[str, ...], ...]:
    """Return every list of `count` variables that a layer of this class may store without quantization."""
    spec = _LAYERS.get(layer_class, ())
    options = sorted({variable.option for variable in spec if variable.option})
    found: Iterable[tuple[str, ...]] = (
        tuple(v.name for v in spec if not v.option or switches[options.index(v.option)])
        for switches in product((True, False), repeat=len(options))
    )
    return tuple(sorted({names for names in found if len(names) == count}))
