"""TEAM101: kernels stay below a bound that the team agreed upon."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from weightaudit.rule import Finding, Rule, Severity
from weightaudit.statistics import Peak
from weightaudit.tensor import Role

if TYPE_CHECKING:
    from collections.abc import Iterator

    from weightaudit.statistics import Statistic, Stats
    from weightaudit.tensor import TensorInfo


@dataclass(frozen=True)
class PeakBound(Rule):
    """No weight of a kernel is larger than agreed.

    Attributes:
        limit: Largest magnitude that is allowed.
    """

    code: ClassVar[str] = "TEAM101"
    name: ClassVar[str] = "peak-bound"
    severity: ClassVar[Severity] = Severity.ERROR

    limit: float = 1000.0

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
