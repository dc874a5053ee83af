"""Compares two saved models tensor by tensor, whatever containers they are in.

`result` says what can come out, `matching` which tensor is which, `comparing` does the work.
"""

from __future__ import annotations

from weightaudit.comparison.comparing import compare, compare_checkpoints
from weightaudit.comparison.result import Comparison, Difference, Match, Status, TensorComparison

__all__ = [
    "Comparison",
    "Difference",
    "Match",
    "Status",
    "TensorComparison",
    "compare",
    "compare_checkpoints",
]
