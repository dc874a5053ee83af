"""TEAM101: kernels stay below a bound that the team agreed upon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from weightaudit.projections import Clip
from weightaudit.rule import Example, Finding, Rule, Severity
from weightaudit.statistics import Peak
from weightaudit.tensor import Role

if TYPE_CHECKING:
    from collections.abc import Iterator

    from weightaudit.statistics import Statistic, Stats
    from weightaudit.tensor import TensorInfo


@dataclass(frozen=True)
class PeakBound(Rule):
    """A kernel has a weight that is larger than agreed.

    Why it matters: our accelerator saturates there.

    How to mend: `weightaudit repair` clips what is larger.

    Attributes:
        limit: Largest magnitude that is allowed.
    """

    code: ClassVar[str] = "TEAM101"
    name: ClassVar[str] = "peak-bound"
    severity: ClassVar[Severity] = Severity.ERROR

    limit: float = 1000.0

    examples: ClassVar[tuple[Example, ...]] = (
        Example(
            title="a trained kernel",
            values=lambda: np.linspace(-1, 1, 12, dtype="float32").reshape(3, 4),
            severity=None,
        ),
        Example(
            title="a bias, which is not judged",
            values=lambda: np.array([1, 2000], "float32"),
            severity=None,
            info={"role": Role.BIAS},
        ),
        Example(
            title="one weight of 2000",
            values=lambda: np.array([[1, 2000], [3, 4]], "float32"),
            severity=Severity.ERROR,
        ),
        Example(
            title="three times the bound of the policy",
            values=lambda: np.array([[0.5, -3], [0.2, 0.4]], "float32"),
            severity=Severity.ERROR,
            options={"limit": 1.0},
        ),
    )

    def applies(self, info: TensorInfo) -> bool:
        """Judge kernels only."""
        return info.role is Role.KERNEL

    def needs(self, info: TensorInfo) -> tuple[Statistic[Any], ...]:
        """Ask for the largest magnitude."""
        del info
        return (Peak(),)

    def check(self, info: TensorInfo, stats: Stats) -> Iterator[Finding]:
        """Compare it with the bound."""
        peak = stats[Peak()]
        if peak > self.limit:
            yield self.finding(info, f"The largest weight is {peak:g}, above {self.limit:g}.", peak=peak)

    def projection(self, info: TensorInfo) -> Clip:
        """Say what mends a finding."""
        return Clip(-self.limit, self.limit)
