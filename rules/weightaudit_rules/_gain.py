"""The scale of a tensor: how much it multiplies the typical size of what passes through it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any

from weightaudit.rule import Rule
from weightaudit.statistics import Extremes, Moments
from weightaudit.tensor import Role
from weightaudit_rules._linear import is_linear
from weightaudit_rules._roles import is_weight

if TYPE_CHECKING:
    from collections.abc import Iterator

    from weightaudit.rule import Finding, Measured
    from weightaudit.statistics import Statistic, Stats
    from weightaudit.tensor import TensorInfo

_KERNELS = frozenset({Role.KERNEL, Role.RECURRENT_KERNEL})
_JUDGED = _KERNELS | {Role.EMBEDDING, Role.NORM_SCALE}

_MOMENTS = Moments()
EXTREMES = Extremes()
_WIDER = 100.0
"""Nothing relates the scale of embeddings and norm scales to 1 but custom: their bounds are wider."""


@dataclass(frozen=True)
class GainRule(Rule, ABC):
    """Measures the gain of kernels, embeddings and norm scales."""

    def goes_by_kind(self) -> bool:
        return True

    def applies(self, info: TensorInfo) -> bool:
        return is_weight(info) and info.role in _JUDGED and info.size >= 16

    def needs(self, info: TensorInfo) -> tuple[Statistic[Any], ...]:
        return (_MOMENTS,)

    def check_model(self, model: Measured) -> Iterator[Finding]:
        if is_linear(model):
            return
        for info in model.tensors:
            stats = model.stats.get(info.name)
            if stats is not None and self.applies(info) and all(one in stats for one in self.needs(info)):
                yield from self.judge(info, stats)

    @abstractmethod
    def judge(self, info: TensorInfo, stats: Stats) -> Iterator[Finding]:
        """Yield what is to be said of one tensor of a model that is more than a regression."""


def gain_of(info: TensorInfo, stats: Stats) -> tuple[float, float]:
    """Return a measured gain, and the factor by which its bounds are wider than those of a kernel.

    The gain is sqrt(fan_in) * rms for kernels (He et al. 2015, equation 7), else the rms alone; NaN if
    no element is finite. By that definition the initial gain is 1 with Glorot (square kernels), LeCun
    and orthogonal initializers, and sqrt(2) with He's. The factor is 1 for kernels whose fan-in is
    known, else 100.
    """
    rms = stats[_MOMENTS].rms
    if info.fan_in and info.role in _KERNELS:
        return sqrt(info.fan_in) * rms, 1.0
    return rms, _WIDER


def gain_of_largest(info: TensorInfo, stats: Stats) -> float:
    """Return the gain if every magnitude were the largest: an upper bound that no square takes part in."""
    ends = stats[EXTREMES]
    largest = max(abs(ends.minimum), abs(ends.maximum))
    return sqrt(info.fan_in) * largest if info.fan_in and info.role in _KERNELS else largest


def label_of(info: TensorInfo) -> str:
    """Return what `gain_of` measures of a tensor, in words."""
    has_fan_in = info.fan_in and info.role in _KERNELS
    return f"gain sqrt({info.fan_in}) * rms" if has_fan_in else "root mean square"
