"""The bounds that the policy sets on single values, where they belong in a histogram.

What a rule asks to be counted tells its bound: `Above` has the magnitude from which on a number is too large.
So does the projection that would mend its findings, if that clips values.
The bound of a finding is one, too, if what it measured is the least or the largest value of the tensor.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, TypeGuard

from weightaudit.statistics import Above, Extremes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from weightaudit.registry import Judge, RuleSet
    from weightaudit.report import ModelReport
    from weightaudit.rule import Value
    from weightaudit.statistics import Stats
    from weightaudit.tensor import TensorInfo


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound on the magnitude of single values.

    Attributes:
        value: The magnitude.
        label: Who sets it: the code of a rule, or ``rule`` where several could.
    """

    value: float
    label: str


def limits(model: ModelReport, rules: RuleSet | None = None) -> dict[str, list[Limit]]:
    """Return the bounds of each tensor that has some, by its name, from the least to the largest."""
    known: defaultdict[str, dict[float, str]] = defaultdict(dict)
    if rules is not None:
        for info in model.tensors:
            if info.name in model.stats:
                judges = [one for one in rules.judges_for(info) if one.rule.applies(info)]
                known[info.name] |= _clipped(info, judges) | _counted(info, judges)
    for name, stats in model.stats.items():
        for what in stats:
            if isinstance(what, Above):
                known[name].setdefault(what.limit, "rule")
    for finding in model.findings:
        bound = finding.values.get("bound")
        if finding.tensor is None or finding.tensor not in model.stats or not _is_magnitude(bound):
            continue
        if bound in known[finding.tensor] or _is_extreme(
            finding.values.get("value"), model.stats[finding.tensor]
        ):
            known[finding.tensor][abs(bound)] = finding.code
    return {
        name: [Limit(value, label) for value, label in sorted(found.items())]
        for name, found in known.items()
        if found
    }


def _clipped(info: TensorInfo, judges: Iterable[Judge]) -> dict[float, str]:
    """Return the bounds of the clipping that rules propose for a tensor, whether it needs any or not."""
    from weightaudit.projections import Clip

    found: dict[float, str] = {}
    for one in judges:
        mending = one.rule.projection(info)
        if isinstance(mending, Clip):
            ends = (mending.minimum, mending.maximum)
            found |= {abs(end): one.rule.code for end in ends if _is_magnitude(end)}
    return found


def _counted(info: TensorInfo, judges: Iterable[Judge]) -> dict[float, str]:
    """Return the magnitudes from which on rules count the numbers of a tensor."""
    return {
        what.limit: one.rule.code
        for one in judges
        for what in one.rule.needs(info)
        if isinstance(what, Above)
    }


def _is_magnitude(bound: Value) -> TypeGuard[float]:
    return isinstance(bound, float | int) and not isinstance(bound, bool) and isfinite(bound) and bound != 0


def _is_extreme(value: Value, stats: Stats) -> bool:
    extremes = stats.get(Extremes())
    return extremes is not None and value in (extremes.minimum, extremes.maximum)
