"""Values as JSON has them: what every JSON document that we write says alike."""

from __future__ import annotations

import json
from io import StringIO
from math import isfinite, isnan
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from weightaudit.change import Change, Figures
    from weightaudit.rule import Value


def plain(value: Value) -> Value:
    """Return a value that JSON has: numpy's numbers as Python's, and non-finite ones as strings."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return safe_text(value)
    if isinstance(value, Integral):
        return int(value)
    number = float(value) if isinstance(value, Real) else value
    if isfinite(number):
        return number
    if isnan(number):
        return "NaN"
    return "Infinity" if number > 0 else "-Infinity"


def safe_text(text: str) -> str:
    r"""Return the text with lone surrogates spelled out as ``\udc80``: JSON readers refuse them."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def change_json(change: Change) -> dict[str, Any]:
    """Return what happens to a tensor as the plan of a repair and the record of a version have it."""
    return {
        "tensor": safe_text(change.tensor),
        "projections": [safe_text(one) for one in change.projections],
        "rules": [safe_text(one) for one in change.rules],
        "elements": change.elements,
        "size": change.size,
        "relative": plain(change.relative),
        "largest": plain(change.largest),
        "before": _figures(change.before),
        "after": _figures(change.after),
        "digest": change.digest,
    }


def _figures(figures: Figures) -> dict[str, Value]:
    return {
        "l2": plain(figures.l2),
        "minimum": plain(figures.minimum),
        "maximum": plain(figures.maximum),
        "zeros": figures.zeros,
        "nonfinite": figures.nonfinite,
    }


def json_text(document: Any) -> str:
    """Return a document as indented ASCII with a line end, harmless in any terminal and any CI log."""
    # json.dumps keeps every piece of an indented document until the last one is made: many times the text.
    whole = StringIO()
    whole.writelines(json.JSONEncoder(indent=2, allow_nan=False).iterencode(document))
    text = whole.getvalue()
    # Azure, TeamCity and GitHub look for commands that start with ## anywhere in a line.
    return text.replace("##", r"#\u0023") + "\n"
