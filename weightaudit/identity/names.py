"""What a name that a framework wrote says about a variable, and what shapes suggest without one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING

from weightaudit.identity.classes import COMPOSITE, class_of_path, kind_of_name
from weightaudit.identity.config import PROJECTIONS, Layer
from weightaudit.identity.layers import (
    GATES,
    RECURRENT_CELLS,
    ROLES,
    ZERO_POINTS,
    is_leaf,
    may_have,
    quantized_variables,
    role_of,
    variants,
)
from weightaudit.tensor import Role

if TYPE_CHECKING:
    from collections.abc import Sequence

Shape = tuple[int, ...]

_SYNONYMS = {
    **dict.fromkeys(["kernel", "weights", "weight", "w", "W"], "kernel"),
    **dict.fromkeys(["bias", "biases", "b"], "bias"),
    "U": "recurrent_kernel",
    "alphas": "alpha",
    "depthwise_weights": "depthwise_kernel",
    "pointwise_weights": "pointwise_kernel",
    "running_mean": "moving_mean",
    # Keras 1 kept variances under this name.
    "running_std": "moving_variance",
    "running_var": "moving_variance",
    "bias_weights": "bias",
    "embedding_weights": "embeddings",
    "embedding_table": "embeddings",
    # Checkpoints of TensorFlow 1, as those of BERT, T5 and GPT-2.
    **dict.fromkeys(
        ["embedding", "word_embeddings", "token_type_embeddings", "position_embeddings", "wpe", "wte"],
        "embeddings",
    ),
    "output_bias": "bias",
}
# Keras 1: "dense_1_W:0"; its LSTM and GRU kept one tensor per gate, such as "lstm_1_U_f".
_KERAS1 = re.compile(
    r"^(?P<owner>.+?)_(?P<name>(?:W|U|b)(?:_[cfhiorz])?|gamma|beta|running_mean|running_std|alphas"
    r"|(?:depth|point)wise_kernel)(?:_\d+)?$"
)
_KERAS1_GATE = re.compile(r"^(W|U|b)_[cfhiorz]$")
_AGAIN = re.compile(r"^(weights?|bias(?:es)?|kernel|[wWb])_?\d+$")
_NUMBERED = re.compile(r":\d+$")
_COUNTERS = frozenset(
    [
        "epoch",
        "global_step",
        "good_steps",
        "iter",
        "iteration",
        "iterations",
        "local_step",
        "save_counter",
        "step",
        "step_counter",
        "_iterations",
        "num_finite_steps",
    ]
)
_HYPERPARAMETERS = frozenset(
    [
        "beta_1",
        "beta_2",
        "beta1_power",
        "beta2_power",
        "current_loss_scale",
        "decay",
        "dynamic_scale",
        "epsilon",
        "learning_rate",
        "l1_regularization_strength",
        "l2_regularization_strength",
        "learning_rate_power",
        "loss_scale",
        "lr",
        "m_schedule",
        "momentum",
        "momentum_cache",
        "rho",
        "schedule_decay",
        "u_product",
        "weight_decay",
    ]
)
_METRICS = frozenset(
    [
        "total",
        "count",
        "true_positives",
        "true_negatives",
        "false_positives",
        "false_negatives",
        "total_confusion_matrix",
    ]
)
_KERNELS_OF_ANY_RANK = frozenset(["ConvLSTMCell", "EinsumDense", "SpectralNormalization"])
# What those call the variables of a normalization who do not follow Keras.
_OF_NORMALIZATIONS = {
    **dict.fromkeys(["scale", "layer_norm_scale", "g"], Role.NORM_SCALE),
    **dict.fromkeys(["offset", "layer_norm_bias", "bias"], Role.NORM_OFFSET),
}
_EMBEDDING = re.compile(r"embeddings?$|^(?:shared|wpe|wte)$")
_NORMALIZATION = re.compile(r"^ln_|(?:batch|group|instance|layer|rms)_?norm|norm(?:_\d+)?$")
_SEEDS = frozenset(["seed_generator_state", "state_var", "_state_var", "rng_state"])


@dataclass(frozen=True, slots=True)
class Guess:
    """What the shapes of a group of variables suggest; an empty name where they suggest nothing."""

    layer: Layer
    variables: tuple[str, ...]


def components(name: str) -> tuple[str, ...]:
    """Return the path components of a variable name, without TensorFlow's ``:0``."""
    bare = _NUMBERED.sub("", name) if ":" in name else name
    parts = bare.split("/")
    return tuple(filter(None, parts) if "" in parts else parts)


