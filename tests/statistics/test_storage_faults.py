"""What tells of flipped bits, lost and repeated blocks, and bytes that were read as something else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weightaudit.dtypes import itemsize
from weightaudit.statistics import (
    OVERVIEW,
    UNKNOWN,
    ByteLayout,
    Coarse,
    Coarseness,
    Isolated,
    Isolation,
    Misread,
    RepeatedPages,
    Repeats,
    Statistic,
    Stats,
    ZeroRuns,
    ZeroStretches,
)
from weightaudit.testing import blocks, measure, tensor_info

from .arrays import arrays
from .folding import merged

if TYPE_CHECKING:
    from numpy.typing import NDArray


EVERY: tuple[Statistic[Any], ...] = (
    Isolation(),
    ZeroStretches(),
    RepeatedPages(),
    Coarseness(),
    ByteLayout(),
)


def normal(*shape: int, seed: int = 0) -> NDArray[np.float32]:
    """Make a healthy kernel."""
    return np.random.default_rng(seed).normal(0, 0.1, shape).astype(np.float32)


splits = {"cuts": st.lists(st.integers(0, 5000), max_size=3), "size": st.integers(97, 3000)}


@settings(deadline=None)
@given(values=arrays(), **splits)
def test_any_tensor_can_be_looked_at(values: NDArray[Any], cuts: list[int], size: int) -> None:
    """Whatever the type, values and split, each fold gives a result of its own kind."""
    kinds = (Isolated, ZeroRuns, Repeats, Coarse, Misread)
    for statistic, kind in zip(EVERY, kinds, strict=True):
        assert type(merged(values, statistic, cuts, size)) is kind


@settings(deadline=None)
@given(values=arrays())
def test_an_overview_answers_as_the_elements_do(values: NDArray[Any]) -> None:
    """Where sums and extremes suffice, the answer is that of a look at all elements."""
    info = tensor_info(values)
    stats = measure(values, [OVERVIEW, *EVERY], info)
    if stats[OVERVIEW].is_finite:
        judged: tuple[Statistic[Any], ...] = (ZeroStretches(), Isolation(), Coarseness())
        for statistic in judged:
            answer = statistic.follow(info, stats[OVERVIEW])
            assert answer is UNKNOWN or answer == stats[statistic]


@settings(deadline=None)
@given(values=arrays(), zeros=st.lists(st.integers(0, 10**6), max_size=9))
def test_what_kernels_tell_answers_as_the_elements_do(values: NDArray[Any], zeros: list[int]) -> None:
    """What one pass of compiled kernels tells gives the answer of a look at all elements without them."""
    info = tensor_info(values)
    values = values.copy()
    for zero in zeros:
        values.reshape(-1)[zero % max(1, values.size) :][:1] = 0
    raw = np.frombuffer(values.tobytes(), np.uint8)
    for block in blocks(raw, info, max(1, values.size)):
        for statistic in EVERY:
            answer = statistic.answer(info, Stats({OVERVIEW: block.summary}))
            assert answer is UNKNOWN or answer == merged(values.reshape(-1), statistic, [], 1000, info)


@settings(deadline=None, max_examples=50)
@given(place=st.integers(0, 4999), factor=st.sampled_from([-16.0, 4.0, 256.0, 2.0**100]), **splits)
def test_one_flipped_bit_is_isolated(place: int, factor: float, cuts: list[int], size: int) -> None:
    """A value far above all others is found with its place, its sign and the next magnitude."""
    values = normal(5000)
    below = float(np.abs(values).max())
    values[place] = below * factor
    found = merged(values, Isolation(), cuts, size)
    assert (found.count, found.place) == (1, place)
    assert found.value == pytest.approx(below * factor)
    assert found.least == abs(found.value)
    assert found.below == pytest.approx(below)


@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_small_blocks_hide_nothing(size: int) -> None:
    """A value that is alone in a block, or nearly so, is isolated all the same."""
    values = normal(300)
    values[77] = 9
    assert measure(values, [Isolation()], size=size)[Isolation()].place == 77


def test_up_to_three_values_are_isolated() -> None:
    """Three values above a gap are counted, and a fourth makes them a group that is not judged."""
    values = normal(5000)
    for count in range(1, 5):
        values[100 * count] = 5 + count
        found = measure(values, [Isolation()])[Isolation()]
        assert found.count == (count if count < 4 else 0)


@pytest.mark.parametrize("seed", range(20))
def test_healthy_tensors_have_nothing(seed: int) -> None:
    """Normal, uniform and Laplace numbers give the empty result of every statistic."""
    draw = np.random.default_rng(seed)
    for values in (draw.normal(size=6000), draw.uniform(-1, 1, 6000), draw.laplace(size=6000)):
        stats = measure(values.astype(np.float32), EVERY)
        assert stats[ZeroStretches()] == ZeroRuns()
        assert stats[RepeatedPages()] == Repeats()
        assert stats[Coarseness()] == Coarse()
        assert stats[ByteLayout()] == Misread()


@settings(deadline=None)
@given(
    runs=st.lists(st.tuples(st.integers(0, 4999), st.integers(1, 900)), max_size=4),
    singles=st.lists(st.integers(0, 4999), max_size=60),
    **splits,
)
def test_zero_runs_equal_a_plain_loop(
    runs: list[tuple[int, int]], singles: list[int], cuts: list[int], size: int
) -> None:
    """Number, lengths and places of runs are those that a loop over all numbers finds, for any split."""
    values = normal(5000)
    for place, length in runs:
        values[place : place + length] = 0
    values[singles] = 0
    found: list[tuple[int, int]] = []
    single, begin = 0, -1
    for place, is_zero in enumerate([*(values == 0).tolist(), False]):
        if is_zero and begin < 0:
            begin = place
        elif not is_zero and begin >= 0:
            if place - begin >= 8:
                found.append((place - begin, begin))
            else:
                single += place - begin
            begin = -1
    got = merged(values, ZeroStretches(), cuts, size, tensor_info(values.reshape(100, 50)))
    if not found or single > 50:
        assert got == ZeroRuns()
        return
    longest = max(length for length, _ in found)
    assert (got.runs, got.zeros) == (len(found), sum(length for length, _ in found))
    assert (got.longest, got.place) == (longest, min(at for length, at in found if length == longest))
    assert got.tail == (found[-1][0] if sum(found[-1]) == 5000 else 0)
    assert got.broken == sum(bool(at % 50 or (at + length) % 50) for length, at in found)


def test_whole_pages_of_zeros_are_told() -> None:
    """A run counts as paged if it begins and ends with pages, here those from the beginning of the tensor."""
    values = normal(8192)
    values[2048:4096] = 0
    assert measure(values, [ZeroStretches()])[ZeroStretches()].paged == 2048
    values[4096] = 0
    assert measure(values, [ZeroStretches()])[ZeroStretches()].paged == 0


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize(("source", "target"), [(0, 1), (2, 3), (1, 7)])
def test_a_repeated_page_is_found(dtype: str, source: int, target: int) -> None:
    """A page that holds the bytes of an earlier one is found in any type, with both places."""
    kind: Any = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    page = 4096 // itemsize(dtype)
    values = normal(10 * page).astype(kind)
    values[target * page : (target + 1) * page] = values[source * page : (source + 1) * page].copy()
    found = measure(values, [RepeatedPages()], size=10 * page)[RepeatedPages()]
    assert found == Repeats(1, target * page, source * page)


def test_tables_are_no_repeats() -> None:
    """Equal pages do not count in constant and periodic tensors, and where they follow from equal rows."""
    row = normal(1, 300)
    for values in (np.ones((64, 300), np.float32), np.tile(normal(1, 32), (300, 1)), np.tile(row, (64, 1))):
        assert measure(values, [RepeatedPages()])[RepeatedPages()] == Repeats()


@settings(deadline=None, max_examples=50)
@given(cut=st.sampled_from([13, 16, 20]), **splits)
def test_zero_bits_are_counted(cut: int, cuts: list[int], size: int) -> None:
    """The lowest bits that no number has set are counted, for any split."""
    values = (normal(5000).view(np.uint32) & np.uint32((0xFFFFFFFF << cut) & 0xFFFFFFFF)).view(np.float32)
    assert merged(values, Coarseness(), cuts, size) == Coarse(cut, 0)
    values[4321] = np.float32(0.1)
    assert merged(values, Coarseness(), cuts, size) == Coarse()


@settings(deadline=None, max_examples=50)
@given(levels=st.sampled_from([127, 7, 1]), **splits)
def test_levels_are_recognized(levels: int, cuts: list[int], size: int) -> None:
    """Rounding to 8, 4 or 2 bits with one scale is recognized, for any split."""
    step = np.abs(normal(5000)).max() / np.float32(levels)
    values: NDArray[np.float32] = np.round(normal(5000) / step) * step
    assert merged(values, Coarseness(), cuts, size).levels == levels


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("count", [8, 64, 5000])
def test_swapped_bytes_are_recognized(dtype: str, count: int) -> None:
    """Numbers in the other byte order are recognized in every type, float16 from 32 numbers on."""
    kind: Any = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    words = f"u{itemsize(dtype)}"
    values = normal(count).astype(kind)
    swapped = values.view(words).byteswap().view(kind)
    assert measure(values, [ByteLayout()])[ByteLayout()] == Misread()
    if dtype != "float16" or count >= 32:
        assert measure(swapped, [ByteLayout()])[ByteLayout()].swapped >= 0.9


def test_pairs_are_recognized() -> None:
    """Pairs of 16-bit numbers in the place of float32 are told apart by their type."""
    doubled = normal(128, 64).reshape(-1)
    half = doubled.astype(np.float16).view(np.float32)
    wide = doubled.astype(ml_dtypes.bfloat16).view(np.float32)
    assert measure(half, [ByteLayout()])[ByteLayout()].float16_pairs >= 0.9
    assert measure(wide, [ByteLayout()])[ByteLayout()].bfloat16_pairs >= 0.9
    for values in (half, wide):
        info = tensor_info(values)
        assert ByteLayout().follow(info, measure(values, [OVERVIEW])[OVERVIEW]) is UNKNOWN


@pytest.mark.parametrize(("center", "kind"), [(0.9991, "float16_pairs"), (0.99708, "bfloat16_pairs")])
@pytest.mark.parametrize("split", [False, True])
def test_numbers_that_lie_close_together_are_no_pairs(center: float, kind: str, *, split: bool) -> None:
    """Lower halves that are alike because the numbers are, as of early variances, are no weights."""
    steps = np.random.default_rng(3).integers(-60, 60, 400).astype(np.uint32)
    words = np.float32(center).view(np.uint32) + steps
    if split:
        words[::2] -= np.uint32(1 << 18)
    values = words.view(np.float32)
    lower = words.astype(np.uint16)
    read = lower.view(np.float16) if kind == "float16_pairs" else lower.view(ml_dtypes.bfloat16)
    assert (np.abs(read.astype(np.float32)) > 2.0**-12).all()
    assert (np.abs(read.astype(np.float32)) < 8).all()
    assert measure(values, [ByteLayout()])[ByteLayout()] == Misread()
