"""Small histograms of characters: blocks where the terminal can show them, else ASCII."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

BLOCKS = " ▁▂▃▄▅▆▇█"
"""Eighths of a character, from nothing to a full one."""

ASCII = " .:-=+*#@"
"""The same where there is nothing but ASCII: as dark as the blocks are high."""

ASCII_ROWS = "  .....::"
"""For one row of a higher picture."""


def spark(heights: Sequence[int], *, plain: bool) -> str:
    """Return one character for each height, in proportion to the largest; what is not 0 can be seen.

    Args:
        heights: Counts.
        plain: Whether there is nothing but ASCII.
    """
    largest = max(heights, default=0) or 1
    marks = ASCII if plain else BLOCKS
    return "".join(marks[-(-8 * height // largest)] for height in heights)


def bars(heights: Sequence[int], rows: int, *, plain: bool) -> list[str]:
    """Return a picture of several rows, the highest first, with one column for each height.

    Args:
        heights: Counts.
        rows: How many rows.
        plain: Whether there is nothing but ASCII.
    """
    largest = max(heights, default=0) or 1
    eighths = [-(-8 * rows * height // largest) for height in heights]
    full, marks = ("#", ASCII_ROWS) if plain else ("█", BLOCKS)
    return [
        "".join(full if filled >= 8 * (row + 1) else marks[max(0, filled - 8 * row)] for filled in eighths)
        for row in reversed(range(rows))
    ]


def meter(share: float, width: int, *, plain: bool) -> str:
    """Return a horizontal bar for a share from 0 to 1, in a field of some width; a little can be seen.

    Args:
        share: The share.
        width: Columns of a full bar.
        plain: Whether there is nothing but ASCII.
    """
    if plain:
        return "#" * max(round(share * width), bool(share))
    eighths = max(round(share * width * 8), bool(share))
    part: str = "▏▎▍▌▋▊▉"[eighths % 8 - 1] if eighths % 8 else ""
    return "█" * (eighths // 8) + part
