"""How results of the built-in statistics are written as numbers, and made again from them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.statistics import (
    Above,
    AboveCount,
    AxisNorm,
    AxisSum,
    Below,
    ByteLayout,
    Coarse,
    Coarseness,
    ExponentCounts,
    Exponents,
    Extremes,
    Isolated,
    Isolation,
    MagnitudeCounts,
    Magnitudes,
    Misread,
    Moments,
    MomentSums,
    Negative,
    NegativeCount,
    NonFinite,
    NonFiniteCount,
    Peak,
    Range,
    RepeatedPages,
    Repeats,
    SpectralNorm,
    Spectrum,
    Statistic,
    Tiny,
    TinyCount,
    Uniform,
    WeakGroups,
    ZeroRuns,
    Zeros,
    ZeroStretches,
)
from weightaudit.statistics.binning import SignedCounts
from weightaudit.statistics.equal_channels import EqualChannels, Equals
from weightaudit.statistics.summary import Overview, Summary
from weightaudit.statistics.surroundings import Outlier, Standout
from weightaudit.statistics.zero_gaps import LongestZeros, ZeroGaps

if TYPE_CHECKING:
    from numpy.typing import NDArray

Numbers = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Form:
    """The numbers of one kind of result.

    Attributes:
        types: One letter for each number: ``i`` for int64, ``f`` for float64. Empty for arrays of
            float64 that have the shape of the axes which the statistic does not reduce, and ``*`` for
            as many float64 numbers as a result has, which `split` gives, and `join` takes, as an array.
        split: Gives the numbers of a result.
        join: Makes a result of its numbers.
    """

    types: str
    split: Callable[[Any], Any]
    join: Callable[..., Any]

    @property
    def is_array(self) -> bool:
        """Whether results differ in how many numbers they have."""
        return self.types in {"", "*"}


def _same(number: Any) -> Any:
    return number


def _alone(result: Any) -> Numbers:
    return (result,)


def _of(kind: type[Any], types: str) -> Form:
    """Return the form of a dataclass of numbers."""
    return Form(types, attrgetter(*(field.name for field in dataclasses.fields(kind))), kind)


def _split_uniform(value: float | None) -> Numbers:
    return (0, 0.0) if value is None else (1, value)


def _join_uniform(is_one: int, value: float) -> float | None:
    return value if is_one else None


def _split_counts(counts: SignedCounts) -> NDArray[np.float64]:
    # A count is at most the size of a tensor, and float64 holds it exactly.
    return np.array((counts.lowest, counts.zeros, *counts.positive, *counts.negative), np.float64)


def _counts(kind: type[SignedCounts]) -> Form:
    """Return the form of counts by sign and size, of which there are as many as a tensor needs."""

    def join(numbers: NDArray[np.float64]) -> SignedCounts:
        lowest, zeros, *counts = map(int, numbers.tolist())
        if len(counts) % 2:
            raise ValueError("there are as many counts of either sign")
        middle = len(counts) // 2
        return kind(lowest, tuple(counts[:middle]), tuple(counts[middle:]), zeros)

    return Form("*", _split_counts, join)


_COUNT = Form("i", _alone, _same)
_ARRAY = Form("", _same, _same)

FORMS: dict[type[Statistic[Any]], Form] = {
    Above: _of(AboveCount, "if"),
    AxisNorm: _ARRAY,
    AxisSum: _ARRAY,
    Below: _COUNT,
    ByteLayout: _of(Misread, "ffff"),
    Coarseness: _of(Coarse, "ii"),
    EqualChannels: _of(Equals, "iii"),
    Exponents: _counts(ExponentCounts),
    Extremes: _of(Range, "ff"),
    Isolation: _of(Isolated, "ififf"),
    LongestZeros: _of(ZeroGaps, "iiiii"),
    Magnitudes: _counts(MagnitudeCounts),
    Moments: _of(MomentSums, "iff"),
    Negative: _of(NegativeCount, "if"),
    NonFinite: _of(NonFiniteCount, "iiii"),
    Overview: _of(Summary, "ifffff"),
    Peak: Form("f", _alone, _same),
    RepeatedPages: _of(Repeats, "iii"),
    SpectralNorm: Form(
        "ff", attrgetter("norm", "squares"), Spectrum
    ),  # one with a reason follows from the shape
    Standout: _of(Outlier, "ififff"),
    Tiny: _of(TinyCount, "ifi"),
    Uniform: Form("if", _split_uniform, _join_uniform),
    WeakGroups: _ARRAY,
    ZeroStretches: _of(ZeroRuns, "iiiiiiii"),
    Zeros: _COUNT,
}
"""Statistics that are kept; those of plugins are measured every time."""

_KINDS = {kind.__name__: kind for kind in FORMS}


def describe(statistic: Statistic[Any]) -> list[Any]:
    """Return a statistic as JSON: its name and the values of its fields, in their order."""
    fields: Any = dataclasses.fields(statistic)  # type: ignore[arg-type]
    return [type(statistic).__name__, *(getattr(statistic, field.name) for field in fields)]


def parse(description: Any) -> Statistic[Any]:
    """Return the statistic that `describe` described.

    Raises:
        ValueError: It is none of the built-in ones, or a field has the wrong type.
    """
    if not _is_list(description) or not description:
        raise ValueError("a description is a list that begins with a name")
    name, *values = description
    kind = _KINDS.get(name)
    fields: Any = dataclasses.fields(kind) if kind else ()  # type: ignore[arg-type]
    if kind is None or len(values) != len(fields):
        raise ValueError(f"{name} is no statistic with {len(values)} fields")
    return kind(*(_field(field.name, value) for field, value in zip(fields, values, strict=True)))


def _field(name: str, value: Any) -> Any:
    if name != "axes":
        if type(value) not in {int, float}:
            raise ValueError(f"{name} is no number")
        return value
    if value is None:
        return None
    if not _is_list(value) or not all(type(axis) is int for axis in value):
        raise ValueError("axes are a list of integers")
    return tuple(value)


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def array_shape(statistic: Statistic[Any], shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of the result of an `AxisNorm`, `AxisSum` or `WeakGroups` for a tensor of that shape.

    Raises:
        ValueError: The tensor does not have the axes.
    """
    if not isinstance(statistic, AxisNorm | AxisSum | WeakGroups):
        raise TypeError(f"{statistic} gives no array")
    rank = len(shape)
    axes = range(rank) if statistic.axes is None else statistic.axes
    if not all(-rank <= axis < rank for axis in axes):
        raise ValueError(f"a tensor of shape {shape} does not have the axes {statistic.axes}")
    reduced = {axis % rank for axis in axes}
    return tuple(length for axis, length in enumerate(shape) if axis not in reduced)
