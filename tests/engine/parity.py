"""Both engines on the same tensors, and how far their results may differ."""

from __future__ import annotations

from dataclasses import replace
from math import inf, prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.statistics.arrays import parts
from weightaudit.catalog import Entry, Inline
from weightaudit.engine import numpy_engine
from weightaudit.engine.decoding import PlainDecoder
from weightaudit.engine.scanning import Subject
from weightaudit.engine.tensorflow.engine import measure
from weightaudit.source import Files
from weightaudit.statistics import (
    OVERVIEW,
    Above,
    AxisNorm,
    AxisSum,
    Below,
    ByteLayout,
    Coarseness,
    Extremes,
    Isolation,
    Moments,
    MomentSums,
    Negative,
    NonFinite,
    Peak,
    RepeatedPages,
    SpectralNorm,
    Statistic,
    Stats,
    Summary,
    Tiny,
    TinyCount,
    Uniform,
    WeakGroups,
    Zeros,
    ZeroStretches,
)
from weightaudit.tensor import TensorInfo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SCALARS: tuple[Statistic[Any], ...] = (
    *(NonFinite(), Zeros(), Negative(), Extremes(), Peak(), Uniform(), Moments(), OVERVIEW),
    *(Below(2.0**-14), Below(inf), Below(1e300), Above(0.5), Above(0.0), Above(2.0**127)),
    *(Tiny(2.0**-25, 2.0**-14), Tiny(2.0**-134, 2.0**-126)),
    *(ByteLayout(), Coarseness(), Isolation(), RepeatedPages(), ZeroStretches()),
)
"""Every statistic that does not depend on the shape."""


def subject(values: NDArray[Any], statistics: Sequence[Statistic[Any]], name: str = "x") -> Subject:
    """Return an array as a tensor whose bytes came with the catalog."""
    entry = Entry(name, values.shape, values.dtype.name, Inline(values.tobytes()))
    info = TensorInfo(name=name, key=name, shape=values.shape, dtype=values.dtype.name)
    return Subject(info, entry, PlainDecoder(info, entry), tuple(statistics))


def measured(subjects: Sequence[Subject]) -> dict[str, Stats]:
    """Measure tensors that lie in no file with TensorFlow."""
    with Files(Path()) as files:
        return measure(files, subjects).stats


def expected(subjects: Sequence[Subject]) -> dict[str, Stats]:
    """Measure them with numpy, and without what `Tiny` passes over."""
    with Files(Path()) as files:
        return numpy_engine.measure(files, subjects, compiled=False).stats


def assert_same(values: NDArray[Any], found: Stats, wanted: Stats) -> None:
    """Check that all results are equal, or differ by what TensorFlow's engine states."""
    for statistic in wanted:
        assert statistic in found
        one, other = found[statistic], wanted[statistic]
        if isinstance(statistic, AxisNorm | WeakGroups):
            _assert_norms(values, statistic, one, other)
        elif isinstance(statistic, AxisSum):
            _assert_signed(values, statistic, one, other)
        elif isinstance(statistic, SpectralNorm):
            np.testing.assert_allclose(one.norm, other.norm, rtol=1e-6, atol=1e-150)
            np.testing.assert_allclose(one.squares, other.squares, rtol=1e-10, atol=1e-300)
        else:
            _assert_sums(values, one, other)


def _assert_sums(values: NDArray[Any], one: Any, other: Any) -> None:
    with np.errstate(all="ignore"):
        numbers = parts(values)
        magnitudes = np.abs(numbers[np.isfinite(numbers)])
        # Both have an error of this size.
        share, least = 2 * (numbers.size + 16) * 2.0**-53, numbers.size * 2.0**-1022
        total, squares = magnitudes.sum() * share + least, (magnitudes**2).sum() * share + least
    if isinstance(one, Summary) and not one.is_finite:
        assert not other.is_finite
        return
    if isinstance(one, MomentSums | Summary):
        _assert_near(one.total, other.total, total)
        _assert_near(one.squares, other.squares, squares)
        one, other = (replace(it, total=0.0, squares=0.0) for it in (one, other))
    if isinstance(one, TinyCount):
        _assert_near(one.flushed_energy, other.flushed_energy, squares)
        one, other = (replace(it, flushed_energy=0.0) for it in (one, other))
    # As text, since NaN is not equal to NaN.
    assert repr(one).replace("-0.0", "0.0") == repr(other).replace("-0.0", "0.0")


def _assert_near(one: float, other: float, slack: float) -> None:
    assert one == other or abs(one - other) <= slack or not np.isfinite(slack)


def _assert_signed(values: NDArray[Any], statistic: AxisSum, one: NDArray[Any], other: NDArray[Any]) -> None:
    """Check sums that keep their signs against the magnitudes that were added up."""
    assert (one.shape, one.dtype) == (other.shape, other.dtype)
    whole = AxisNorm(statistic.axes, 1)
    magnitudes = expected([subject(values, [whole])])["x"][whole]
    # numpy's engine adds up in float32, which overflows where float64 does not.
    is_safe = magnitudes < 1e38
    assert np.all(np.abs(one - other)[is_safe] <= 2e-4 * magnitudes[is_safe])


def _assert_norms(
    values: NDArray[Any], statistic: AxisNorm | WeakGroups, one: NDArray[Any], other: NDArray[Any]
) -> None:
    assert one.shape == other.shape
    assert one.dtype == other.dtype
    if isinstance(statistic, WeakGroups):
        # What is not weak may be told by a bound.
        limit = max(statistic.floor, statistic.relative * float(one.max(initial=0)))
        np.testing.assert_array_equal(one < limit, other < limit)
        np.testing.assert_array_equal(one[one < limit], other[one < limit])
    elif statistic.order == inf:
        np.testing.assert_array_equal(one, other)
    else:
        size = prod(values.shape) + 16
        least = size * 2.0**-1022 if statistic.order == 1 else np.sqrt(size) * 2.0**-511
        np.testing.assert_allclose(one, other, rtol=2 * size * 2.0**-53, atol=least)
