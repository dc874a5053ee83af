"""Numbers and sentences as people read them."""

from __future__ import annotations

from math import inf, nan

import pytest

from weightaudit.html.words import MINUS, NONE, codes, decade, number, percent, shape, shown

TIMES = "\N{MULTIPLICATION SIGN}"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, NONE),
        (nan, NONE),
        (inf, "∞"),
        (-inf, f"{MINUS}∞"),
        (0.0, "0"),
        (0.012345, "0.0123"),
        (-1.5, f"{MINUS}1.5"),
        (999.9, "1,000"),
        (1234.0, "1,234"),
        (65520.0, "65,520"),
        (3.1e-9, f"3.1e{MINUS}9"),
        (2.5e38, "2.5e38"),
    ],
)
def test_numbers_have_three_digits(value: float | None, text: str) -> None:
    """Small and huge ones by exponent, a real minus sign, and a dash for what is not known."""
    assert number(value) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0 %"),
        (1.0, "100 %"),
        (0.99999, ">99.99 %"),
        (1e-9, "<0.01 %"),
        (0.125, "12.5 %"),
        (0.0042, "0.42 %"),
    ],
)
def test_a_share_is_all_or_nothing_only_if_it_is(share: float, text: str) -> None:
    """What rounds to 0 or 100 percent is not called so unless it is."""
    assert percent(share) == text


def test_code_is_marked_up_and_everything_else_escaped() -> None:
    """Backticks become an element; what is inside and outside of them stays text."""
    assert str(codes("see `<a>` & ``b``")) == "see <code>&lt;a&gt;</code> &amp; <code>b</code>"


def test_names_are_made_visible() -> None:
    """Characters that act on their reader are spelled out."""
    assert shown("a\u202eb\n") == "a\\u202eb\\x0a"


def test_powers_of_ten_and_shapes_have_true_signs() -> None:
    """Axes have a real minus and no exponent of one; dimensions a multiplication sign."""
    assert [decade(power) for power in (-8, 0, 5)] == [f"1e{MINUS}8", "1", "1e5"]
    assert [shape(one) for one in ((3, 3, 64), (8,), ())] == [f"3{TIMES}3{TIMES}64", "8", "scalar"]
