"""What the rules share that judge a model beside the checkpoint it is compared with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from weightaudit.rule import Measured, Rule
from weightaudit.tensor import MATRIX_ROLES, Role
from weightaudit_rules._examples import trained_kernel
from weightaudit_rules._roles import is_weight

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from weightaudit.comparison import Comparison, Difference, TensorComparison
    from weightaudit.rule import Finding
    from weightaudit.tensor import TensorInfo

STATISTICS = frozenset({Role.MOVING_MEAN, Role.MOVING_VARIANCE})
"""Roles that training updates without a gradient."""

_ADAPTED = frozenset({Role.KERNEL, Role.EMBEDDING})
"""Roles that Keras' layers have low-rank adapters for."""

_KEPT = (0.5, 2.0)
"""How much of the reference is in a weight that training has added to; 1 if what it added is unrelated."""

TRAINED = MATRIX_ROLES | {Role.BIAS, Role.NORM_SCALE, Role.NORM_OFFSET, Role.ACTIVATION_SLOPE}
"""Roles that an optimizer changes, unless their layer is frozen."""


class Moved(NamedTuple):
    """A tensor that is in both models with the same shape and decoded type, and how it differs.

    Attributes:
        first: The tensor in the reference.
        info: The tensor in the model that is judged.
        difference: How its numbers differ; its norms are of the numbers that are finite in both.
    """

    first: TensorInfo
    info: TensorInfo
    difference: Difference


@dataclass(frozen=True)
class ReferenceRule(Rule, ABC):
    """Judges nothing without a reference."""

    def goes_by_kind(self) -> bool:
        return True

    def applies(self, info: TensorInfo) -> bool:
        return False

    def check_model(self, model: Measured) -> Iterator[Finding]:
        if model.reference is not None:
            yield from self.check_reference(model.reference)

    @abstractmethod
    def check_reference(self, comparison: Comparison) -> Iterator[Finding]:
        """Judge a model beside its reference, which is the first of both."""


def moved_weights(comparison: Comparison) -> Iterator[Moved]:
    """Yield the weights whose numbers differ."""
    for one in comparison.tensors:
        first, second, difference = one.first, one.second, one.difference
        if first is None or second is None or difference is None or not one.moved:
            continue
        if is_weight(second):
            yield Moved(first, second, difference)


def counterparts(comparison: Comparison) -> Iterator[TensorComparison]:
    """Yield the weights that are in both models and could be compared, moved or not."""
    for one in comparison.tensors:
        if one.moved is not None and one.second is not None and is_weight(one.second):
            yield one


def is_frozen(one: TensorComparison) -> bool:
    """Say whether both models declare that no optimizer changes this weight.

    One that was trained, and frozen only before it was saved, is not frozen by this.
    """
    infos = (one.first, one.second)
    return all(info is not None and info.trainable is False and info.role in TRAINED for info in infos)


class Adapted(NamedTuple):
    """Weights that low-rank adapters are trained in place of; Keras declares these weights as not trained.

    Attributes:
        resting: Names of those that have adapters beside them in the model, as ``lora_kernel_a``.
        merged: Names of those that one of both models stores with adapters added, as ``.keras`` files do.
            Where neither shows any, what tells is that another weight of the layer is trained, which no
            layer with ``trainable=False`` has.
    """

    resting: frozenset[str]
    merged: frozenset[str]


def adapted(comparison: Comparison) -> Adapted:
    """Return the weights of the model that have low-rank adapters."""
    names = [
        {info.name for one in comparison.tensors if (info := (one.first, one.second)[side]) is not None}
        for side in (0, 1)
    ]
    trained = {one.second.layer for one in counterparts(comparison) if one.second and one.second.trainable}
    resting: set[str] = set()
    merged: set[str] = set()
    for one in counterparts(comparison):
        if one.first is None or one.second is None or one.second.role not in _ADAPTED:
            continue
        before, now = (
            _adapter(info) in found for info, found in zip((one.first, one.second), names, strict=True)
        )
        if now:
            resting.add(one.second.name)
        if before != now or (
            not now and one.second.trainable is False and one.second.layer in trained - {""}
        ):
            merged.add(one.second.name)
    return Adapted(frozenset(resting), frozenset(merged))


def _adapter(info: TensorInfo) -> str:
    layer, slash, leaf = info.name.rpartition("/")
    return f"{layer}{slash}lora_{leaf}_a"


def unmatched(comparison: Comparison, patterns: Iterable[str]) -> list[str]:
    """Return the globs that match no weight of the model that could be compared."""
    names = [one.second.name for one in counterparts(comparison) if one.second is not None]
    return [pattern for pattern in patterns if not any(fnmatchcase(name, pattern) for name in names)]


def has_grown(info: TensorInfo, difference: Difference) -> bool:
    """Say whether a kernel or embedding that was small is what it was, and what training added to it.

    With w0 from the reference and w now, w.w0 / ||w0||^2 (the cosine times the ratio of the norms) is how
    much of w0 is left in w: 1 where w is w0 and something unrelated, however large; near 0 where w was
    initialized again or is that of another layer; the factor where w0 was scaled. Small is what
    has, also now, at most the gain of an initializer: an rms of 1 / sqrt(fan-in), or of 1 for embeddings.
    """
    kept = difference.cosine * difference.gain_ratio
    gain = difference.norm_after * sqrt((info.fan_in or 1) / difference.size)
    return info.role in MATRIX_ROLES and _KEPT[0] <= kept <= _KEPT[1] and gain <= 1


def evidence(difference: Difference) -> dict[str, Any]:
    """Return what a finding says of how far a tensor moved."""
    return {
        "relative": difference.relative,
        "cosine": difference.cosine,
        "gain_ratio": difference.gain_ratio,
        "flipped": difference.sign_flips / difference.size,
        "zeros_before": difference.zeros_before,
        "zeros_after": difference.zeros_after,
        "largest": difference.largest,
        "size": difference.size,
    }


def trained_on(step: float = 0.02) -> NDArray[np.float32]:
    """Return the kernel of examples after further training; `step` is the rms of the change."""
    change = np.random.default_rng(2).normal(0, step, (64, 32))
    return (trained_kernel() + change).astype(np.float32)
