"""WA304: values outside of an interval that the policy states."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.numerals import numeral
from weightaudit.rule import Example, Finding, Severity
from weightaudit.statistics import Extremes
from weightaudit_rules._options import require, require_interval
from weightaudit_rules._selection import SelectiveRule
from weightaudit_rules._tolerance import relative_tolerance

if TYPE_CHECKING:
    from collections.abc import Iterator

    from weightaudit.projections import Projection
    from weightaudit.statistics import Statistic, Stats
    from weightaudit.tensor import TensorInfo


@dataclass(frozen=True)
class ValueBound(SelectiveRule):
    """A value is outside of the interval that the policy states.

    Why it matters: clipped weights (Wasserstein critics, fixed-point ranges, probabilities) are
    only worth something if every single one is inside.

    What is normal: inside, up to rounding to the storage type: float32 has no 0.1, and the
    nearest value is 1.5e-8 above it.

    Known false positives: none beyond the tolerance.

    How to mend: clip the tensor, and clip after the last optimizer step of training.

    Attributes:
        tensors: Globs of tensor names to judge; empty: any name.
        roles: Roles to judge; empty: any role.
        layer_classes: Globs of layer classes to judge; empty: any class. Without any of these
            three, kernels and embeddings are judged.
        min: Smallest value allowed; the rule is silent without `min` and `max`.
        max: Largest value allowed.
        tolerance: Slack relative to the bound; None for 1e-5 plus twice the type's epsilon.
    """

    min: float | None = None
    max: float | None = None
    tolerance: float | None = None

    code = "WA304"
    name = "value-bound"
    severity = Severity.ERROR
    examples = (
        Example(
            title="weights clipped to 0.1, which float32 rounds up",
            values=lambda: np.full((64, 32), 0.1, np.float32),
            severity=None,
            options={"min": -0.1, "max": 0.1},
        ),
        Example(
            title="large weights without a policy",
            values=lambda: np.full((64, 32), 9, np.float32),
            severity=None,
        ),
        Example(
            title="one weight above the bound",
            values=lambda: np.linspace(-0.1, 0.11, 64, dtype=np.float32).reshape(8, 8),
            severity=Severity.ERROR,
            options={"max": 0.1},
        ),
        Example(
            title="one weight below the bound",
            values=lambda: np.linspace(-0.5, 0, 64, dtype=np.float32).reshape(8, 8),
            severity=Severity.ERROR,
            options={"min": -0.4, "tensors": ("layer/*",)},
        ),
    )

    def __post_init__(self) -> None:
        require_interval(self.min, self.max)
        require(self.tolerance is None or self.tolerance >= 0, "tolerance must not be negative")

    def is_active(self) -> bool:
        return self.min is not None or self.max is not None

    def needs(self, info: TensorInfo) -> tuple[Statistic[Any], ...]:
        return (Extremes(),)

    def check(self, info: TensorInfo, stats: Stats) -> Iterator[Finding]:
        extremes = stats[Extremes()]
        slack = relative_tolerance(info.dtype, self.tolerance)
        if self.min is not None and extremes.minimum < self.min - slack * abs(self.min):
            yield self.finding(
                info,
                f"The smallest value is {numeral(extremes.minimum, 6)}, below {numeral(self.min, 6)}.",
                value=extremes.minimum,
                bound=self.min,
            )
        if self.max is not None and extremes.maximum > self.max + slack * abs(self.max):
            yield self.finding(
                info,
                f"The largest value is {numeral(extremes.maximum, 6)}, above {numeral(self.max, 6)}.",
                value=extremes.maximum,
                bound=self.max,
            )

    def projection(self, info: TensorInfo) -> Projection | None:
        from weightaudit.projections import Clip

        return Clip(-inf if self.min is None else self.min, inf if self.max is None else self.max)
