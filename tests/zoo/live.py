"""What a live model says of its own variables, to be compared with what is recovered from its files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from weightaudit.tensor import Declared

_BY_ALIAS = {"zeros": "Zeros", "ones": "Ones", "uniform": "RandomUniform", "glorot_uniform": "GlorotUniform"}


@dataclass(frozen=True)
class Answer:
    """A variable of a live model.

    Attributes:
        path: Its name; slots have ``optimizer/<variable>/<slot>``.
        shape: Its shape.
        data: Its bytes in row-major order.
        dtype: Its type, as ``bfloat16``.
        trainable: Whether the model's trainable variables include it.
        layer_class: Class of the layer that made it, empty for none.
        policy: Name of that layer's dtype policy.
        constraint: Class and arguments of its constraint.
        regularizer: The same of its regularizer.
        initializer: The same of its initializer; None where that is a bare function.
        kind: ``weight``, ``seed``, ``slot``, ``factor`` for one that has the
            name of its variable only, or ``optimizer`` for what else an optimizer keeps.
    """

    path: str
    shape: tuple[int, ...]
    data: bytes
    dtype: str
    trainable: bool
    layer_class: str
    policy: str
    constraint: Declared | None
    regularizer: Declared | None
    initializer: Declared | None
    kind: str


@dataclass
class Recorder:
    """What layers and optimizers asked for when they made their variables, by the variable's identity."""

    made: dict[int, tuple[Any, dict[str, Any]]] = field(default_factory=dict)
    slots: dict[int, tuple[Any, str]] = field(default_factory=dict)
    kept: list[Any] = field(default_factory=list)


@contextmanager
def recording(keras: Any) -> Iterator[Recorder]:
    """Note every variable that a layer makes, with the layer and what it declares for it."""
    recorder = Recorder()
    layer, optimizer = keras.layers.Layer, keras.optimizers.Optimizer
    add_weight, add_slot = layer.add_weight, optimizer.add_variable_from_reference

    def noted(self: Any, *args: Any, **kwargs: Any) -> Any:
        variable = add_weight(self, *args, **kwargs)
        recorder.made[id(variable)] = (self, kwargs)
        recorder.kept.append(variable)
        return variable

    def noted_slot(self: Any, *args: Any, **kwargs: Any) -> Any:
        variable = add_slot(self, *args, **kwargs)
        reference, slot, *_ = [*args, *kwargs.values()]
        recorder.slots[id(variable)] = (reference, str(slot))
        recorder.kept.append(variable)
        return variable

    layer.add_weight, optimizer.add_variable_from_reference = noted, noted_slot
    try:
        yield recorder
    finally:
        layer.add_weight, optimizer.add_variable_from_reference = add_weight, add_slot


def fill(model: Any, seed: int = 7) -> None:
    """Give every variable random values of its own, so that each can be found again by its bytes."""
    generator = np.random.default_rng(seed)
    for variable in variables(model):
        shape, kind = tuple(variable.shape), type_name(variable)
        if kind.startswith(("float", "bfloat")):
            low_rank = variable.name.startswith(("lora_kernel_b", "lora_embeddings_b"))
            numbers: Any = generator.uniform(0.1, 1.0, shape) * (not low_rank)
        else:
            numbers = generator.integers(0, 100, shape)
        variable.assign(np.asarray(numbers).astype("float32" if "float" in kind else kind))


def variables(model: Any) -> list[Any]:
    """Return all variables of a model and its optimizer, each once."""
    optimizer = getattr(model, "optimizer", None)
    listed = [*model.variables, *(optimizer_variables(optimizer) if optimizer is not None else ())]
    return list({id(variable): variable for variable in listed}.values())


def optimizer_variables(optimizer: Any) -> list[Any]:
    """Return the variables of an optimizer, in both generations of Keras."""
    own = optimizer.variables
    return list(own() if callable(own) else own)


def type_name(variable: Any) -> str:
    """Return the type of a variable, as ``float32``."""
    return str(getattr(variable.dtype, "name", variable.dtype)).removesuffix("_ref")


def answers(model: Any, recorder: Recorder) -> list[Answer]:
    """Return what a live model says of its variables; metrics are left out."""
    trainable = {id(variable) for variable in model.trainable_variables}
    metrics = {id(variable) for metric in model.metrics for variable in metric.variables}
    return [
        _answer(variable, recorder, trainable=id(variable) in trainable)
        for variable in variables(model)
        if id(variable) not in metrics
    ]


def path_of(variable: Any) -> str:
    """Return the name of a variable as users know it."""
    return str(getattr(variable, "path", "") or variable.name).split(":", 1)[0]


def _answer(variable: Any, recorder: Recorder, *, trainable: bool) -> Answer:
    layer, asked = recorder.made.get(id(variable), (None, {}))
    path, kind = path_of(variable), "weight"
    if id(variable) in recorder.slots:
        reference, slot = recorder.slots[id(variable)]
        path, kind = f"optimizer/{path_of(reference)}/{slot}", "slot"
    elif layer is None:
        own = path.rpartition("/")[2]
        kind = "seed" if "seed" in path or "state" in own else "optimizer"
        # Adafactor calls what it keeps for a kernel "kernel", and gives idle scalars to biases.
        kind = "factor" if own in {"kernel", "bias", "gamma", "beta"} else kind
        # Optimizers name their scalars after their own class; files do not always keep that.
        path = f"optimizer/{own}" if kind != "seed" else path
    numbers = variable.numpy()
    return Answer(
        path=path,
        shape=tuple(variable.shape),
        data=np.ascontiguousarray(numbers).tobytes(),
        dtype=type_name(variable),
        trainable=trainable,
        layer_class=type(layer).__name__ if layer is not None else "",
        policy=_policy(layer),
        constraint=_declared(asked.get("constraint")),
        regularizer=_declared(asked.get("regularizer")),
        initializer=_declared(asked.get("initializer")),
        kind=kind,
    )


def _policy(layer: Any) -> str:
    policy = getattr(layer, "dtype_policy", None) if layer is not None else None
    return str(getattr(policy, "name", ""))


def _declared(value: Any) -> Declared | None:
    if isinstance(value, str):
        return Declared(_BY_ALIAS.get(value, value))
    if value is None or not hasattr(value, "get_config"):
        return None
    module = type(value).__module__.split(".", 1)[0]
    return Declared(type(value).__name__, value.get_config(), builtin=module in {"keras", "tf_keras"})
