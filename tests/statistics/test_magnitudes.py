"""Counts by sign and magnitude are exact, for any type, block size and split, and a portrait shows them."""

from __future__ import annotations

from math import inf, isnan, nan
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings

from weightaudit.portrait import Detail, channel_norms, portrait
from weightaudit.statistics import AxisNorm, Block, MagnitudeCounts, Magnitudes
from weightaudit.statistics.magnitudes import STEPS, magnitude
from weightaudit.testing import measure, tensor_info

from .arrays import EVERY_DTYPE, arrays, numpy_dtype, parts
from .folding import merged
from .test_statistics import splits

if TYPE_CHECKING:
    from numpy.typing import NDArray

EDGES = np.array([magnitude(number) for number in range(-1074 * STEPS, 1024 * STEPS + 1)])
"""Of all bins that a float64 can be in."""


def counted(numbers: NDArray[np.float64]) -> dict[int, int]:
    """Count magnitudes by bin the naive way: by the edges that are told."""
    places, counts = np.unique(np.searchsorted(EDGES, numbers, side="right") - 1, return_counts=True)
    return dict(zip((places - 1074 * STEPS).tolist(), counts.tolist(), strict=True))


def bins(counts: MagnitudeCounts, held: tuple[int, ...]) -> dict[int, int]:
    """Return the bins of one sign that hold anything."""
    return {counts.lowest + place: count for place, count in enumerate(held) if count}


def agrees(counts: MagnitudeCounts, numbers: NDArray[np.float64]) -> bool:
    """Say whether the counts are those of numpy."""
    finite = numbers[np.isfinite(numbers)]
    return (
        counts.zeros == np.count_nonzero(finite == 0)
        and counts.nonzero == np.count_nonzero(finite)
        and bins(counts, counts.positive) == counted(finite[finite > 0])
        and bins(counts, counts.negative) == counted(-finite[finite < 0])
    )


@settings(deadline=None)
@given(values=arrays(), **splits)
def test_counts_by_sign_and_magnitude_equal_numpy(values: NDArray[Any], cuts: list[int], size: int) -> None:
    """Each bin has as many finite elements of each sign as lie between its edges."""
    assert agrees(merged(values, Magnitudes(), cuts, size), parts(values))


@pytest.mark.parametrize("dtype", EVERY_DTYPE)
def test_long_blocks_are_counted_as_short_ones_are(dtype: str) -> None:
    """A block of more elements than a type has codes, which are counted in another way, gives the same."""
    rng = np.random.default_rng(5)
    values = (rng.normal(0, 20, 600_000) % 100).astype(numpy_dtype(dtype))
    long = measure(values, [Magnitudes()], size=values.size)[Magnitudes()]
    assert long == measure(values, [Magnitudes()], size=5000)[Magnitudes()]
    assert agrees(long, parts(values))


def test_bins_are_quarters_of_a_power_of_two() -> None:
    """Four bins lead from a power of two to the next, each a hundredth of its width off at most."""
    for exponent in (-1074, -126, 0, 1023):
        assert magnitude(exponent * STEPS) == 2.0**exponent
    steps = [magnitude(number) for number in range(STEPS + 1)]
    np.testing.assert_allclose(np.diff(np.log2(steps)), 1 / STEPS, rtol=0.01)
    assert magnitude(1024 * STEPS) == inf


def test_the_ends_of_each_type_are_told_apart() -> None:
    """The ends of the subnormal and of the normal numbers are in bins that begin or end with them."""
    for dtype in (np.float32, np.float64):
        info = np.finfo(dtype)
        below = -np.nextafter(info.tiny, dtype(0))
        ends = [info.smallest_subnormal, below, info.tiny, -info.max, 0, -0.0, nan, inf]
        counts = measure(np.array(ends, dtype), [Magnitudes()])[Magnitudes()]
        assert (counts.positive[0], counts.negative[-1], counts.zeros, counts.nonzero) == (1, 1, 2, 4)
        assert counts.edges[0] == info.smallest_subnormal
        normal = counts.edges.index(float(info.tiny))
        assert (counts.positive[normal], counts.negative[normal - 1]) == (1, 1)
        assert counts.edges[-2] <= float(info.max) < counts.edges[-1]


