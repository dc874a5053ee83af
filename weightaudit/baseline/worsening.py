"""Whether a finding has become clearly worse: by its severity, or by the numbers that decide.

Which numbers decide, and which way is worse, follows from their names. They are those of the built-in
rules, and a plugin's rule takes part by using them; `docs/baseline.md` has them as a table.
"""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING

from weightaudit.numerals import numeral

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from weightaudit.baseline.model import Entry
    from weightaudit.rule import Finding

MORE = frozenset(
    {
        "coarse", "copies", "count", "dead", "layers", "length", "nan", "negative", "non_finite", "positive",
        "relative", "tensors",
    }
)  # fmt: skip
"""Counts and extents: larger is worse."""

BOUNDED = frozenset(
    {
        "correlation", "gain", "largest", "loss", "norm", "ratio", "reached", "rms", "share", "sqnr",
        "stable_rank", "value", "worst",
    }
)  # fmt: skip
"""Measured against ``bound``, ``others``, ``minimum`` or ``maximum``: further beyond is worse."""

CENTRES = {"factor": 1.0, "log10_growth": 0.0}
"""Ratios and exponents: further from this number is worse."""


def worsening(entry: Entry, finding: Finding, margin: float) -> str | None:
    """Return how a finding is clearly worse than it was, as a phrase; None if it is not.

    Args:
        entry: The finding as the baseline has it.
        finding: The same finding now.
        margin: See `Baseline.margin`.
    """
    if finding.severity > entry.severity:
        return f"the severity was {entry.severity.label}"
    now = numbers(finding)
    # Rounded to six digits, a number can lie on its bound; on which side it lies, all digits tell.
    for name, side in _decisive(_numbers(finding)):
        old, new = entry.values.get(name, 0 if name in MORE else None), now[name]
        if old is None:
            return f"there was no {name}, and it is {numeral(new, 6)} now"
        if _is_beyond(side * old, side * new, margin):
            return f"{name} was {numeral(old, 6)} and is {numeral(new, 6)}"
    return None


def numbers(finding: Finding) -> dict[str, float]:
    """Return the numbers among the values of a finding, with six digits; integers stay whole."""
    return {
        name: value if isinstance(value, int) else float(f"{value:.6g}")
        for name, value in _numbers(finding).items()
    }


def _numbers(finding: Finding) -> dict[str, float]:
    """Return the numbers among the values of a finding, with all digits."""
    return {
        name: value
        for name, value in finding.values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _decisive(values: Mapping[str, float]) -> Iterator[tuple[str, int]]:
    """Yield the names of the numbers that decide, each with 1 if larger is worse, and -1 if smaller is.

    Which of the two follows from how the finding is now: what was too large and is too small has
    another fault, however small it is.
    """
    for name, value in values.items():
        # Where channels are dead, the bound is for them, and the largest weight is the measure.
        if name in MORE:
            yield name, 1
        elif name in CENTRES:
            yield name, 1 if value > CENTRES[name] else -1
        elif name in BOUNDED and "dead" not in values:
            side = _side(value, values)
            if side:
                yield name, side


def _side(value: float, values: Mapping[str, float]) -> int:
    """Say on which side of its bound a value lies: 1 above, -1 below, 0 for within, or without a bound."""
    bound = values.get("bound", values.get("others"))
    if bound is not None:
        return -1 if value < bound else int(value != bound)
    if value > values.get("maximum", value):
        return 1
    return -1 if value < values.get("minimum", value) else 0


def _is_beyond(old: float, new: float, margin: float) -> bool:
    """Say whether a number is above another by more than the margin."""
    limit = old * (1 + margin) if old > 0 else old / (1 + margin)
    return new > limit or (isnan(new) and not isnan(old))
