"""What is measured: statistics that fold over the blocks of a tensor and merge associatively."""

from __future__ import annotations

from weightaudit.statistics.axis import AxisNorm, WeakGroups
from weightaudit.statistics.base import UNKNOWN, Fold, Statistic, Stats, Unknown
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
from weightaudit.statistics.spectral import SpectralNorm, Spectrum
from weightaudit.statistics.summary import OVERVIEW, Overview, Summary

__all__ = [
    "OVERVIEW",
    "UNKNOWN",
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
    "Overview",
    "Peak",
    "Range",
    "SpectralNorm",
    "Spectrum",
    "Statistic",
    "Stats",
    "Summary",
    "Tiny",
    "TinyCount",
    "Uniform",
    "Unknown",
    "WeakGroups",
    "Zeros",
]
