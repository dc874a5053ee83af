"""WA403: normalization channels whose input never varied."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.numerals import numeral
from weightaudit.rule import Example, Finding, Rule, Severity
from weightaudit.statistics import AxisNorm, NonFinite
from weightaudit.tensor import Role
from weightaudit_rules._options import require
from weightaudit_rules._roles import is_weight
from weightaudit_rules._words import part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from weightaudit.statistics import Statistic, Stats
    from weightaudit.tensor import TensorInfo

_VARIANCES = AxisNorm((), inf)
"""Reduces nothing: the magnitude of every single variance, which is 0 where it is not finite."""

_NON_FINITE = NonFinite()


def _variance(dead: int = 0, level: float = 0.0) -> NDArray[np.float32]:
    variance = np.random.default_rng(1).uniform(1e-3, 40, 64)
    variance[:dead] = level
    return variance.astype(np.float32)


_DATA_FLOOR = 1e-14
"""The square of the smallest deviation that a Normalization layer divides by."""

_DATA = {"role": "moving_variance", "layer_class": "Normalization"}
_BATCH_NORM = {"role": "moving_variance", "layer_class": "BatchNormalization"}


@dataclass(frozen=True)
class DeadNormalizationChannels(Rule):
    """The moving variance of a normalization layer is practically zero in some channels.

    Why it matters: the channel's input was the same for every training example, so it carries
    nothing; and if an input ever differs, the layer amplifies it: BatchNormalization by
    gamma / sqrt(epsilon), 31.6 * gamma with Keras' default, and Normalization by 1e7.

    Formula: a variance below `floor`, or below `relative` times the median of the layer's finite ones.

    What is normal: variances of 1e-3 to 1e4. Where weight decay killed the filter in front, the
    variance decays with it, to 1e-36 after enough steps; networks ship with 2 to 60 percent of
    such channels and work. Each feature of a Normalization layer has a unit of its own, so
    there the others say nothing, and a variance below 1e-14 is dead: Keras divides by its
    root, but by 1e-7 at least.

    Known false positives: inputs that are tiny by design; padding channels of zeros.

    How to mend: remove the channel together with the filter in front of it (see WA402); scale
    inputs before the first normalization.

    Attributes:
        floor: A variance below this is dead; in a Normalization layer below 1e-14 at most.
        relative: A variance below this share of the layer's median is dead as well, except in a
            Normalization layer.
    """

    floor: float = 1e-12
    relative: float = 1e-8

    code = "WA403"
    name = "dead-normalization-channels"
    severity = Severity.WARNING
    examples = (
        Example(title="a trained layer", values=_variance, severity=None, info=_BATCH_NORM),
        Example(
            title="small variances, which are alive",
            values=lambda: _variance(8, 1e-5),
            severity=None,
            info=_BATCH_NORM,
        ),
        Example(
            title="two channels decayed to 1e-36",
            values=lambda: _variance(2, 1.2e-36),
            severity=Severity.WARNING,
            info=_BATCH_NORM,
        ),
        Example(
            title="features in units that differ by ten decades",
            values=lambda: _variance(2, 1e-13) * np.float32(1e8),
            severity=None,
            info=_DATA,
        ),
        Example(
            title="a feature that was the same for all of the data",
            values=lambda: _variance(1),
            severity=Severity.WARNING,
            info=_DATA,
        ),
        Example(
            title="every channel is dead",
            values=lambda: _variance(64, 0),
            severity=Severity.WARNING,
            info=_BATCH_NORM,
        ),
    )

    def __post_init__(self) -> None:
        require(self.relative >= 0 and self.floor >= 0, "relative and floor must not be negative")

    def goes_by_kind(self) -> bool:
        return True

    def applies(self, info: TensorInfo) -> bool:
        return is_weight(info) and info.role is Role.MOVING_VARIANCE

    def needs(self, info: TensorInfo) -> tuple[Statistic[Any], ...]:
        return (_VARIANCES, _NON_FINITE)

    def check(self, info: TensorInfo, stats: Stats) -> Iterator[Finding]:
        variances = _finite(stats)
        if not variances.size or self._is_healthy(variances):
            return
        bound = self._bound(info, variances)
        dead = int((variances < bound).sum())
        if dead:
            who = "this channel" if dead == 1 else "these channels"
            how = "hardly varied, so next to" if variances[variances < bound].any() else "never varied, so"
            yield self.finding(
                info,
                f"{part(dead, info.size, 'variance', 'is', 'are')} below {numeral(bound, 2)} (smallest "
                f"{numeral(float(variances.min()), 2)}); {who} {how} nothing passes through.",
                dead=dead,
                channels=info.size,
                bound=bound,
                minimum=float(variances.min()),
            )

    def _is_healthy(self, variances: NDArray[np.float64]) -> bool:
        """Say whether none is dead whatever the median is; finding that takes much longer."""
        largest: float = variances.item(variances.argmax())
        return variances.item(variances.argmin()) >= max(self.floor, self.relative * largest)

    def _bound(self, info: TensorInfo, variances: NDArray[np.float64]) -> float:
        if info.layer_class == "Normalization":
            return min(self.floor, _DATA_FLOOR)
        return max(self.floor, self.relative * _median(variances))


def _finite(stats: Stats) -> NDArray[np.float64]:
    """Return all variances that are finite; of the others nothing is known of what passes through."""
    variances, lost = stats[_VARIANCES], stats[_NON_FINITE]
    return (
        np.sort(variances, axis=None)[lost.nan + lost.infinite :] if lost.nan or lost.infinite else variances
    )


def _median(values: NDArray[np.float64]) -> float:
    """Return what `np.median` returns, which would import `numpy.ma`: 7 ms."""
    ordered = np.sort(values, axis=None)
    return float(ordered[(values.size - 1) // 2 : values.size // 2 + 1].mean())
