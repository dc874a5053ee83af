"""Checks of options, so that a policy that makes no sense is refused instead of silently followed."""

from __future__ import annotations

from math import inf


def require(condition: bool, demand: str) -> None:  # noqa: FBT001 - a condition is what it is
    """Raise ValueError with the demand, which names the option, unless the condition holds."""
    if not condition:
        raise ValueError(demand)


def require_interval(
    low: float | None, high: float | None, smallest: float = -inf, largest: float = inf
) -> None:
    """Raise ValueError unless the options `min` and `max` make an interval within the two limits."""
    for name, bound in (("min", low), ("max", high)):
        if bound is not None:
            require(smallest <= bound <= largest, f"{name} must lie between {smallest:g} and {largest:g}")
    if low is not None and high is not None:
        require(low <= high, "min must not be above max")
