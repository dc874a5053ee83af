"""The constraint, regularizer and initializer that a layer's configuration declares for a tensor."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from weightaudit.identity.classes import snake
from weightaudit.identity.config import as_list, as_mapping, as_text
from weightaudit.tensor import Declared

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from weightaudit.catalog import Json
    from weightaudit.identity.config import Layer

_BUILTIN = frozenset(
    [
        "MaxNorm",
        "MinMaxNorm",
        "NonNeg",
        "RadialConstraint",
        "UnitNorm",
        "L1",
        "L1L2",
        "L2",
        "OrthogonalRegularizer",
        "Constant",
        "GlorotNormal",
        "GlorotUniform",
        "HeNormal",
        "HeUniform",
        "Identity",
        "LecunNormal",
        "LecunUniform",
        "Ones",
        "Orthogonal",
        "OrthogonalInitializer",
        "RandomNormal",
        "RandomUniform",
        "STFT",
        "TruncatedNormal",
        "VarianceScaling",
        "Zeros",
    ]
)
_ALIASES = {snake(name).replace("_", ""): name for name in _BUILTIN} | {
    "nonnegative": "NonNeg",
    "weightregularizer": "L1L2",
    "l1l2regularizer": "L1L2",
    "normal": "RandomNormal",
    "uniform": "RandomUniform",
    "one": "Ones",
    "zero": "Zeros",
}
# The config key of a variable is its own name, except for these.
_STEMS: dict[str, tuple[str, ...]] = {
    "embeddings": ("embeddings",),
    "recurrent_kernel": ("recurrent",),
    "depthwise_kernel": ("depthwise",),
    "pointwise_kernel": ("pointwise",),
    "quantized_kernel": ("kernel",),
    "reverse_embeddings": ("embeddings",),
}
# What these classes of Keras start their variables with, whatever their configuration says.
_FIXED = {
    ("RMSNormalization", "scale"): Declared("Ones"),
    ("Attention", "scale"): Declared("Ones"),
    ("Attention", "concat_score_weight"): Declared("Ones"),
    ("AdditiveAttention", "scale"): Declared("GlorotUniform"),
}
_ADAPTERS = frozenset(["lora_kernel_b", "lora_embeddings_b"])
_KERAS1_STEMS = {
    "kernel": "W",
    "embeddings": "W",
    "recurrent_kernel": "U",
    "bias": "b",
    "gamma": "gamma",
    "beta": "beta",
}
_KERAS1_INITIALIZERS = {
    "kernel": "init",
    "embeddings": "init",
    "alpha": "init",
    "recurrent_kernel": "inner_init",
    "gamma": "gamma_init",
    "beta": "beta_init",
}
_KERAS1_ARGUMENTS = {"m": "max_value", "low": "min_value", "high": "max_value"}


def declarations(
    config: Mapping[str, Any], layer_class: str, variable: str
) -> tuple[Declared | None, Declared | None, Declared | None]:
    """Return the constraint, the regularizer and the initializer that are declared for a variable.

    Args:
        config: Constructor arguments of the layer.
        layer_class: Its canonical class.
        variable: Name of the variable, such as ``kernel``.
    """
    if not config and variable not in _ADAPTERS:
        return None, None, None
    return (
        declared(config, layer_class, variable, "constraint"),
        declared(config, layer_class, variable, "regularizer"),
        declared(config, layer_class, variable, "initializer"),
    )


def declared(config: Mapping[str, Any], layer_class: str, variable: str, kind: str) -> Declared | None:
    """Return what a layer's configuration declares for one of its variables.

    Args:
        config: Constructor arguments of the layer.
        layer_class: Its canonical class.
        variable: Name of the variable, such as ``kernel``.
        kind: ``constraint``, ``regularizer`` or ``initializer``.
    """
    if variable in _ADAPTERS:
        # An adapter starts without effect whatever the layer declares; its other half follows He.
        return Declared("Zeros") if kind == "initializer" else None
    for key in _keys(variable, layer_class, kind):
        value = config.get(key)
        parsed = None if value is None else _parse(value)
        if parsed is not None:
            return parsed
    return _FIXED.get((layer_class, variable)) if kind == "initializer" else None


def unmapped(layers: Iterable[Layer]) -> list[str]:
    """Return a sentence for each constraint that a layer of a user declares: what it is for is not known."""
    return [
        f"{layer.name} ({layer.layer_class}) declares {key}={parsed.name}; which of its tensors it is for "
        "cannot be known, so that it is not checked."
        for layer in layers
        if not layer.builtin
        for key, value in layer.config.items()
        if key.endswith("_constraint") and value is not None
        for parsed in [_parse(value)]
        if parsed is not None
    ]


@lru_cache(maxsize=1024)
def _keys(variable: str, layer_class: str, kind: str) -> tuple[str, ...]:
    """Return the keys under which a configuration may declare something for a variable."""
    stems: tuple[str, ...] = _STEMS.get(variable, (variable,))
    if variable == "kernel" and layer_class.startswith("DepthwiseConv"):
        stems = ("depthwise", "kernel")
    keras1 = _KERAS1_STEMS.get(variable)
    if keras1:
        stems = (*stems, keras1)
    keys = tuple(f"{stem}_{kind}" for stem in stems)
    old = _KERAS1_INITIALIZERS.get(variable) if kind == "initializer" else None
    return (*keys, old) if old else keys


def _parse(value: Json) -> Declared | None:
    if isinstance(value, str):
        return _named(value, {}, builtin=True)
    node = as_mapping(value)
    name = as_text(node.get("class_name"))
    if name:
        return _named(name, as_mapping(node.get("config")), builtin=_is_builtin(node))
    name = as_text(node.get("name"))
    if not name:
        return None
    arguments = {_KERAS1_ARGUMENTS.get(key, key): item for key, item in node.items() if key != "name"}
    return _named(name, arguments, builtin=True)


def _named(name: str, config: Mapping[str, Any], *, builtin: bool) -> Declared | None:
    if not name:
        return None
    known = _ALIASES.get(name.replace("_", "").lower()) if builtin else None
    arguments = {key: _plain(item) for key, item in config.items()}
    return Declared(known or name, arguments, builtin=known is not None)


def _is_builtin(node: Mapping[str, Any]) -> bool:
    registered = as_text(node.get("registered_name"))
    module = as_text(node.get("module"))
    return ">" not in registered and (not module or module.split(".", 1)[0] in {"keras", "tf_keras"})


def _plain(value: Json) -> Json:
    """Return a tuple that Keras wrote as an object as a list."""
    return list(as_list(value)) if as_mapping(value).get("class_name") == "__tuple__" else value