def variable_of(component: str, owner: str = "", layer_class: str = "") -> str:
    """Return today's name of a variable: ``weights``, ``W`` and ``dense_1_W`` give ``kernel``.

    Of an embedding, or a normalization, ``weight`` and ``W`` are what these train.

    Args:
        component: Last component of the variable's path.
        owner: The component before it, such as ``word_embeddings``; may be empty.
        layer_class: Canonical class of its layer, if known: it counts for more than the owner's name.
    """
    found = _today(component)
    if found != "kernel" or component == "kernel":
        return found
    named = _trained_by(keras1_owner(component) or owner)
    options = (named, "kernel", "embeddings", "gamma")
    return next((option for option in options if may_have(layer_class, option)), named)


@lru_cache(maxsize=4096)
def _today(component: str) -> str:
    component = keras1_suffix(component)
    gate = _KERAS1_GATE.match(component)
    # TensorFlow 1 numbers a second variable of the same name, and its users number theirs: "weights_1", "W1".
    again = _AGAIN.match(component)
    return _SYNONYMS.get(gate[1] if gate else again[1] if again else component, component)


@lru_cache(maxsize=4096)
def _trained_by(owner: str) -> str:
    """Return what the trained variable of a layer is, by the layer's name."""
    around = owner.lower().rstrip("_0123456789")
    if _EMBEDDING.search(around):
        return "embeddings"
    return "gamma" if _NORMALIZATION.search(around) else "kernel"


def keras1_suffix(component: str) -> str:
    """Return ``W`` for ``dense_1_W``: what a name of Keras 1 says beside its layer; else the component."""
    keras1 = None if component in ROLES else _KERAS1.match(component)
    return keras1["name"] if keras1 else component


def keras1_owner(component: str) -> str:
    """Return ``dense_1`` for ``dense_1_W``, and nothing for names of other generations."""
    keras1 = None if component in ROLES else _KERAS1.match(component)
    return keras1["owner"] if keras1 else ""


def is_one_gate(component: str) -> bool:
    """Say whether this is a tensor of one gate, such as ``lstm_1_U_f``, as Keras 1 stored them."""
    return _KERAS1_GATE.match(keras1_suffix(component)) is not None


def role_by_name(variable: str, owner: str = "") -> Role:
    """Return the role that a variable's own name and its owner's automatic name tell, or UNKNOWN.

    Args:
        variable: Last component of the variable's path.
        owner: The component before it, such as ``layer_norm_2``; may be empty.
    """
    bare = variable_of(variable, owner)
    around = owner.lower()
    role = role_of(bare, class_of_path(owner))
    if bare in _OF_NORMALIZATIONS and _NORMALIZATION.search(around):
        role = _OF_NORMALIZATIONS[bare]
    elif bare == "biased" and around.startswith("moving_"):
        # TensorFlow 1 corrects moving averages by it.
        role = Role.STATE
    elif role is Role.UNKNOWN and around.endswith("attention") and bare in {"q", "k", "v", "o"}:
        role = Role.KERNEL
    if role is not Role.UNKNOWN:
        return role
    if bare in _SEEDS:
        return Role.SEED
    return Role.COUNTER if bare in _COUNTERS else Role.UNKNOWN


