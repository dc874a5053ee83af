"""Every statistic equals naive float64 numpy, for any type, block size and split."""

from __future__ import annotations

from math import copysign, inf, isnan, nan
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weightaudit.statistics import (
    OVERVIEW,
    UNKNOWN,
    Above,
    AxisNorm,
    Below,
    Block,
    Extremes,
    Moments,
    Negative,
    NonFinite,
    Peak,
    Statistic,
    Stats,
    Tiny,
    Uniform,
    WeakGroups,
    Zeros,
)
from weightaudit.testing import blocks, measure, tensor_info

from .arrays import EVERY_DTYPE, arrays, numpy_dtype, parts
from .folding import merged

if TYPE_CHECKING:
    from numpy.typing import NDArray

REAL = tuple(name for name in EVERY_DTYPE if not name.startswith("complex"))
SCALARS: tuple[Statistic[Any], ...] = (
    NonFinite(),
    Zeros(),
    Below(2.0**-14),
    Above(0.5),
    Extremes(),
    Peak(),
    Uniform(),
    Moments(),
    Negative(),
    Tiny(2.0**-25, 2.0**-14),
)


splits = {"cuts": st.lists(st.integers(0, 2401), max_size=3), "size": st.integers(1, 400)}


@settings(deadline=None)
@given(values=arrays(), **splits)
def test_counts_equal_numpy(values: NDArray[Any], cuts: list[int], size: int) -> None:
    """Counts of NaN, Inf, zeros, small, large and negative elements are exact."""
    numbers = parts(values)
    finite = numbers[np.isfinite(numbers)]
    magnitude = np.abs(finite)
    bad = ~np.isfinite(numbers)
    nonfinite = merged(values, NonFinite(), cuts, size)
    assert nonfinite.nan == np.isnan(numbers).sum()
    assert nonfinite.positive == (numbers == inf).sum()
    assert nonfinite.negative == (numbers == -inf).sum()
    assert nonfinite.first == (int(bad.argmax()) if bad.any() else -1)
    assert merged(values, Zeros(), cuts, size) == (numbers == 0).sum()
    assert merged(values, Below(2.0**-14), cuts, size) == (magnitude < 2.0**-14).sum()
    above = merged(values, Above(0.5), cuts, size)
    assert above.count == (magnitude >= 0.5).sum()
    assert above.largest == magnitude[magnitude >= 0.5].max(initial=0)
    assert merged(values, Negative(), cuts, size).count == (finite < 0).sum()


@settings(deadline=None)
@given(values=arrays(), **splits)
def test_extremes_equal_numpy(values: NDArray[Any], cuts: list[int], size: int) -> None:
    """Smallest, largest and largest magnitude of the finite elements are exact, NaN if there are none."""
    numbers = parts(values)
    finite = numbers[np.isfinite(numbers)]
    extremes = merged(values, Extremes(), cuts, size)
    assert merged(values, Peak(), cuts, size) == np.abs(finite).max(initial=0)
    if finite.size:
        assert (extremes.minimum, extremes.maximum) == (finite.min(), finite.max())
        assert merged(values, Negative(), cuts, size).minimum == finite.min()
    else:
        assert isnan(extremes.minimum)
        assert isnan(extremes.maximum)
        assert isnan(merged(values, Negative(), cuts, size).minimum)


@pytest.mark.parametrize("size", [4, 5])
def test_no_extreme_is_a_negative_zero(size: int) -> None:
    """A zero of either sign is told as 0, with and without compiled kernels, and beside a NaN."""
    for values in ([-0.0, -0.0], [-0.0, 1.0], [nan, -0.0], [-1.0, -0.0]):
        found = merged(np.array(values, np.float32), Extremes(), [], size)
        assert not [one for one in (found.minimum, found.maximum) if one == 0 and copysign(1, one) < 0]


@settings(deadline=None)
@given(values=arrays(), **splits)
def test_uniform_equals_numpy(values: NDArray[Any], cuts: list[int], size: int) -> None:
    """The value that all elements share is found exactly when there is one and it is finite."""
    numbers = parts(values)
    same = numbers.size > 0 and bool(np.isfinite(numbers).all()) and bool((numbers == numbers[0]).all())
    assert merged(values, Uniform(), cuts, size) == (numbers[0] if same else None)


@settings(deadline=None)
@given(values=arrays(), **splits)
def test_moments_equal_numpy(values: NDArray[Any], cuts: list[int], size: int) -> None:
    """Count is exact; sum and sum of squares agree with numpy up to float64 rounding."""
    numbers = parts(values)
    finite = numbers[np.isfinite(numbers)]
    with np.errstate(all="ignore"):
        moments = merged(values, Moments(), cuts, size)
        total, squares = finite.sum(), (finite * finite).sum()
        slack = 1e-12 * np.abs(finite).sum()
    assert moments.count == finite.size
    if np.isfinite(slack):
        assert abs(moments.total - total) <= slack
    np.testing.assert_allclose(moments.squares, squares, rtol=1e-12)


