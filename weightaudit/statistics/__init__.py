"""What is measured: statistics that fold over the blocks of a tensor and merge associatively."""

from __future__ import annotations

from weightaudit.statistics.axis import AxisNorm, AxisSum, WeakGroups
from weightaudit.statistics.base import UNKNOWN, Fold, Statistic, Stats, Unknown
from weightaudit.statistics.block import Block
from weightaudit.statistics.byte_layout import ByteLayout, Misread
from weightaudit.statistics.coarse import Coarse, Coarseness
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
from weightaudit.statistics.exponents import ExponentCounts, Exponents
from weightaudit.statistics.extremes import Extremes, Peak, Range, Uniform
from weightaudit.statistics.isolated import Isolated, Isolation
from weightaudit.statistics.magnitudes import MagnitudeCounts, Magnitudes
from weightaudit.statistics.moments import Moments, MomentSums
from weightaudit.statistics.repeated_pages import RepeatedPages, Repeats
from weightaudit.statistics.spectral import SpectralNorm, Spectrum
from weightaudit.statistics.summary import OVERVIEW, Overview, Summary
from weightaudit.statistics.zero_runs import ZeroRuns, ZeroStretches

__all__ = [
    "OVERVIEW",
    "UNKNOWN",
    "Above",
    "AboveCount",
    "AxisNorm",
    "AxisSum",
    "Below",
    "Block",
    "ByteLayout",
    "Coarse",
    "Coarseness",
    "ExponentCounts",
    "Exponents",
    "Extremes",
    "Fold",
    "Isolated",
    "Isolation",
    "MagnitudeCounts",
    "Magnitudes",
    "Misread",
    "MomentSums",
    "Moments",
    "Negative",
    "NegativeCount",
    "NonFinite",
    "NonFiniteCount",
    "Overview",
    "Peak",
    "Range",
    "RepeatedPages",
    "Repeats",
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
    "ZeroRuns",
    "ZeroStretches",
    "Zeros",
]