@lru_cache(maxsize=4096)
def optimizer_role(name: str, shape: Shape) -> Role | None:
    """Return COUNTER or HYPERPARAMETER for an optimizer's own scalars, None for what may be a slot."""
    bare = name[:6] if name.startswith("beta_") else name.lstrip("_")
    if bare[-1:].isdigit() and not name.startswith("beta_"):
        bare = re.sub(r"_\d+$", "", bare)
    if bare in _COUNTERS:
        return Role.COUNTER
    return (
        Role.HYPERPARAMETER if not shape and (bare in _HYPERPARAMETERS or name in _HYPERPARAMETERS) else None
    )


def class_of_owner(component: str, variable: str) -> str:
    """Return the class of the layer that made a variable, as an automatic name of its owner tells.

    Wrappers of Keras 2 give their names to the variables of the layer inside, whose class they do not
    tell; recurrent layers give theirs to those of their cell.
    """
    found = class_of_path(component) or _of_direction(component)
    if found in RECURRENT_CELLS:
        return RECURRENT_CELLS[found]
    hidden = found in COMPOSITE or (found == "SpectralNormalization" and variable != "vector_u")
    # A class of a user may be called like one of Keras, and have other variables.
    return "" if hidden or not may_have(found, variable) else found


def _of_direction(component: str) -> str:
    """Return ``LSTM`` for ``forward_lstm_1``, the name that Bidirectional gives its copy; else nothing."""
    found = class_of_path(component.removeprefix("forward_").removeprefix("backward_"))
    return found if found in RECURRENT_CELLS or found in GATES else ""


def is_metric(variable: str) -> bool:
    """Say whether Keras metrics use this name for their state."""
    return variable in _METRICS


def guess(hint: str, shapes: Sequence[Shape], dtypes: Sequence[str]) -> Guess | None:
    """Guess class and variable names of a group of variables that are only numbered.

    Args:
        hint: Automatic name or attribute of the layer, such as ``dense_3`` or ``cell``; the layer of the
            guess may have another number.
        shapes: Shapes in stored order.
        dtypes: Storage types in the same order.

    Returns:
        The guess, or None if nothing speaks for any.
    """
    return _guess(kind_of_name(hint), tuple(shapes), tuple(dtypes))


@lru_cache(maxsize=4096)
def _guess(hint: str, shapes: tuple[Shape, ...], dtypes: tuple[str, ...]) -> Guess | None:
    projection = hint.strip("_").removesuffix("_dense").replace("output", "attention_output")
    layer_class = class_of_path(hint)
    if projection in PROJECTIONS:
        config = {"equation": PROJECTIONS[projection], "bias_axes": "de"}
        return _fitting(Layer(projection, "EinsumDense", config), shapes, dtypes)
    if is_leaf(layer_class):
        return _fitting(Layer(hint, layer_class), shapes, dtypes)
    return _from_shapes(hint, shapes) if all("int" not in dtype for dtype in dtypes) else None


def _fitting(layer: Layer, shapes: Sequence[Shape], dtypes: Sequence[str]) -> Guess | None:
    if any("int8" in dtype for dtype in dtypes):
        return _quantized(layer, shapes, "gptq" if "uint8" in dtypes else "int8")
    if len(shapes) >= 7 and layer.layer_class in {"Dense", "EinsumDense"}:
        use_bias = len(shapes) == 8
        config = {**layer.config, "use_bias": use_bias, "bias_axes": use_bias or None}
        names = quantized_variables(layer.layer_class, config, "float8", len(shapes))
        return Guess(layer, names) if names else None
    fitting = [
        names
        for names in variants(layer.layer_class, len(shapes))
        if all(_fits(layer.layer_class, name, shape) for name, shape in zip(names, shapes, strict=True))
    ]
    if not fitting:
        return None
    columns = zip(*fitting, strict=True)
    return Guess(layer, tuple(column[0] if len(set(column)) == 1 else "" for column in columns))