def test_overflowing_moments_are_infinite() -> None:
    """Where squares leave float64 the norm and the deviation are infinite; nothing raises."""
    moments = measure(np.array([1e200, 1e200, -3e200]), [Moments()])[Moments()]
    assert (moments.squares, moments.l2, moments.rms, moments.std) == (inf, inf, inf, inf)


@settings(deadline=None)
@given(values=arrays(), **splits)
def test_tiny_equals_numpy(values: NDArray[Any], cuts: list[int], size: int) -> None:
    """What float16 would flush or make subnormal is counted exactly, with its energy."""
    magnitude = np.abs(parts(values))
    flushed = magnitude[(magnitude > 0) & (magnitude <= 2.0**-25)]
    tiny = merged(values, Tiny(2.0**-25, 2.0**-14), cuts, size)
    assert tiny.flushed == flushed.size
    assert tiny.subnormal == ((magnitude > 2.0**-25) & (magnitude < 2.0**-14)).sum()
    np.testing.assert_allclose(tiny.flushed_energy, (flushed**2).sum(), rtol=1e-12)


@settings(deadline=None, max_examples=300)
@given(values=arrays(REAL), share=st.sampled_from([1e-9, 1e-6, 1e-2]), **splits)
def test_tiny_leaves_out_only_what_cannot_matter(
    values: NDArray[Any], share: float, cuts: list[int], size: int
) -> None:
    """With a share, at most that share of the energy goes uncounted, and nothing is counted in excess."""
    exact = merged(values, Tiny(2.0**-25, 2.0**-14), cuts, size)
    found = merged(values, Tiny(2.0**-25, 2.0**-14, share), cuts, size)
    energy = merged(values, Moments(), cuts, size).squares
    assert found.flushed <= exact.flushed
    assert found.subnormal <= exact.subnormal
    assert exact.flushed_energy - found.flushed_energy <= share * energy


@settings(deadline=None, max_examples=300)
@given(values=arrays(REAL), order=st.sampled_from([1.0, 2.0, inf]), data=st.data(), **splits)
def test_axis_norms_equal_numpy(
    values: NDArray[Any], order: float, data: st.DataObject, cuts: list[int], size: int
) -> None:
    """Norms over any set of axes equal numpy's reductions, with NaN and Inf left out."""
    rank = values.ndim
    axes = data.draw(st.none() | st.sets(st.integers(-rank, rank - 1)).map(tuple) if rank else st.none())
    reduced = tuple(range(rank)) if axes is None else tuple({axis % rank for axis in axes})
    numbers = parts(values).reshape(values.shape)
    clean = np.abs(np.where(np.isfinite(numbers), numbers, 0))
    with np.errstate(all="ignore"):
        found = merged(values, AxisNorm(axes, order), cuts, size)
        if order == inf:
            expected = clean.max(axis=reduced, initial=0)
        elif order == 1:
            expected = clean.sum(axis=reduced)
        else:
            expected = np.sqrt((clean * clean).sum(axis=reduced))
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@settings(deadline=None)
@given(values=arrays(("complex64", "complex128")), data=st.data(), **splits)
def test_complex_norms_equal_numpy(
    values: NDArray[Any], data: st.DataObject, cuts: list[int], size: int
) -> None:
    """The Euclidean norm of complex tensors counts real and imaginary parts."""
    rank = values.ndim
    reduced = tuple(data.draw(st.sets(st.integers(0, rank - 1)))) if rank else ()
    numbers = parts(values).reshape(*values.shape, 2)
    clean = np.where(np.isfinite(numbers), numbers, 0)
    with np.errstate(all="ignore"):
        found = merged(values, AxisNorm(reduced, 2), cuts, size)
        expected = np.sqrt((clean * clean).sum(axis=(*reduced, rank)))
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("dtype", EVERY_DTYPE)
def test_large_tensors_do_not_depend_on_block_size(dtype: str) -> None:
    """A tensor of many blocks gives one result, whether its rows are cut or not."""
    rng = np.random.default_rng(3)
    values = (rng.normal(0, 20, (301, 333)) % 100).astype(numpy_dtype(dtype))
    norms: tuple[Statistic[Any], ...] = tuple(
        AxisNorm(axes, order) for axes in ((0,), (1,), None) for order in (2, inf)
    )
    small = measure(values, (*SCALARS, *norms), size=1000)
    large = measure(values, (*SCALARS, *norms))
    every: tuple[Statistic[Any], ...] = (*SCALARS, *norms)
    for statistic in every:
        if isinstance(statistic, Moments):
            np.testing.assert_allclose(small[statistic].squares, large[statistic].squares, rtol=1e-12)
        elif isinstance(statistic, AxisNorm):
            np.testing.assert_allclose(small[statistic], large[statistic], rtol=1e-12)
        else:
            assert small[statistic] == large[statistic]


