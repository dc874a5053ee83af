"""Numbers and sentences as pages show them."""

from __future__ import annotations

import re
from math import isfinite, isnan
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from weightaudit.numerals import numeral
from weightaudit.render.escape import MESSAGE_LIMIT, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

MINUS = "\N{MINUS SIGN}"
NONE = "\N{EN DASH}"
"""Stands for a number that there is not."""


def shown(text: str) -> str:
    """Return a name or a sentence from a file, made safe to show; see `printable`."""
    return printable(text, MESSAGE_LIMIT)


def number(value: float | None) -> str:
    """Return a number with three digits: ``0.0123``, ``1.2e-7``; a dash if there is none."""
    if value is None or isnan(value):
        return NONE
    if not isfinite(value):
        return "\N{INFINITY}" if value > 0 else f"{MINUS}\N{INFINITY}"
    mantissa, e, exponent = numeral(value).partition("e")
    text = f"{mantissa}e{int(exponent)}" if e else mantissa
    return text.replace("-", MINUS)


def count(value: int) -> str:
    """Return an integer with its thousands apart: ``25,636,712``."""
    return f"{value:,}"


def decade(power: int) -> str:
    """Return a power of ten as axes show it: ``1e5``, ``1``, ``1e-8`` with a true minus."""
    return f"1e{power}".replace("-", MINUS) if power else "1"


def shape(dimensions: Sequence[int]) -> str:
    """Return the shape of a tensor, with multiplication signs, or that it is a scalar."""
    return "\N{MULTIPLICATION SIGN}".join(map(str, dimensions)) or "scalar"


def percent(share: float | None) -> str:
    """Return a share of one: ``0``, ``12.5 %``, ``<0.01 %``; 100 % only if it is all."""
    if share is None or isnan(share):
        return NONE
    if share in (0, 1):
        return f"{share * 100:.0f} %"
    if share < 1e-4:
        return "<0.01 %"
    if share > 0.9999:
        return ">99.99 %"
    digits = 2 if share < 0.01 else 1
    return f"{share:.{digits}%}".replace("%", " %")


def codes(text: str) -> Markup:
    """Return a sentence in which what stands between backticks is marked up as code."""
    parts = re.split(r"``?([^`]+)``?", text)
    marked = [
        Markup("<code>{}</code>").format(part) if place % 2 else escape(part)
        for place, part in enumerate(parts)
    ]
    return Markup().join(marked)