def _quantized(layer: Layer, shapes: Sequence[Shape], like: str) -> Guess | None:
    """Guess the variables of a quantized layer; modes that store integers of other types are left out."""
    modes = ("gptq", "awq") if like == "gptq" else ("int8", "int4")
    for has_all, mode in product((True, False), modes):
        options = {"use_bias": has_all, "bias_axes": has_all or None, "tie_weights": not has_all}
        names = quantized_variables(layer.layer_class, {**layer.config, **options}, mode, len(shapes))
        if names and quantized_fits(names, shapes, mode):
            return Guess(layer, names)
    return None


def quantized_fits(names: Sequence[str], shapes: Sequence[Shape], mode: str) -> bool:
    """Say whether shapes agree with a quantization: int4 packs two weights of the last axis in a byte."""
    stored = dict(zip(names, shapes, strict=True))
    weights = stored.get("kernel", stored.get("embeddings", ()))
    scale = stored.get("kernel_scale", stored.get("embeddings_scale", ()))
    if not weights or not scale:
        return False
    if mode in {"gptq", "awq"}:
        inputs = [stored[name] for name in ("g_idx", "awq_scales") if name in stored]
        zeros = [stored[name] for name in ZERO_POINTS if name in stored]
        packed = weights[0] in {scale[0], (scale[0] + 1) // 2}
        fits = all(one == weights[1:] for one in inputs) and all(one == scale for one in zeros)
        return len(weights) == len(scale) == 2 and packed and fits
    if "embeddings" in stored:
        return scale[:1] == weights[:1] and (len(scale) == 2) == ("g_idx" in stored)
    # Keras before 3.14 packed rows, so that scales are as wide as kernels for int4, too.
    return weights[-1] == scale[-1] or (mode == "int4" and weights[-1] == (scale[-1] + 1) // 2)


def _fits(layer_class: str, variable: str, shape: Shape) -> bool:
    if layer_class.startswith("LocallyConnected") and variable == "kernel":
        # One axis for all places, one for all that a place sees, and one for filters.
        return len(shape) == 3
    rank = re.search(r"(\d)D", layer_class)
    if variable.endswith("kernel") and layer_class not in _KERNELS_OF_ANY_RANK:
        return len(shape) == (int(rank[1]) + 2 if rank else 2)
    if variable == "embeddings":
        return len(shape) == 2
    if (variable == "bias" and layer_class == "Dense") or variable.startswith("moving_"):
        return len(shape) == 1
    return True


def _from_shapes(hint: str, shapes: tuple[Shape, ...]) -> Guess | None:
    ranks = [len(shape) for shape in shapes]
    last = {shape[-1] for shape in shapes if shape}
    if len(shapes) in {2, 3} and ranks[:2] == [2, 2] and shapes[0][1] == shapes[1][1] and shapes[1][0]:
        cell = {4: "LSTMCell", 3: "GRUCell", 1: "SimpleRNNCell"}.get(shapes[1][1] // shapes[1][0])
        if cell and shapes[1][1] % shapes[1][0] == 0 and len(last) == 1:
            return Guess(Layer(hint, cell), ("kernel", "recurrent_kernel", "bias")[: len(shapes)])
    if len(shapes) == 2 and ranks[1] == 1 and ranks[0] in {2, 3, 4, 5} and len(last) == 1:
        plain = {2: "Dense", 3: "Conv1D", 4: "Conv2D", 5: "Conv3D"}[ranks[0]]
        return Guess(Layer(hint, plain), ("kernel", "bias"))
    if len(set(shapes)) == 1 and ranks[0] == 1 and len(shapes) in {2, 4}:
        names = ("gamma", "beta", "moving_mean", "moving_variance")[: len(shapes)]
        return Guess(Layer(hint, "BatchNormalization" if len(shapes) == 4 else "LayerNormalization"), names)
    return None
