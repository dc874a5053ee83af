"""Counts by sign and exponent are exact, for any type, block size and split."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import given, settings

from weightaudit.statistics import ExponentCounts, Exponents
from weightaudit.testing import measure

from .arrays import arrays, parts
from .folding import merged
from .test_statistics import splits

if TYPE_CHECKING:
    from numpy.typing import NDArray


@settings(deadline=None)
@given(values=arrays(), **splits)
def test_counts_by_sign_and_exponent_equal_numpy(values: NDArray[Any], cuts: list[int], size: int) -> None:
    """Each exponent has as many finite elements of each sign as numpy's frexp says."""
    numbers = parts(values)
    finite = numbers[np.isfinite(numbers)]
    counts = merged(values, Exponents(), cuts, size)
    assert counts.zeros == (finite == 0).sum()
    assert counts.nonzero == np.count_nonzero(finite)
    exponents = np.frexp(finite)[1] - 1
    for sign, held in ((1, counts.positive), (-1, counts.negative)):
        occurring, expected = np.unique(exponents[np.sign(finite) == sign], return_counts=True)
        found = {counts.lowest + place: count for place, count in enumerate(held) if count}
        assert found == dict(zip(occurring.tolist(), expected.tolist(), strict=True))
    occurring, expected = np.unique(exponents[finite != 0], return_counts=True)
    assert dict(counts) == dict(zip(occurring.tolist(), expected.tolist(), strict=True))


def test_the_ends_of_each_type_are_told_apart() -> None:
    """The ends of the subnormal and of the normal numbers are counted at their exponents."""
    for dtype, least, normal, last in ((np.float32, -149, -126, 127), (np.float64, -1074, -1022, 1023)):
        info = np.finfo(dtype)
        ends = [info.smallest_subnormal, -np.nextafter(info.tiny, dtype(0)), info.tiny, -info.max, 0, -0.0]
        counts = measure(np.array(ends, dtype), [Exponents()])[Exponents()]
        assert dict(counts) == {least: 1, normal - 1: 1, normal: 1, last: 1}
        assert (counts.positive[0], counts.negative[-1], counts.zeros) == (1, 1, 2)


def test_nothing_and_zeros_have_no_exponent() -> None:
    """A tensor without elements, or of zeros alone, has empty counts."""
    assert measure(np.zeros(0, np.float32), [Exponents()])[Exponents()] == ExponentCounts()
    assert measure(np.zeros(9, np.float32), [Exponents()])[Exponents()] == ExponentCounts(zeros=9)
