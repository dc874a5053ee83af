"""A baseline: findings that are known, so that only new or clearly worse ones fail."""

from __future__ import annotations

from weightaudit.baseline.applying import apply, baseline_of, pruned
from weightaudit.baseline.document import read_baseline, schema, text_of
from weightaudit.baseline.model import MARGIN, Applied, Baseline, Entry

__all__ = [
    "MARGIN",
    "Applied",
    "Baseline",
    "Entry",
    "apply",
    "baseline_of",
    "pruned",
    "read_baseline",
    "schema",
    "text_of",
]
