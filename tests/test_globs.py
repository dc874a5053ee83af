"""Globs: one for many texts means what it means for one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from weightaudit.globs import any_of, matches

LETTERS = st.text(st.sampled_from("aB/\n*?[]!-"), max_size=6)


@given(text=LETTERS, globs=st.lists(LETTERS, min_size=1, max_size=3))
def test_a_pattern_means_what_its_globs_do(text: str, globs: list[str]) -> None:
    """Overrides and suppressions, which use patterns, choose the tensors that rules' own options choose."""
    pattern = any_of(globs)
    assert pattern is not None
    assert (pattern.match(text) is not None) is matches(text, globs)


def test_a_star_matches_layers_and_capitals_count() -> None:
    """A star goes on into inner layers, no globs match nothing, and are no pattern."""
    assert matches("encoder/dense/kernel", ["*/kernel"])
    assert not matches("Dense/kernel", ["dense/*"])
    assert (matches("kernel", []), any_of([])) == (False, None)
