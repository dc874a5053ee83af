"""Which tensors the table of a page has: all of them, unless they are more than a page can hold."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from weightaudit.report import ModelReport

Row = TypeVar("Row")

ROWS = 20_000
"""Rows that the tables of a page have, of all models together: 5 MB of 100,000 tensors with short names."""


def silent(_: str) -> None:
    """Tell nobody what a page has no room for."""


def beginning(rows: Sequence[Row], tell: Callable[[str], None]) -> Sequence[Row]:
    """Return as many rows of a page about changes as it has room for, and tell if that is not all of them.

    Args:
        rows: All of them, the largest change first.
        tell: Is given a sentence, without its full stop.
    """
    if len(rows) > ROWS:
        tell(f"the page lists {ROWS} of {len(rows)} tensors, the largest changes; json has all")
    return rows[:ROWS]


def listed(model: ModelReport, room: int) -> Sequence[int]:
    """Return the places of the tensors that get a row, in the order of the model.

    Where there are too many, those with findings come first, then those that were skipped, then the largest.

    Args:
        model: The model.
        room: Rows that there may be.
    """
    places = range(len(model.tensors))
    if len(places) <= room:
        return places
    accused = {one.tensor for one in model.findings}
    skipped = {one.tensor for one in model.skipped}

    def urgency(place: int) -> tuple[bool, bool, int, int]:
        info = model.tensors[place]
        return info.name not in accused, info.name not in skipped, -info.size, place

    return sorted(sorted(places, key=urgency)[:room])


def narrowed(model: ModelReport, places: Sequence[int]) -> ModelReport:
    """Return a model as its table has it: with these of its tensors, and what was found in them."""
    if len(places) == len(model.tensors):
        return model
    tensors = [model.tensors[place] for place in places]
    names = {info.name for info in tensors}
    findings = [one for one in model.findings if one.tensor in names]
    stats = {name: each for name, each in model.stats.items() if name in names}
    return replace(model, tensors=tensors, findings=findings, stats=stats)
