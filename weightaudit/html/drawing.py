"""The picture of a whole model as paths of an SVG that is as wide as there are columns, and is stretched.

Lanes from top to bottom: findings by severity, scale, zeros, loss in float16. Everything is drawn here once,
so that the picture is there without scripts, and on paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, log2
from typing import TYPE_CHECKING

from weightaudit.html.depth import F16_LEAST, F16_NORMAL, F16_OVERFLOW
from weightaudit.html.words import decade

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from weightaudit.html.depth import Column

MARKS = {"error": 9, "warning": 23, "note": 37}
"""Where the middle of each lane of findings is."""
SCALE = (54, 304)
"""Top and bottom of the lane of scale."""
ZEROS = (330, 366)
LOSS = (392, 428)
HEIGHT = 430
_LEAST, _LARGEST = -27.0, 17.5
"""Powers of two that the lane of scale always shows, so that pictures of two models can be compared."""
_ENDS = -34.0, 34.0
"""What is smaller or larger than these powers of two is drawn here: it would press all else together."""
_SEEN = 6.0
"""Pixels that the bar of nine in ten weights is high at least: the median is a line of two across it."""
_CLOSE = 18.0
"""Pixels that labels of the lane of scale keep from each other."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A line across the lane of scale."""

    y: float
    label: str


@dataclass(frozen=True, slots=True)
class Picture:
    """Paths, in units of a column from left to right and of pixels from top to bottom.

    Attributes:
        width: Columns.
        full: From the least to the largest weight.
        bulk: Nine tenths of the weights.
        middle: Their median.
        dots: Root mean squares of the other tensors.
        zeros: Share of zeros.
        loss: Share of the numbers that float16 holds with fewer digits, or not at all.
        overflow: Columns that overflow in float16.
        sick: Columns whose worst finding has a severity, over the whole lane of scale.
        marks: Columns with findings, by severity.
        ticks: Powers of ten.
        limits: Limits of float16.
    """

    width: int
    full: str
    bulk: str
    middle: str
    dots: str
    zeros: str
    loss: str
    overflow: str
    sick: dict[str, str]
    marks: dict[str, str]
    ticks: Sequence[Tick]
    limits: Sequence[Tick]


def draw(found: Sequence[Column]) -> Picture:
    """Return the picture of a model."""
    low, high = _range(found)
    pixels = (SCALE[1] - SCALE[0]) / (high - low) * log2(10)
    step = max(2, ceil(_CLOSE / pixels))

    def y(value: float) -> float:
        top, bottom = SCALE
        return round(bottom - (min(max(value, low), high) - low) / (high - low) * (bottom - top), 1)

    bands = [(x, [y(value) for value in one.quantiles]) for x, one in enumerate(found) if one.quantiles]
    return Picture(
        width=len(found),
        full="".join(_bar(x, each[4], each[0], 0.36) for x, each in bands),
        bulk="".join(_bar(x, *_apart(each[3], each[1]), 0.14) for x, each in bands),
        middle="".join(f"M{x + 0.14:g} {each[2]}h.72" for x, each in bands),
        dots="".join(_dot(x, y(value)) for x, one in enumerate(found) for value in one.others),
        zeros=_shares(((x, one.sparsity) for x, one in enumerate(found)), ZEROS),
        loss=_shares(((x, one.lossy) for x, one in enumerate(found)), LOSS),
        overflow="".join(_bar(x, *LOSS, 0.14) for x, one in enumerate(found) if one.overflow),
        sick={label: _sick(found, label) for label in ("error", "warning")},
        marks={label: _marks(found, label) for label in MARKS},
        ticks=[
            Tick(y(power * log2(10)), decade(power))
            for power in range(ceil(low / log2(10)), floor(high / log2(10)) + 1)
            if power % step == 0
        ],
        limits=[
            Tick(y(log2(F16_OVERFLOW)), "float16 ends"),
            Tick(y(F16_NORMAL), "float16 loses digits"),
            Tick(y(F16_LEAST), "float16 has only 0"),
        ],
    )


def _range(found: Sequence[Column]) -> tuple[float, float]:
    values = [value for one in found for value in (*(one.quantiles or ()), *one.others)]
    return max(_ENDS[0], min(_LEAST, *values, 0)), min(_ENDS[1], max(_LARGEST, *values, 0))


def _apart(top: float, bottom: float) -> tuple[float, float]:
    """Return the ends of a bar so far apart that the line of the median does not cover it."""
    missing = max(0.0, _SEEN - (bottom - top)) / 2
    return round(top - missing, 1), round(bottom + missing, 1)


def _bar(x: int, top: float, bottom: float, margin: float) -> str:
    # At least a pixel and a half high, so that a layer of one value is seen.
    height = max(1.5, bottom - top)
    return f"M{x + margin:g} {top:g}h{1 - 2 * margin:g}v{height:g}h{2 * margin - 1:g}z"


def _dot(x: int, y: float) -> str:
    """Return a line of no length: round ends make it a dot, however the picture is stretched."""
    return f"M{x + 0.5:g} {y:g}h0"


def _marks(found: Sequence[Column], label: str) -> str:
    return "".join(_dot(x, MARKS[label]) for x, one in enumerate(found) if one.severities[label])


def _sick(found: Sequence[Column], label: str) -> str:
    """Return the whole height of the columns that have nothing worse than this."""
    worst = [next((each for each in MARKS if one.severities[each]), "") for one in found]
    return "".join(_bar(x, 0, SCALE[1], 0) for x, each in enumerate(worst) if each == label)


def _shares(values: Iterable[tuple[int, float | None]], lane: tuple[int, int]) -> str:
    top, bottom = lane
    return "".join(
        _bar(x, round(bottom - max(share * (bottom - top), 1.5), 1), bottom, 0.14)
        for x, share in values
        if share
    )
