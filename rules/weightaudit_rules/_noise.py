"""How much a cast adds to a tensor as noise, expected from its exponents, without doing it.

The error of rounding to a grid of step s is taken to be uniform, so that its mean square is s**2 / 12
(Widrow and Kollar, Quantization Noise, 2008); values that become zero lose their own square.
"""

from __future__ import annotations

from math import frexp, inf, ldexp, log10
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from weightaudit.statistics import ExponentCounts
    from weightaudit_rules._floats import FloatFormat

INT8_LARGEST = 127
"""Largest code of symmetric int8; -128 is not used."""

_UNIFORM = 1 / 12
_OWN_SQUARE = 7 / 3
"""Mean of x**2 over [1, 2): what is lost of a value of exponent 0 that becomes zero."""


def decibels(signal: float, noise: float) -> float:
    """Return ``10 * log10(signal / noise)``, Inf without noise, and 0 at least.

    Zero is on every grid, so that rounding to the nearest place never costs more than the value itself.
    """
    return max(0.0, 10 * log10(signal / noise)) if noise > 0 else inf


def best_shift(peak: float, target: FloatFormat) -> int:
    """Return the largest k for which ``2**k`` times the largest magnitude is in the range of a format.

    With the largest scale, the fewest values are subnormal or become zero, so that none is better.
    """
    if not 0 < peak < inf:
        return 0
    shift = frexp(target.largest)[1] - frexp(peak)[1]
    return shift if ldexp(peak, shift) <= target.largest else shift - 1


def float_noise(counts: ExponentCounts, target: FloatFormat, shift: int = 0) -> float:
    """Return the expected sum of squared errors of a cast of a tensor that is scaled by ``2**shift``.

    Values of exponent e are rounded to steps of ``2**(e - p + 1)``, p being the format's digits, those
    below its normal range to steps of its smallest number, those below half of that to zero. Values beyond
    its range are not counted. Errors are those of the tensor itself, after it is scaled back. The squares
    of all values must be finite in float64.
    """
    least_normal = frexp(target.normal)[1] - 1
    noise = 0.0
    for exponent, count in counts:
        scaled = exponent + shift
        if scaled < least_normal - target.digits:
            noise += count * _OWN_SQUARE * 4.0**exponent
        else:
            step = max(scaled, least_normal) - target.digits + 1 - shift
            noise += count * _UNIFORM * 4.0**step
    return noise


def int8_noise(counts: ExponentCounts, peak: float) -> float:
    """Return the expected sum of squared errors of symmetric int8 with a step of ``peak / 127``."""
    step = peak / INT8_LARGEST
    noise = 0.0
    for exponent, count in counts:
        lost = 2.0 ** (exponent + 1) <= step / 2
        noise += count * (_OWN_SQUARE * 4.0**exponent if lost else _UNIFORM * step**2)
    return noise


def int8_channel_noise(counts: ExponentCounts, peaks: NDArray[np.float64]) -> float:
    """Return the expected sum of squared errors of symmetric int8 with a step for each channel.

    What lies below a quarter of a channel's step, zeros included, becomes zero and is neglected. Of the
    tensor's elements that are so small, those in channels that hold nothing else are no part of others;
    the rest is taken to be spread evenly.

    Args:
        counts: Exponents of the whole tensor.
        peaks: Largest magnitude of each channel; all channels have as many elements.
    """
    exponents, held = np.array([(0, 0), *counts]).T[:, 1:]
    size = counts.zeros + counts.nonzero
    steps = np.sort(peaks, axis=None) / INT8_LARGEST
    if not size or not steps.size:
        return 0.0
    # A step in [2**k, 2**(k + 1)): magnitudes below 2**(k - 1) are of exponents up to k - 2.
    limit = np.frexp(steps)[1] - 3
    small = counts.zeros + np.concatenate([[0], np.cumsum(held)])[np.searchsorted(exponents, limit, "right")]
    weak = np.searchsorted(steps, np.ldexp(1.0, limit + 1) / INT8_LARGEST) * (size / steps.size)
    rounded = 1 - np.clip((small - weak) / np.maximum(size - weak, 1), 0, 1)
    return float(np.sum(rounded * steps**2)) * _UNIFORM * size / steps.size
