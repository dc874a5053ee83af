"""What the rules about singular values share: which tensors they judge, and what they say of the others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from weightaudit.rule import Severity
from weightaudit.statistics import SpectralNorm
from weightaudit_rules._selection import SelectiveRule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from weightaudit.rule import Finding
    from weightaudit.statistics import Spectrum, Statistic, Stats
    from weightaudit.tensor import TensorInfo


@dataclass(frozen=True)
class SpectralRule(SelectiveRule, ABC):
    """Judges the singular values of a tensor with all axes but the last flattened into one."""

    def needs(self, info: TensorInfo) -> tuple[Statistic[Any], ...]:
        return (SpectralNorm(),)

    def check(self, info: TensorInfo, stats: Stats) -> Iterator[Finding]:
        spectrum = stats[SpectralNorm()]
        if spectrum.reason:
            # Silence here would open the gate for a tensor that nobody looked at.
            message = f"Its singular values were not measured, since {spectrum.reason}."
            yield self.finding(info, message, Severity.WARNING)
            return
        yield from self.judge(info, spectrum)

    @abstractmethod
    def judge(self, info: TensorInfo, spectrum: Spectrum) -> Iterator[Finding]:
        """Yield what is wrong with singular values that were measured."""
