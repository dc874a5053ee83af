"""How numbers are written for people."""

from __future__ import annotations

from math import inf, nan

import pytest

from weightaudit.numerals import numeral


@pytest.mark.parametrize(
    ("value", "digits", "written"),
    [
        (0.0, 3, "0"),
        (0.012345, 3, "0.0123"),
        (950.4, 3, "950"),
        (999.6, 3, "1,000"),
        (-9876.5, 3, "-9,876"),
        (65504.0, 3, "65,504"),
        (65504.0, 6, "65,504"),
        (1234.567, 6, "1,234.57"),
        (1e6, 3, "1e+06"),
        (3.4028e38, 3, "3.4e+38"),
        (1.234e-7, 3, "1.23e-07"),
        (nan, 3, "nan"),
        (-inf, 3, "-inf"),
    ],
)
def test_numbers_are_short_and_no_power_of_ten_where_digits_read_better(
    value: float, digits: int, written: str
) -> None:
    """A number keeps its digits before the point up to a million, with commas, and has no more than asked."""
    assert numeral(value, digits) == written