def test_sums_do_not_lose_small_terms() -> None:
    """A million terms of 1e-4 are summed in float64, where float32 would lose a percent."""
    values = np.full(1_000_000, 1e-4, np.float32)
    moments = measure(values, [Moments()])[Moments()]
    assert moments.total == pytest.approx(1_000_000 * float(np.float32(1e-4)), rel=1e-12)


def test_float64_overflow_of_squares_is_silent_and_infinite() -> None:
    """Values beyond 1e154 make the norm infinite, without a warning on the user's terminal."""
    values = np.full((4, 4), 1e200)
    stats = measure(values, [Moments(), AxisNorm((0,))])
    assert stats[Moments()].squares == inf
    assert (stats[AxisNorm((0,))] == inf).all()


def test_an_axis_that_does_not_exist_is_refused() -> None:
    """Asking for axis 2 of a matrix is an error that names the tensor."""
    with pytest.raises(ValueError, match="layer/kernel"):
        measure(np.zeros((2, 3), np.float32), [AxisNorm((2,))])


@settings(deadline=None)
@given(values=arrays(REAL))
def test_what_follows_from_an_overview_is_what_folds_give(values: NDArray[Any]) -> None:
    """Where every element is finite, a statistic that is told by sums and extremes is the measured one."""
    overview = measure(values, [OVERVIEW])[OVERVIEW]
    if overview.is_finite:
        for statistic, result in ((one, one.follow(tensor_info(values), overview)) for one in SCALARS):
            if result is not UNKNOWN:
                assert repr(result) == repr(measure(values, [statistic])[statistic]), statistic


def test_aligned_results_are_looked_up_as_others_are() -> None:
    """Results that share a table of places are those of their own tensor, and no more than that."""
    places: dict[Statistic[Any], int] = {Zeros(): 0, Peak(): 1}
    one, other = Stats.aligned(places, (3, 0.5)), Stats.aligned(places, (0, 2.0))
    assert (one[Zeros()], one[Peak()], other[Zeros()], other.get(Peak())) == (3, 0.5, 0, 2.0)
    assert [*one] == [Zeros(), Peak()]
    assert Moments() not in one
    assert one.get(Moments()) is None


def test_a_part_leaves_the_views_of_its_block_alone() -> None:
    """Magnitudes of a block stay what they are while a fold looks at those of a few of its elements."""
    block = Block(np.array([-1, 2, -3, 4], np.float32), 0)
    whole = block.absolute
    assert [*block.part(2, 2).absolute] == [3, 4]
    assert [*whole] == [1, 2, 3, 4]


def test_equal_statistics_are_one() -> None:
    """Two rules that need the same statistic share one fold, since statistics are values."""
    assert len({Moments(), Moments(), AxisNorm((0,)), AxisNorm((0,), 2), Below(0.5), Below(0.25)}) == 4


def test_statistics_leave_the_data_alone() -> None:
    """Measuring never writes to the tensor's memory."""
    values = np.random.default_rng(4).normal(size=(64, 32)).astype(np.float32)
    values[3, 4] = np.nan
    before = values.tobytes()
    info = tensor_info(values)
    for block in blocks(values.reshape(-1).view(np.uint8), info, 100):
        for statistic in SCALARS:
            statistic.start(info).update(block)
    assert values.tobytes() == before


@settings(deadline=None, max_examples=300)
@given(
    rows=st.integers(1, 60),
    weak=st.sets(st.integers(0, 6)),
    seed=st.integers(0, 2**32 - 1),
    relative=st.sampled_from([1e-6, 1e-3]),
    **splits,
)
def test_weak_groups_are_those_of_numpy(
    rows: int, weak: set[int], seed: int, relative: float, **split: Any
) -> None:
    """Columns far below the others, and only those, are called weak, however the tensor is cut."""
    values = np.random.default_rng(seed).normal(size=(rows, 7)).astype(np.float32)
    values[:, sorted(weak)] *= np.float32(relative / 100)
    exact = np.abs(values).max(axis=0).astype(np.float64)
    found = merged(values, WeakGroups((0,), relative, 1e-20), **split)
    threshold = relative * exact.max()
    np.testing.assert_array_equal(found < threshold, exact < threshold)
    np.testing.assert_array_equal(found[exact < threshold], exact[exact < threshold])


def test_weak_groups_are_never_called_weak_in_doubt() -> None:
    """A value ten million times larger, in the last row, makes no column weak that was passed over."""
    values = np.full((100, 4), 0.5, np.float32)
    values[50:, 1] = 8.0
    values[99, 0] = 5e6
    exact = np.abs(values).max(axis=0)
    found = merged(values, WeakGroups((0,), 1e-6), [200], 41)
    assert not (found[exact >= 5] < 5).any()
