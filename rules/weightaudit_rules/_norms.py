"""What the norm rules share: group norms along axes against a lower and an upper bound."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.numerals import numeral
from weightaudit.rule import Finding, Severity
from weightaudit.statistics import AxisNorm
from weightaudit.statistics.axis import fits
from weightaudit_rules._options import require
from weightaudit_rules._selection import SelectiveRule
from weightaudit_rules._tolerance import relative_tolerance
from weightaudit_rules._words import part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from weightaudit.statistics import Statistic, Stats
    from weightaudit.tensor import TensorInfo


@dataclass(frozen=True)
class NormRule(SelectiveRule, ABC):
    """Compares the norm of every group of elements with `bounds`."""

    axis: int | tuple[int, ...] | None = None
    tolerance: float | None = None

    def __post_init__(self) -> None:
        require(self.tolerance is None or self.tolerance >= 0, "tolerance must not be negative")

    @property
    def norm_order(self) -> float:
        """Order of the norm: 1, 2 or inf."""
        return 2.0

    @property
    @abstractmethod
    def bounds(self) -> tuple[float, float]:
        """Smallest and largest norm that is allowed."""

    @property
    def _axes(self) -> tuple[int, ...] | None:
        return (self.axis,) if isinstance(self.axis, int) else self.axis

    @property
    def _norms(self) -> AxisNorm:
        return AxisNorm(self._axes, self.norm_order)

    def fits(self, info: TensorInfo) -> bool:
        """Say whether a tensor has the axes that the norm is taken over."""
        return fits(self._axes, len(info.shape))

    def needs(self, info: TensorInfo) -> tuple[Statistic[Any], ...]:
        return (self._norms,) if self.fits(info) else ()

    def check(self, info: TensorInfo, stats: Stats) -> Iterator[Finding]:
        if not self.fits(info):
            # Silence here would open the gate for a tensor that nobody looked at.
            message = f"The shape {info.shape} has no axes {self._axes}, so the norm was not judged."
            yield self.finding(info, message, Severity.WARNING)
            return
        norms = np.atleast_1d(stats[self._norms])
        lower, upper = self.bounds
        slack = relative_tolerance(info.dtype, self.tolerance)
        beyond = norms > upper * (1 + slack)
        short = norms < lower * (1 - slack)
        if (beyond | short).any():
            yield self._violation(info, norms, beyond, short)

    def _violation(
        self,
        info: TensorInfo,
        norms: NDArray[np.float64],
        beyond: NDArray[np.bool_],
        short: NDArray[np.bool_],
    ) -> Finding:
        lower, upper = self.bounds
        excess = np.where(beyond, norms - upper, np.where(short, lower - norms, -inf))
        worst = int(excess.argmax())
        value = float(norms.flat[worst])
        count = int((beyond | short).sum())
        where = (
            "" if norms.size == 1 else f" at index {tuple(map(int, np.unravel_index(worst, norms.shape)))}"
        )
        side = f"above {numeral(upper, 6)}" if beyond.flat[worst] else f"below {numeral(lower, 6)}"
        over = "all axes" if self._axes is None else f"the axes {self._axes}"
        return self.finding(
            info,
            f"{part(count, norms.size, 'norm', 'breaks', 'break')} the bound "
            f"(order {numeral(self.norm_order, 6)}, over {over}); the worst{where} is "
            f"{numeral(value, 6)}, {side}.",
            count=count,
            groups=norms.size,
            worst=value,
            minimum=lower,
            maximum=upper,
        )
