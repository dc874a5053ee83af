"""Checks of parameters, so that a projection that makes no sense is refused when it is made."""

from __future__ import annotations

from math import isfinite

_SMALLEST, _LARGEST = 1e-250, 1e250


def require(condition: bool, demand: str) -> None:  # noqa: FBT001 - a condition is what it is
    """Raise ValueError with the demand, which names the parameter, unless the condition holds."""
    if not condition:
        raise ValueError(demand)


def require_norm(name: str, value: float) -> None:
    """Raise ValueError unless the value is a bound of a norm.

    Bounds next to the ends of float64 are refused: products with them would overflow or lose digits.
    """
    usable = value == 0 or _SMALLEST <= value <= _LARGEST
    require(usable, f"{name} must be 0 or lie between {_SMALLEST:g} and {_LARGEST:g}")


def require_finite(name: str, value: float | None) -> None:
    """Raise ValueError unless the value is a finite number or None."""
    require(value is None or isfinite(value), f"{name} must be a finite number")
