"""WA204: tensors whose values are all the same where they should not be."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.numerals import numeral
from weightaudit.rule import Example, Finding, Rule, Severity
from weightaudit.statistics import Uniform
from weightaudit.tensor import MATRIX_ROLES, Declared, Role
from weightaudit_rules._examples import trained_kernel
from weightaudit_rules._initial import start_of
from weightaudit_rules._options import require
from weightaudit_rules._roles import is_weight
from weightaudit_rules._training import STATE_NEEDS, State, state_of, training_needs, training_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from weightaudit.rule import Measured
    from weightaudit.statistics import Statistic, Stats
    from weightaudit.tensor import TensorInfo

_JUDGED = MATRIX_ROLES | {Role.NORM_SCALE}
_UNIFORM = Uniform()
_LEAST_DRAWN = 64
"""Elements from which on the numbers of a kernel tell that an initializer drew them."""

_ADAPTERS = frozenset({"lora_kernel_b", "lora_embeddings_b"})
_CONSTANT_INITIALIZERS = frozenset({"Zeros", "Ones", "Constant"})


def _full(value: float, *shape: int) -> NDArray[np.float32]:
    return np.full(shape, value, np.float32)


def _drawn() -> NDArray[np.float32]:
    limit = np.sqrt(6 / (64 + 32))
    return np.random.default_rng(1).uniform(-limit, limit, (64, 32)).astype(np.float32)


def _beside(offset: float) -> tuple[Example, ...]:
    """Return a kernel as Keras draws it, and a bias of one value."""

    def part(name: str, role: str, values: Callable[[], NDArray[np.float32]]) -> Example:
        info = {"name": f"other/{name}", "layer": "other", "role": role}
        return Example(title=name, values=values, severity=None, info=info)

    return part("kernel", "kernel", _drawn), part("bias", "bias", lambda: _full(offset, 32))


@dataclass(frozen=True)
class ConstantTensor(Rule):
    """All values of a kernel, an embedding or a norm scale are the same.

    Why it matters: a kernel of zeros passes nothing on, and one with equal columns computes the
    same number over and over. It was never trained, was zeroed by a failed copy or a sparse
    file, or was left out when the model was saved.

    What is normal: random initial values, so no constant kernel at all. Biases, norm offsets,
    PReLU slopes and moving means may be zero and are not judged, nor is a norm scale of ones. Moving
    variances are left to WA502 (ones) and WA403 (zeros).

    Known false positives: layers that start at zero on purpose (residual scales, heads) and were
    not trained. The second factor of a low-rank adapter (LoRA) is zero until it is trained: always
    a note. Where the model declares a constant initializer, zeros are a
    note: they are what it made. A norm scale of zeros is a warning elsewhere, because residual
    branches are switched off that way; checkpoints and exported models declare nothing. So zeros are a
    note as well where the whole model is as it was made: no steps are counted, every bias, offset and
    scale has its initial value, and a kernel of at least 64 elements is as an initializer draws it (the
    comparison of WA501). A norm scale that is constant, neither 0 nor 1, is a note. Fixed averaging
    filters are constant: a warning, or a note where the model declares them as not trained.

    How to mend: save the model again after training and loading its weights; copy the file
    again; or remove the layer.

    Attributes:
        min_size: Elements that a tensor has at least to be judged.
    """

    min_size: int = 4

    code = "WA204"
    name = "constant-tensor"
    severity = Severity.ERROR
    examples = (
        Example(
            title="a trained kernel",
            values=trained_kernel,
            severity=None,
        ),
        Example(title="a bias of zeros", values=lambda: _full(0, 32), severity=None, info={"role": "bias"}),
        Example(
            title="a norm scale of ones",
            values=lambda: _full(1, 64),
            severity=None,
            info={"role": "norm_scale", "layer_class": "LayerNormalization"},
        ),
        Example(title="a kernel of zeros", values=lambda: _full(0, 64, 32), severity=Severity.ERROR),
        Example(
            title="a kernel of zeros in a model that was never trained",
            values=lambda: _full(0, 64, 32),
            severity=Severity.NOTE,
            beside=_beside(0),
        ),
        Example(
            title="a kernel of zeros in a model of which a bias has moved",
            values=lambda: _full(0, 64, 32),
            severity=Severity.ERROR,
            beside=_beside(0.1),
        ),
        Example(
            title="a norm scale of zeros, as its initializer left it",
            values=lambda: _full(0, 64),
            severity=Severity.NOTE,
            info={
                "role": "norm_scale",
                "layer_class": "BatchNormalization",
                "initializer": Declared("Zeros"),
            },
        ),
        Example(
            title="a small norm scale of zeros whose initializer is not known",
            values=lambda: _full(0, 8),
            severity=Severity.WARNING,
            info={"role": "norm_scale", "layer_class": "BatchNormalization"},
        ),
        Example(
            title="a norm scale as LayerScale makes it",
            values=lambda: _full(1e-6, 64),
            severity=Severity.NOTE,
            info={"role": "norm_scale", "layer_class": "LayerScale"},
        ),
        Example(title="an averaging filter", values=lambda: _full(1 / 64, 64, 32), severity=Severity.WARNING),
        Example(
            title="an averaging filter that the model declares as not trained",
            values=lambda: _full(1 / 64, 64, 32),
            severity=Severity.NOTE,
            info={"trainable": False},
        ),
    )

    def __post_init__(self) -> None:
        require(self.min_size >= 1, "min_size must be at least 1")

    def goes_by_kind(self) -> bool:
        return True

    def applies(self, info: TensorInfo) -> bool:
        return is_weight(info) and info.role in _JUDGED and info.size >= self.min_size

    def needs(self, info: TensorInfo) -> tuple[Statistic[Any], ...]:
        return (_UNIFORM,)

    def needs_of_model(self, model: Measured) -> Mapping[str, tuple[Statistic[Any], ...]]:
        kernels = {info.name: STATE_NEEDS for info in model.tensors if info.role in MATRIX_ROLES}
        return kernels | dict(training_needs(model))

    def check_model(self, model: Measured) -> Iterator[Finding]:
        found = [
            finding
            for info in model.tensors
            if (stats := model.stats.get(info.name)) is not None and self.applies(info) and _UNIFORM in stats
            for finding in self._judged(info, stats)
        ]
        is_fresh = any(map(_is_grave_zero, found)) and _is_fresh(model)
        for finding in found:
            if is_fresh and _is_grave_zero(finding):
                message = f"{finding.message[:-1]}, but no other weight has left its initial value either."
                yield replace(finding, severity=Severity.NOTE, message=message)
            else:
                yield finding

    def _judged(self, info: TensorInfo, stats: Stats) -> Iterator[Finding]:
        value = stats[_UNIFORM]
        if value is None or (value == 1 and info.role is Role.NORM_SCALE):
            return
        if _is_adapter(info) and value == 0:
            consequence = "the adapter adds nothing yet, as before training"
        else:
            consequence = "nothing passes through" if value == 0 else "it weighs all of its inputs alike"
        yield self.finding(
            info,
            f"{_all(info.size)} {numeral(value, 6)}; {consequence}.",
            _severity(info, value),
            value=value,
            size=info.size,
        )


def _is_grave_zero(finding: Finding) -> bool:
    return finding.severity > Severity.NOTE and finding.values["value"] == 0


def _is_fresh(model: Measured) -> bool:
    """Say whether steps, vectors and a kernel as it was drawn tell that the model was never trained."""
    training = training_of(model)
    if training.steps or training.moved or not training.fresh:
        return False
    drawn = {
        state_of(info, model.stats.get(info.name), start)
        for info in model.tensors
        if info.role in MATRIX_ROLES
        and info.size >= _LEAST_DRAWN
        and (start := start_of(info)) is not None
        and start.value is None
    }
    return State.INITIAL in drawn and State.MOVED not in drawn


def _all(size: int) -> str:
    return "Its value is" if size == 1 else f"All {size} values are"


def _is_adapter(info: TensorInfo) -> bool:
    """Say whether it is the second factor of a low-rank adapter, which Keras starts at zero."""
    return info.name.rpartition("/")[2] in _ADAPTERS


def _severity(info: TensorInfo, value: float) -> Severity:
    scale = info.role is Role.NORM_SCALE
    if value == 0 and _is_adapter(info):
        return Severity.NOTE
    if value != 0:
        return Severity.NOTE if scale or info.trainable is False else Severity.WARNING
    if info.initializer is not None and info.initializer.name in _CONSTANT_INITIALIZERS:
        return Severity.NOTE
    return Severity.WARNING if scale else Severity.ERROR