def test_nothing_and_zeros_have_no_bin() -> None:
    """A tensor without elements, of zeros alone, or of none that is finite, has no bins and no edges."""
    assert measure(np.zeros(0, np.float32), [Magnitudes()])[Magnitudes()] == MagnitudeCounts()
    zeros = measure(np.zeros(9, np.float32), [Magnitudes()])[Magnitudes()]
    assert (zeros, zeros.edges) == (MagnitudeCounts(zeros=9), ())
    assert measure(np.full(3, nan), [Magnitudes()])[Magnitudes()] == MagnitudeCounts()


def test_counts_beyond_32_bits_stay_exact() -> None:
    """Stretches of a tensor of more than four thousand million elements are added up in 64 bits."""
    whole = Magnitudes().start(tensor_info(np.zeros(1, np.float32)))
    whole.update(Block(np.full(3, -1, np.float32), 0))
    for _ in range(32):
        whole.merge(whole)
    assert whole.finish().negative == (3 * 2**32,)


def test_a_portrait_tells_what_numpy_tells() -> None:
    """Figures, histogram and norms of output channels of a kernel with bad values are those of numpy."""
    values = np.random.default_rng(6).normal(size=(40, 5)).astype(np.float32)
    values[:, 2] = 0
    values[0, 0], values[1, 1], values[2, 1], values[3, 1] = nan, inf, inf, -inf
    info = tensor_info(values)
    shown = portrait(info, measure(values, Detail.PICTURES.statistics(info), info))
    clean = values[np.isfinite(values)].astype(np.float64)
    assert (shown.size, shown.zeros, shown.sparsity) == (200, 40, 0.2)
    assert (shown.nan, shown.positive_inf, shown.negative_inf, shown.nonfinite) == (1, 2, 1, 4)
    figures = (shown.rms, shown.mean, shown.std, shown.l2)
    expected = (np.sqrt(np.mean(clean**2)), clean.mean(), clean.std(), np.sqrt((clean**2).sum()))
    assert figures == pytest.approx(expected, rel=1e-12)
    assert (shown.minimum, shown.maximum) == (clean.min(), clean.max())
    assert shown.peak == np.abs(clean).max()
    assert shown.histogram is not None
    assert agrees(shown.histogram, parts(values))
    assert shown.channels is not None
    columns = np.where(np.isfinite(values), values, 0).astype(np.float64)
    np.testing.assert_allclose(shown.channels, np.sqrt((columns**2).sum(axis=0)), rtol=1e-12)


def test_a_portrait_of_nothing_has_no_figures() -> None:
    """A tensor without elements has no mean, extremes or share of zeros, and that is said with NaN."""
    values = np.zeros((0, 3), np.float32)
    info = tensor_info(values)
    shown = portrait(info, measure(values, Detail.FIGURES.statistics(info), info))
    assert all(map(isnan, (shown.rms, shown.mean, shown.minimum, shown.maximum, shown.peak, shown.sparsity)))
    assert (shown.size, shown.zeros, shown.histogram, shown.channels) == (0, 0, None, None)


@pytest.mark.parametrize(
    ("rank", "output_axes", "expected"),
    [
        (2, (1,), AxisNorm((0,))),
        (4, (3,), AxisNorm((0, 1, 2))),
        (4, (-2, 3), AxisNorm((0, 1))),
        (2, (0,), AxisNorm((1,))),
        (1, (0,), None),
        (2, (), None),
        (0, (), None),
    ],
)
def test_channels_are_those_of_the_output_axes(
    rank: int, output_axes: tuple[int, ...], expected: AxisNorm | None
) -> None:
    """All other axes are reduced; where none is, or there are no channels, there is nothing to measure."""
    assert channel_norms(rank, output_axes) == expected


def test_levels_include_those_before_them() -> None:
    """Each level measures all that the one before it does, and more."""
    info = tensor_info(np.zeros((3, 4), np.float32))
    verdict, figures, pictures = (set(level.statistics(info)) for level in Detail)
    assert verdict < figures < pictures
    assert pictures - figures == {Magnitudes(), AxisNorm((0,))}
