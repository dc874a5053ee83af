"""How a measured number is written in every sentence that a person reads."""

from __future__ import annotations


def numeral(value: float, digits: int = 3) -> str:
    """Return a number in digits: ``0.0123``, ``-4,352``, ``65,504``, ``1.2e-07``, ``3.4e+38``.

    Args:
        value: The number; ``nan`` and ``inf`` are written so.
        digits: Significant digits; up to a million, all that stand before the point are written.
    """
    text = f"{value:,.{digits}g}"
    return f"{round(value):,}" if "e+" in text and abs(value) < 1e6 else text
