"""How projections are written."""

from __future__ import annotations

from math import inf

import pytest

from weightaudit.errors import UsageError
from weightaudit.projections import (
    Clip,
    FitDtype,
    L1Ball,
    MaxNorm,
    MinMaxNorm,
    NonNeg,
    Projection,
    Prune,
    ReplaceNonfinite,
    RestoreFrom,
    load_projections,
    parse_projection,
)

KNOWN = load_projections()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("non_neg", NonNeg()),
        ("non_neg()", NonNeg()),
        ("max_norm", MaxNorm()),
        (" max_norm( 2 , axis = 0 ) ", MaxNorm(2.0, 0)),
        ("max_norm(2.5, (0, 1, 2))", MaxNorm(2.5, (0, 1, 2))),
        ("max_norm(max_value=2.5, axis=[0, 1])", MaxNorm(2.5, (0, 1))),
        ("l1_ball(1, axis=None)", L1Ball(1.0, None)),
        ("max_norm(1, axis=-1)", MaxNorm(1.0, -1)),
        ("clip(-1, +1)", Clip(-1.0, 1.0)),
        ("clip(-inf, 1e-3)", Clip(-inf, 0.001)),
        ("min_max_norm(1, inf, rate=.5)", MinMaxNorm(1.0, inf, 0.5)),
        ("fit_dtype('float16')", FitDtype("float16")),
        ('fit_dtype(target="bfloat16")', FitDtype("bfloat16")),
        ("prune(n_of_m='2:4')", Prune(n_of_m="2:4")),
        ("prune(0.5)", Prune(0.5)),
        ("replace_nonfinite(inf=3)", ReplaceNonfinite(inf=3.0)),
        ("restore_from('a b\\'c.keras', tensor=None)", RestoreFrom("a b'c.keras")),
        ("restore_from('m.keras', 'none')", RestoreFrom("m.keras", "none")),
    ],
)
def test_what_is_written_is_what_is_made(text: str, expected: Projection) -> None:
    """Arguments by position and by name, in the types of the fields; the result is written back alike."""
    found = parse_projection(text, KNOWN)
    assert found == expected
    assert type(found) is type(expected)
    assert parse_projection(str(found), KNOWN) == found


def test_numbers_become_the_type_of_the_field() -> None:
    """An integer for a number becomes one, so that texts of equal projections are equal."""
    assert str(parse_projection("max_norm(2)", KNOWN)) == "max_norm(max_value=2.0, axis=0)"
    assert str(NonNeg()) == "non_neg()"
    assert str(RestoreFrom("m.keras")) == "restore_from(path='m.keras', tensor=None)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is no projection; write it like 'max_norm(2, axis=0)'"),
        ("max_norm(2", "is no projection"),
        ("max norm", "is no projection"),
        ("max_norm(2)(3)", "is no projection"),
        ("a.max_norm(2)", "is no projection"),
        ("max_norm(axis=0, axis=1)", "axis is given twice"),
        ("max_norm(**{})", "it has no parameter '**'"),
        ("1 + 1", "is no projection"),
        ("\0", "is no projection"),
        ("(" * 5000, "is no projection"),
        ("max_nrom(2)", "there is no projection 'max_nrom' (did you mean 'max_norm'?)"),
        ("xyz", "there is no projection 'xyz' (known are clip, clip_norm, "),
        ("max_norm(2, axes=0)", "it has no parameter 'axes' (did you mean 'axis'?); it is written max_norm("),
        ("max_norm(1, 2, 3)", "it takes at most 2 arguments; it is written max_norm(max_value=2.0, axis=0)"),
        ("max_norm(1, max_value=2)", "max_value is given twice"),
        ("max_norm('2')", "max_value must be a number, not '2'"),
        ("max_norm(True)", "max_value must be a number, not True"),
        ("max_norm(None)", "max_value must be a number, not None"),
        ("max_norm(2, axis=0.5)", "axis must be an integer, a list (each: an integer) or None, not 0.5"),
        ("max_norm(2, axis=((0,), 1))", "axis must be"),
        ("max_norm(-1)", "max_value must be 0 or lie between 1e-250 and 1e+250; it is written"),
        (f"max_norm(1{'0' * 400})", "max_value must be a number"),
        ("max_norm(1 + 1)", "max_value must be a number, not 1 + 1"),
        ("max_norm(*[1])", "max_value must be a number, not *[1]"),
        ("max_norm(__import__('os').getpid())", "max_value must be a number, not __import__('os').getpid()"),
        ("max_norm(x)", "max_value must be a number, not x"),
        ("fit_dtype('float17')", "target must be one of 'float32', 'float16'"),
        ("fit_dtype", "it needs target; it is written fit_dtype(target)"),
        ("restore_from(tensor='x')", "it needs path; it is written restore_from(path, tensor=None)"),
        ("prune", "prune must have sparsity or n_of_m"),
        ("clip(1, -1)", "minimum must not be above maximum; it is written clip(minimum=-inf, maximum=inf)"),
    ],
)
def test_mistakes_are_told_in_one_sentence(text: str, expected: str) -> None:
    """Every mistake is an error of usage that says what would be right, and nothing is evaluated."""
    with pytest.raises(UsageError) as caught:
        parse_projection(text, KNOWN)
    assert expected in str(caught.value)
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)
