"""WA103: variances that are negative or not finite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.identity.optimizer import is_second_moment
from weightaudit.numerals import numeral
from weightaudit.rule import Example, Finding, Rule, Severity
from weightaudit.statistics import Negative, NonFinite
from weightaudit.tensor import Evidence, Role
from weightaudit_rules._words import part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from weightaudit.projections import Projection
    from weightaudit.statistics import NegativeCount, Statistic, Stats
    from weightaudit.tensor import TensorInfo


def _variance() -> NDArray[np.float32]:
    return np.random.default_rng(1).uniform(1e-3, 40, 64).astype(np.float32)


def _one_negative() -> NDArray[np.float32]:
    variance = _variance()
    variance[7] = -0.125
    return variance


def _second_moments() -> NDArray[np.float32]:
    return np.random.default_rng(2).exponential(1e-6, (64, 32)).astype(np.float32)


_NEGATIVE, _COUNT = Negative(), NonFinite()
_BATCH_NORM = {"role": "moving_variance", "layer_class": "BatchNormalization"}


@dataclass(frozen=True)
class NegativeVariance(Rule):
    """A variance, or a running mean of squares, is negative or not finite.

    Why it matters: a variance is a mean of squares and cannot be negative. Layers and optimizers
    take its square root, which is NaN as soon as the value lies below minus epsilon.

    What is normal: 0 to about 1e6 for the moving variance of a BatchNormalization layer, above
    0 for Adam's second moments. Negative ones come from damaged or wrongly converted files
    (mean and variance swapped), and from float16 accumulation.

    Known false positives: an optimizer of your own that uses a name such as ``velocity`` for a
    signed quantity; and inference never reads slots, so findings on them are warnings.

    How to mend: recompute the moving statistics by a pass over training data with the other
    weights frozen; delete the optimizer's state before training goes on.
    """

    code = "WA103"
    name = "negative-variance"
    severity = Severity.ERROR
    examples = (
        Example(title="a moving variance", values=_variance, severity=None, info=_BATCH_NORM),
        Example(
            title="second moments of Adam",
            values=_second_moments,
            severity=None,
            info={"role": "optimizer_slot", "name": "optimizer/dense/kernel/velocity"},
        ),
        Example(
            title="momentum, which is signed",
            values=lambda: -_second_moments(),
            severity=None,
            info={"role": "optimizer_slot", "name": "optimizer/dense/kernel/momentum"},
        ),
        Example(
            title="a signed slot that is called velocity by a guess",
            values=lambda: -_second_moments(),
            severity=None,
            info={
                "role": "optimizer_slot",
                "name": "optimizer/dense/kernel/velocity",
                "evidence": Evidence.GUESS,
            },
        ),
        Example(
            title="one of 64 variances is negative",
            values=_one_negative,
            severity=Severity.ERROR,
            info=_BATCH_NORM,
        ),
        Example(
            title="a variance that is not finite",
            values=lambda: np.array([1, np.inf, 2, np.nan], np.float32),
            severity=Severity.ERROR,
            info=_BATCH_NORM,
        ),
        Example(
            title="negative second moments of Adam",
            values=lambda: -_second_moments(),
            severity=Severity.WARNING,
            info={"role": "optimizer_slot", "name": "optimizer/dense/kernel/Adam_1"},
        ),
    )

    def applies(self, info: TensorInfo) -> bool:
        if info.role is Role.OPTIMIZER_SLOT:
            # A slot that is only numbered is named after Adam's; Ftrl's second one is signed.
            return is_second_moment(info.name) and info.is_certain and info.is_floating
        return info.role is Role.MOVING_VARIANCE and info.is_floating

    def needs(self, info: TensorInfo) -> tuple[Statistic[Any], ...]:
        return (_NEGATIVE, _COUNT)

    def check(self, info: TensorInfo, stats: Stats) -> Iterator[Finding]:
        negative, broken = stats[_NEGATIVE], stats[_COUNT].total
        if info.role is Role.OPTIMIZER_SLOT:
            if negative.count:
                yield self._negative(info, negative, "second moment", Severity.WARNING)
            return
        if negative.count:
            yield self._negative(info, negative, "variance", Severity.ERROR)
        if broken:
            yield self.finding(
                info,
                f"{part(broken, info.size, 'variance', 'is', 'are')} not finite, which gives zero or NaN.",
                non_finite=broken,
                size=info.size,
            )

    def _negative(self, info: TensorInfo, found: NegativeCount, what: str, severity: Severity) -> Finding:
        return self.finding(
            info,
            f"{part(found.count, info.size, what, 'is', 'are')} negative (smallest "
            f"{numeral(found.minimum)}), "
            "which has no square root.",
            severity,
            negative=found.count,
            minimum=found.minimum,
            size=info.size,
        )

    def projection(self, info: TensorInfo) -> Projection | None:
        from weightaudit.projections import NonNeg

        # A moving variance of zero would make its channel 30 times as loud; second moments start at zero.
        return NonNeg() if info.role is Role.OPTIMIZER_SLOT else None
