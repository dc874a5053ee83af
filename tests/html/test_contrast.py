"""Colours, by the formula of WCAG 2: text and signs are readable in both themes."""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files

import pytest

_TEXT, _GRAPHIC = 4.5, 3.0
"""Least contrast of text (success criterion 1.4.3) and of graphics (1.4.11), both at level AA."""

_SEVERITIES = ("error", "warning", "note", "passed", "incomplete")
_TEXTS = [
    *((ink, ground) for ink in ("ink", "soft", "accent") for ground in ("ground", "paper", "wash")),
    *((tone, "paper") for tone in _SEVERITIES),
    *((tone, f"{tone}-wash") for tone in _SEVERITIES),
    *((ink, f"{tone}-wash") for ink in ("ink", "soft", "accent") for tone in _SEVERITIES),
]
_GRAPHICS = [(sign, "paper") for sign in ("bulk", "second", "zeros", "error", "accent")]


@cache
def _colors() -> dict[str, tuple[str, str]]:
    style = files("weightaudit.html").joinpath("page.css").read_text("utf-8")
    found = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\);", style)
    return {name: (light, dark) for name, light, dark in found}


def _luminance(color: str) -> float:
    """Relative luminance of sRGB, as https://www.w3.org/TR/WCAG22/#dfn-relative-luminance defines it."""
    values = [int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (
        each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in values
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_the_formula_knows_black_and_white() -> None:
    """The contrast of black on white is 21, of a colour on itself 1, and #767676 on white just 4.54."""
    assert _contrast("#000000", "#ffffff") == pytest.approx(21)
    assert _contrast("#123456", "#123456") == 1
    assert _contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.005)


@pytest.mark.parametrize(("ink", "ground"), _TEXTS)
@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_is_readable(ink: str, ground: str, theme: int) -> None:
    """Every colour of text keeps 4.5 to 1 on every ground that it stands on."""
    assert _contrast(_colors()[ink][theme], _colors()[ground][theme]) >= _TEXT


@pytest.mark.parametrize(("sign", "ground"), _GRAPHICS)
@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_signs_can_be_told_from_their_ground(sign: str, ground: str, theme: int) -> None:
    """Every colour that carries meaning in a picture keeps 3 to 1 on its ground."""
    assert _contrast(_colors()[sign][theme], _colors()[ground][theme]) >= _GRAPHIC


def test_every_colour_is_one_of_the_palette() -> None:
    """No colour is written anywhere but in the palette, so none escapes these tests."""
    style = files("weightaudit.html").joinpath("page.css").read_text("utf-8")
    rest = re.sub(r"--[\w-]+: light-dark\([^)]*\);", "", style)
    assert re.findall(r"#[0-9a-fA-F]{3,8}\b|\brgba?\(|\bhsl", rest) == []
