"""What every view of an inspection says alike: figures, shapes, types, identity and totals in words."""

from __future__ import annotations

from math import isnan
from typing import TYPE_CHECKING

from weightaudit.numerals import numeral
from weightaudit.render.escape import printable
from weightaudit.render.summary import size

if TYPE_CHECKING:
    from weightaudit.inspection.layers import Totals
    from weightaudit.portrait import Portrait
    from weightaudit.tensor import Declared, TensorInfo

FIGURES = ("rms", "mean", "std", "l2", "minimum", "maximum")
"""Fields of `Portrait` that are measured values; the counts are shown as integers."""


def number(value: float, digits: int = 3) -> str:
    """Return a measured value: ``0.0123``, ``-4,352``, ``1.2e-07``; a dash for one that is not there.

    Args:
        value: The value.
        digits: Significant digits, as in `numeral`.
    """
    return "-" if isnan(value) else numeral(value, digits)


def percent(share: float) -> str:
    """Return a share in percent, so that neither a little looks like nothing nor nearly all like all."""
    if isnan(share):
        return "-"
    if share in {0.0, 1.0}:
        return f"{share:.0%}"
    return "<0.1%" if share < 0.001 else ">99.9%" if share > 0.999 else f"{share:.1%}"


def shape_text(info: TensorInfo) -> str:
    """Return the shape as ``3x3x64``."""
    return "x".join(map(str, info.shape)) or "scalar"


def role_text(info: TensorInfo) -> str:
    """Return the role, with a question mark where it is guessed."""
    return info.role.value + ("" if info.is_certain or info.role == "unknown" else "?")


def bad_text(shown: Portrait) -> str:
    """Return how many values are not finite, as ``3 NaN, 1 Inf``; empty if all are."""
    infinite = shown.positive_inf + shown.negative_inf
    parts = [f"{shown.nan:,} NaN" if shown.nan else "", f"{infinite:,} Inf" if infinite else ""]
    return ", ".join(filter(None, parts))


def declared_text(one: Declared) -> str:
    """Return a declared object as ``MaxNorm(max_value=2, axis=0)``."""
    arguments = ", ".join(f"{name}={value!r}" for name, value in one.config.items() if value is not None)
    return printable(f"{one.name}({arguments})" + ("" if one.builtin else ", a custom class"))


def plural_of(count: int, noun: str) -> str:
    """Return ``1 weight``, ``2,000 weights``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def totals_lines(total: Totals, of: int) -> list[str]:
    """Return what the tensors add up to: all, by role, and by type where there are several.

    Args:
        total: The sums.
        of: How many tensors the model has.
    """
    whole, weights = total.all, total.weights
    count = (
        plural_of(of, "tensor") if whole.tensors == of else f"{whole.tensors:,} of {plural_of(of, 'tensor')}"
    )
    lines = [f"{count}, {plural_of(weights.numbers, 'weight')}, {size(whole.nbytes)}"]
    if whole.nonfinite:
        lines[0] += f", {whole.nonfinite:,} NaN or Inf"
    if whole.failures:
        lines[0] += f", {whole.failures:,} not read"
    roles = [f"{role} {one.numbers:,} in {one.tensors:,}" for role, one in total.by_role]
    dtypes = [f"{printable(name)} {size(one.nbytes)} in {one.tensors:,}" for name, one in total.by_dtype]
    return [*lines, f"by role: {', '.join(roles)}", f"by type: {', '.join(dtypes)}"]
