"""Learns a policy from good models: what was measured of them, widened, as bounds that can be edited.

`observing` takes the figures of an audit apart, `bounding` makes bounds of them, `writing` the text,
and `lesson` proves that the models pass what was written.
"""

from __future__ import annotations

from weightaudit.learning.lesson import Lesson, UnfitError, learn

__all__ = ["Lesson", "UnfitError", "learn"]
