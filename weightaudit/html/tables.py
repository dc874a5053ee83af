"""A model as plain data for the scripts of a page: short rows, without names of fields."""

from __future__ import annotations

from math import isfinite, sqrt
from typing import TYPE_CHECKING, Any

from weightaudit.html.depth import overflowing
from weightaudit.html.limits import Limit, limits
from weightaudit.html.words import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from weightaudit.portrait import Portrait
    from weightaudit.registry import RuleSet
    from weightaudit.report import ModelReport
    from weightaudit.rule import Finding
    from weightaudit.statistics import MagnitudeCounts
    from weightaudit.tensor import TensorInfo

CHANNELS = 256
"""Output channels that are drawn one by one; of more, neighbours are drawn as one, by their extremes."""
PICTURES = 2_400_000
"""Characters that the pictures of a report may take: with 1,000 tensors, it stays below 5 MB."""


class Words:
    """Texts that many rows share, told once; a row has their number."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._numbers: dict[str, int] = {}

    def number(self, text: str) -> int:
        """Return the number of a text, which is made safe to show."""
        if text not in self._numbers:
            self._numbers[text] = len(self.texts)
            self.texts.append(shown(text))
        return self._numbers[text]


class Budget:
    """How much room is left for pictures, over all models of a report."""

    def __init__(self, room: int | None = None) -> None:
        self._room = PICTURES if room is None else room

    def takes(self, text: int) -> bool:
        """Say whether so many characters still fit, and count them if they do."""
        fits = text <= self._room
        self._room -= text if fits else 0
        return fits


def model_data(
    model: ModelReport, seen: Mapping[int, Portrait], budget: Budget, rules: RuleSet | None = None
) -> dict[str, Any]:
    """Return the tensors of a model, what is wrong with them, and their pictures while there is room.

    Pictures of tensors with findings come first, then those of the largest.

    Args:
        model: The model.
        seen: Its `portraits`.
        budget: The room for pictures.
        rules: The rules that judged; None leaves out bounds that no finding tells.
    """
    words = Words()
    places = {info.name: index for index, info in enumerate(model.tensors)}
    accused = {places[one.tensor] for one in model.findings if one.tensor in places}
    order = sorted(seen, key=lambda index: (index not in accused, -model.tensors[index].size, index))
    pictures: dict[int, list[Any]] = {}
    for index in order:
        drawn = picture(seen[index])
        if drawn and budget.takes(sum(len(str(part)) for part in drawn)):
            pictures[index] = drawn
    return {
        "tensors": [_row(info, seen.get(index), words) for index, info in enumerate(model.tensors)],
        "findings": [_finding(one, places) for one in model.findings],
        "pictures": pictures,
        "limits": _limits(limits(model, rules), places),
        "moved": _moved(model, places),
        "skipped": {places[one.tensor]: shown(one.reason) for one in model.skipped if one.tensor in places},
        "missing": sum(1 for index in seen if index not in pictures),
        "words": words.texts,
    }


def _row(info: TensorInfo, one: Portrait | None, words: Words) -> list[Any]:
    """Return what the table and the details of a tensor show; without figures where it was not measured."""
    declared = (info.constraint, info.regularizer, info.initializer)
    row: list[Any] = [
        shown(info.name),
        words.number(info.layer),
        words.number(info.layer_class),
        words.number(info.role.value),
        words.number(info.dtype if info.quantization is None else f"{info.dtype} ({info.quantization.mode})"),
        words.number(info.evidence.value),
        list(info.shape),
        info.fan_in,
        *(None if each is None else words.number(each.name) for each in declared),
    ]
    if one is not None:
        row += [one.size, *map(short, (one.rms, one.mean, one.std, one.l2, one.minimum, one.maximum))]
        row += [one.zeros, one.nan, one.positive_inf + one.negative_inf, overflowing(info, one)]
        gain = None if info.fan_in is None else short(sqrt(info.fan_in) * one.rms)
        row.append(gain)
    return row


def _finding(finding: Finding, places: Mapping[str, int]) -> list[Any]:
    place = -1 if finding.tensor is None else places.get(finding.tensor, -1)
    return [place, shown(finding.code), finding.severity.label, shown(finding.message)]


def _moved(model: ModelReport, places: Mapping[str, int]) -> dict[int, list[Any]]:
    """Return what became of each tensor since the reference, if there is one: status, relative change."""
    pairs = () if model.comparison is None else model.comparison.tensors
    return {
        places[one.second.name]: [
            one.status.value,
            None if one.difference is None else short(one.difference.relative),
        ]
        for one in pairs
        if one.second is not None and one.second.name in places
    }


def _limits(known: Mapping[str, Sequence[Limit]], places: Mapping[str, int]) -> dict[int, list[Any]]:
    found: dict[int, list[Any]] = {}
    for name, drawn in known.items():
        found[places[name]] = [[short(one.value), shown(one.label)] for one in drawn]
    return found


def picture(one: Portrait) -> list[Any]:
    """Return histogram and channels of a tensor: lowest bin, counts above and below zero, `_channels`.

    Counts are texts such as ``3,,,12``, where nothing stands for 0: most bins between an outlier and
    all others are empty. Empty without a histogram.
    """
    if one.histogram is None:
        return []
    drawn: list[Any] = [one.histogram.lowest, *_sides(one.histogram)]
    return drawn if one.channels is None else [*drawn, *_channels(one.channels)]


def _sides(found: MagnitudeCounts) -> tuple[str, str]:
    def side(counts: Sequence[int]) -> str:
        return ",".join(str(count or "") for count in counts).rstrip(",")

    return side(found.positive), side(found.negative)


def _channels(norms: NDArray[np.float64]) -> list[Any]:
    """Return how many channels there are, their least and largest norms in order, and which stand out.

    Returns:
        Number of channels; channels drawn as one; least norm of each group; largest, where a group has
        several; places and norms of the largest and of the least.
    """
    flat = norms.reshape(-1)
    step = -(-flat.size // CHANNELS)
    groups = [flat[start : start + step] for start in range(0, flat.size, step)]
    order = flat.argsort(kind="stable").tolist()
    extremes = dict.fromkeys([*order[::-1][:3], *order[:3]])
    least: list[Any] = [short(float(group.min())) for group in groups]
    largest: list[Any] = [short(float(group.max())) for group in groups] if step > 1 else []
    return [flat.size, step, least, largest, [[place, short(float(flat[place]))] for place in extremes]]


def short(value: float) -> float | int | str | None:
    """Return a number as JSON has it, with the digits that pages show; infinities as text, and None for NaN.

    That is four digits, and all that stand before the point up to a million.
    """
    if not isfinite(value):
        return None if value != value else "inf" if value > 0 else "-inf"  # noqa: PLR0124 - NaN differs from itself
    rounded = float(round(value)) if 1e3 <= abs(value) < 1e6 else float(f"{value:.4g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e6 else rounded
