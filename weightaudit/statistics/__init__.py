"""What is measured: statistics that fold over the blocks of a tensor and merge associatively."""

from __future__ import annotations

from weightaudit.statistics.axis import AxisNorm, WeakGroups
from weightaudit.statistics.base import Fold, Statistic, Stats
from weightaudit.statistics.block import Block
from weightaudit.statistics.counts import (
    Above,
    AboveCount,
    Below,
    Negative,
    NegativeCount,
    NonFinite,
    NonFiniteCount,
    Tiny,
    TinyCount,
    Zeros,
)
from weightaudit.statistics.extremes import Extremes, Peak, Range, Uniform
from weightaudit.statistics.moments import Moments, MomentSums

__all__ = [
    "Above",
    "AboveCount",
    "AxisNorm",
    "Below",
    "Block",
    "Extremes",
    "Fold",
    "MomentSums",
    "Moments",
    "Negative",
    "NegativeCount",
    "NonFinite",
    "NonFiniteCount",
    "Peak",
    "Range",
    "Statistic",
    "Stats",
    "Tiny",
    "TinyCount",
    "Uniform",
    "WeakGroups",
    "Zeros",
]
