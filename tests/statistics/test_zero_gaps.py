"""The longest runs of zeros, against the naive way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from weightaudit.statistics import OVERVIEW, UNKNOWN
from weightaudit.statistics.zero_gaps import LEAST, LongestZeros, ZeroGaps
from weightaudit.testing import measure, tensor_info

from .arrays import arrays
from .folding import SPLITS, merged

if TYPE_CHECKING:
    from numpy.typing import NDArray


def naive(values: NDArray[Any]) -> ZeroGaps:
    """Look at one element after the other."""
    runs: list[tuple[int, int]] = []
    begin = 0
    for place, value in enumerate([*values.reshape(-1).tolist(), 1.0]):
        if value != 0:
            runs.append((begin - place, begin))
            begin = place + 1
    runs = sorted(run for run in runs if -run[0] >= LEAST)
    if not runs:
        return ZeroGaps()
    second = -runs[1][0] if len(runs) > 1 else 0
    return ZeroGaps(int((values == 0).sum()), -runs[0][0], runs[0][1], second)


@st.composite
def pruned(draw: st.DrawFn) -> NDArray[np.float32]:
    """Draw kernels with scattered zeros and some stretches of them."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = random.normal(size=3000).astype(np.float32)
    values[random.random(3000) < draw(st.sampled_from([0.0, 0.02, 0.5, 0.95, 1.0]))] = 0
    for _ in range(draw(st.integers(0, 3))):
        begin = int(random.integers(3000))
        values[begin : begin + int(random.integers(400))] = 0
    return values.reshape(60, 50)


@settings(deadline=None)
@given(values=pruned(), **SPLITS)
def test_runs_are_found_however_the_tensor_is_split(
    values: NDArray[np.float32], cuts: list[int], size: int
) -> None:
    """Zeros, lengths and place are those of the naive way, also of runs across blocks."""
    assert merged(values, LongestZeros(), cuts, size) == naive(values)


@settings(deadline=None)
@given(values=arrays(), **SPLITS)
def test_any_tensor_can_be_looked_at(values: NDArray[Any], cuts: list[int], size: int) -> None:
    """Whatever the type, values and split, the result is of its own kind."""
    assert type(merged(values, LongestZeros(), cuts, size)) is ZeroGaps


@settings(deadline=None)
@given(values=pruned())
def test_an_overview_answers_as_the_elements_do(values: NDArray[np.float32]) -> None:
    """Where sums and extremes suffice, the answer is that of a look at all elements."""
    stats = measure(values, [OVERVIEW, LongestZeros()])
    answer = LongestZeros().follow(tensor_info(values), stats[OVERVIEW])
    assert answer is UNKNOWN or answer == stats[LongestZeros()]


def test_zeros_at_borders_are_no_runs() -> None:
    """In a half-pruned tensor of very many blocks, short runs at their borders do not hide a long one."""
    values = np.random.default_rng(0).normal(size=320_000).astype(np.float32)
    values[np.random.default_rng(1).random(values.size) < 0.5] = 0
    values[200_000:200_300] = 0
    assert merged(values, LongestZeros(), [100_000], 32) == naive(values)
