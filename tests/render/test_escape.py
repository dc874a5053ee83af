from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weightaudit.render.escape import NAME_LIMIT, printable

ANY_TEXT = st.text(st.characters(categories=("L", "N", "P", "S", "Z", "C")), max_size=50)
TRICKY_TEXT = st.text(":#\\x3a2 \x1b", max_size=12)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("encoder/dense_1/kernel:0", "encoder/dense_1/kernel:0"),
        ("日本語/köder", "日本語/köder"),
        ("\x1b[31m", r"\x1b[31m"),
        ("a\r\n\tb\x7f\x9b", r"a\x0d\x0a\x09b\x7f\x9b"),
        ("\u202egpj\u2066", r"\u202egpj\u2066"),
        ("\u2028\u2029\u200b\ufeff", r"\u2028\u2029\u200b\ufeff"),
        ("\udc80", r"\udc80"),
        ("\U000e0041", r"\U000e0041"),
        ("a\\b", r"a\\b"),
        ("::error::x", r"\x3a:error\x3a:x"),
        ("a:", r"a\x3a"),
        ("##[error]", r"\x23#[error]"),
    ],
)
def test_each_kind_of_character_has_its_form(text: str, shown: str) -> None:
    """Ordinary names stay as they are, and every dangerous character has a visible escape."""
    assert printable(text) == shown


@given(ANY_TEXT | TRICKY_TEXT)
def test_whatever_comes_is_one_harmless_line(text: str) -> None:
    """No text at all leaves a control, a line end, or the start of a CI command in the output."""
    shown = printable(text)
    assert shown.isprintable()
    assert "::" not in shown
    assert "##" not in shown


@given(ANY_TEXT | TRICKY_TEXT, ANY_TEXT | TRICKY_TEXT)
def test_different_names_look_different(one: str, other: str) -> None:
    """The escapes are unambiguous: two names look alike only if they are the same."""
    assert (printable(one) == printable(other)) == (one == other)


def test_a_long_name_keeps_both_ends() -> None:
    """A name of 10,000 characters is cut in the middle, and says by how much."""
    shown = printable("a" * 5000 + "/" + "b" * 4999)
    assert len(shown) < NAME_LIMIT + 40
    assert shown.startswith("aaa")
    assert shown.endswith("bbb")
    assert f"...({10_000 - NAME_LIMIT} more characters)..." in shown
