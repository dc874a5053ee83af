"""What is expected of a cast of a tensor to a narrower format, and which formats there are."""

from __future__ import annotations

from math import inf, isfinite
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from weightaudit.statistics import AxisNorm, Exponents, Moments, Peak
from weightaudit.tensor import MATRIX_ROLES, Role
from weightaudit_rules._floats import FORMATS, FloatFormat
from weightaudit_rules._noise import (
    INT8_LARGEST,
    best_shift,
    decibels,
    float_noise,
    int8_channel_noise,
    int8_noise,
)
from weightaudit_rules._roles import is_weight

if TYPE_CHECKING:
    from weightaudit.statistics import Statistic, Stats
    from weightaudit.tensor import TensorInfo

Format = Literal["float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "int8", "int8_per_tensor"]
"""Formats that models are cast to; `int8` has a step for each output channel."""

PEAK = Peak()
_MOMENTS, _EXPONENTS = Moments(), Exponents()
_WHOLE_MODEL = frozenset({"float16", "bfloat16"})
_INTEGERS = frozenset({"int8", "int8_per_tensor"})
_FLOATS = frozenset({"float16", "bfloat16", "float32", "float64"})


class Cast(NamedTuple):
    """What is expected of a cast.

    Attributes:
        sqnr: Signal-to-quantization-noise ratio in dB.
        shift: The power of two that the tensor is multiplied by before.
        overflows: Whether the largest value is beyond the format then.
    """

    sqnr: float
    shift: int = 0
    overflows: bool = False


def is_cast(info: TensorInfo, target: Format) -> bool:
    """Say whether a converter to the format changes the tensor: 8 bits are for matrices only."""
    if target in _INTEGERS:
        return _is_matrix(info) and info.dtype in _FLOATS
    is_wider = info.dtype in _limits(target).narrower_than
    return is_wider and (_is_matrix(info) or (target in _WHOLE_MODEL and is_weight(info)))


def is_judged(info: TensorInfo, target: Format) -> bool:
    """Say whether the noise of a cast to the format matters for the tensor."""
    return is_cast(info, target) and (_is_matrix(info) or info.role is Role.NORM_SCALE)


def needed(info: TensorInfo, formats: tuple[Format, ...]) -> tuple[Statistic[Any], ...]:
    """Return the statistics that casts to some formats are judged by."""
    if not any(is_judged(info, target) for target in formats):
        return (PEAK,)
    channels = () if _INTEGERS.isdisjoint(formats) else (_channels(info),)
    return (PEAK, _MOMENTS, _EXPONENTS, *channels)


def expected(info: TensorInfo, stats: Stats, target: Format, shift: int = 0) -> Cast | None:
    """Return what is expected of a cast of a tensor times ``2**shift``; int8 has scales of its own.

    None where there is nothing but zeros, or squares leave the range of float64.
    """
    signal, peak, counts = stats[_MOMENTS].squares, stats[PEAK], stats[_EXPONENTS]
    if not (isfinite(signal) and signal > 0):
        return None
    if target == "int8":
        return Cast(decibels(signal, int8_channel_noise(counts, stats[_channels(info)])))
    if target == "int8_per_tensor":
        return Cast(decibels(signal, int8_noise(counts, peak)))
    limits = _limits(target)
    sqnr = decibels(signal, float_noise(counts, limits, shift))
    return Cast(sqnr, shift, peak * 2.0**shift >= limits.overflow)


def usual(info: TensorInfo, stats: Stats, target: Format, *, scaled: bool) -> Cast | None:
    """Return what is expected of the cast that converters do: `scaled` is for float8 alone."""
    is_bare = target in _INTEGERS or target in _WHOLE_MODEL or not scaled
    return expected(info, stats, target, 0 if is_bare else best_shift(stats[PEAK], _limits(target)))


def best(info: TensorInfo, stats: Stats, target: Format) -> Cast | None:
    """Return what is expected with the scale that suits the tensor best, or for int8 the scales."""
    if target in _INTEGERS:
        return expected(info, stats, "int8")
    return expected(info, stats, target, best_shift(stats[PEAK], _limits(target)))


def overflows(peak: float, target: Format) -> bool:
    """Say whether a bare cast loses the largest value of a tensor."""
    return target not in _INTEGERS and peak >= _limits(target).overflow


def factor(peak: float, target: Format) -> float:
    """Return what brings the largest magnitude of a tensor to the end of a format's range."""
    if target in _INTEGERS:
        return INT8_LARGEST / peak if peak else inf
    return 2.0 ** best_shift(peak, _limits(target))


def advice(info: TensorInfo, target: Format, cast: Cast | None, bound: float) -> str:
    """Return what to do, given the best cast and the bound in dB, as a clause."""
    if cast is None or cast.sqnr < bound:
        return f"keep it in {info.dtype}"
    how = (
        "with a step for each output channel"
        if target in _INTEGERS
        else f"multiplied by 2**{cast.shift} before"
    )
    return f"{how}, it would be {cast.sqnr:.1f} dB"


def _limits(target: Format) -> FloatFormat:
    return next(limits for name, limits in FORMATS.items() if name == target)


def _is_matrix(info: TensorInfo) -> bool:
    is_constant = info.role is Role.CONSTANT and len(info.shape) > 1
    return is_weight(info) and (info.role in MATRIX_ROLES or is_constant)


def _channels(info: TensorInfo) -> AxisNorm:
    """Return the statistic of the largest magnitude of each output channel; of the tensor if it has none."""
    return AxisNorm(info.summed_axes if info.output_axes else None, inf)
