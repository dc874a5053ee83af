"""What finding more flips would cost is measured as it says."""

from __future__ import annotations

from math import inf, nan

import numpy as np
import pytest

from benchmarks.detection.frontier import frontier, standing_out


def test_the_largest_of_a_pareto_tail_stands_out_by_one_spacing() -> None:
    """Over many samples the mean is 1, whatever the tail's index and the tensor's scale."""
    random = np.random.default_rng(3)
    for index, scale in ((2.0, 1.0), (5.0, 1e-3)):
        samples = random.pareto(index, (400, 2000)) * scale + scale
        assert np.mean([standing_out(one) for one in samples]) == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1.0] * 7, 0), ([1.0] * 40, 0), ([0.0] * 40 + [3.0], 0), ([1.0] * 40 + [nan], inf)],
)
def test_what_has_no_spacings(values: list[float], expected: float) -> None:
    """Few or equal values stand out of nothing, and what is not finite stands out of everything."""
    assert standing_out(np.array(values, np.float32)) == expected


def test_a_bound_that_finds_more_accuses_more() -> None:
    """The bound of a row is what its share of the flips reaches, and models at the bound are counted."""
    table = frontier([float(one) for one in range(1, 102)], [0.5, 6.5, 11.5, 16.5, 21.5, 50.0]).splitlines()
    accused = [line.split("|")[3].strip() for line in table[2:]]
    assert accused == ["5 of 6", "4 of 6", "3 of 6", "2 of 6"]
