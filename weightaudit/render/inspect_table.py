"""An inspection for a person at a terminal: a table of tensors, each with its histogram in one line.

Names are printed as they are, never as markup. What a narrow terminal has no room for is left out, and a
name that is too long gets a line of its own; no cell is ever cut off.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.padding import Padding
from rich.segment import Segment, Segments
from rich.style import Style
from rich.text import Text

from weightaudit.inspection.layers import totals
from weightaudit.inspection.picture import Axis, both_signs, common_axis
from weightaudit.render.escape import MESSAGE_LIMIT, printable
from weightaudit.render.inspect_bars import spark
from weightaudit.render.inspect_words import (
    bad_text,
    number,
    percent,
    role_text,
    shape_text,
    totals_lines,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from weightaudit.inspection.looking import Inspection, Sight
    from weightaudit.statistics import MagnitudeCounts

DIM, BOLD, BAD, UNREAD, BARS = (Style.parse(one) for one in ("dim", "bold", "bold red", "magenta", "cyan"))

WIDEST, USUAL, NARROWEST = 32, 16, 8
"""Columns of a histogram at most, if it costs no more than the first few other columns, and at least."""

_NAMES, _ROOM = 0.4, 60
"""Share of the terminal that is kept for names, if some are as long; a narrower one gives them lines of
their own."""

_SPACE = 2
"""Columns between two cells."""

_DROPPED = ("dtype", "min", "role", "zeros", "", "|max|", "shape", "histogram", "rms")
"""Columns in the order in which they are left out where there is no room. The largest magnitude takes the
place of both extremes; before those behind the empty one, the histogram becomes as narrow as it can be."""

_BATCH = 500
"""Lines that are handed to the terminal together."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a table fits into a terminal.

    Attributes:
        columns: Names of the columns behind the name, in order.
        widths: Their widths.
        name: Width of the column of names; longer ones get a line of their own.
        axis: What histograms are drawn over, and whose columns they have; None for none.
    """

    columns: Sequence[str]
    widths: Sequence[int]
    name: int
    axis: Axis | None


def print_table(seen: Inspection, console: Console) -> None:
    """Print a table of tensors, and what they add up to, on a Rich console."""
    print_title(seen, console)
    plain = console.options.ascii_only
    if seen.sights:
        _print_rows(seen.sights, console, plain=plain)
    print_remarks(seen, console)
    console.print()
    for line in totals_lines(totals(seen.sights), seen.tensors):
        print_line(console, Text(line), 2)


def print_title(seen: Inspection, console: Console) -> None:
    """Print which model it is."""
    title = Text(printable(seen.path), "bold")
    print_line(console, title.append(f"  {printable(seen.container)}", "not bold dim"), 0)


def print_remarks(seen: Inspection, console: Console) -> None:
    """Print what is to be said of the model beside its tensors."""
    for one in seen.notes:
        print_line(console, Text(printable(one, MESSAGE_LIMIT), "dim"), 2)
    for one in seen.damage:
        print_line(console, Text(f"damaged: {printable(one, MESSAGE_LIMIT)}", "magenta"), 2)


def print_line(console: Console, text: Text, indent: int) -> None:
    """Print a text that folds at the console's width, behind some spaces."""
    text.overflow = "fold"
    console.print(Padding(text, (0, 0, 0, indent), expand=False) if indent else text)


def _print_rows(sights: Sequence[Sight], console: Console, *, plain: bool) -> None:
    rows = [_cells(sight) for sight in sights]
    names = [printable(sight.info.name) for sight in sights]
    layout = _layout(sights, rows, names, console.width)
    batch = [*_header(layout)]
    for place, (sight, row, name) in enumerate(zip(sights, rows, names, strict=True)):
        batch += _line(sight, row, name, layout, plain=plain)
        if place % _BATCH == 0:
            console.print(Segments(batch), end="", soft_wrap=True)
            batch = []
    console.print(Segments(batch), end="", soft_wrap=True)


COLUMNS: tuple[str, ...] = (
    "role", "shape", "dtype", "rms", "min", "max", "|max|", "zeros", "histogram", "not finite",
)  # fmt: skip
"""What there is to show behind the name of a tensor, in order."""

_LEFT = {"role", "shape", "dtype", "histogram", "not finite"}
"""Columns whose cells begin at the left."""

_STYLES = {"role": DIM, "dtype": DIM, "rms": BOLD, "histogram": BARS, "not finite": BAD}


def _cells(sight: Sight) -> tuple[str, ...]:
    """Return what stands in `COLUMNS`; histograms are drawn when it is known how many columns they have."""
    info, shown = sight.info, sight.portrait
    figures: tuple[str, ...] = ("-", "-", "-", "-", "-")
    if shown is not None:
        values = (shown.rms, shown.minimum, shown.maximum, shown.peak)
        figures = (*map(number, values), percent(shown.sparsity))
    bad = "" if shown is None else bad_text(shown)
    return (role_text(info), shape_text(info), printable(info.dtype), *figures, "", bad)


def _histogram(sight: Sight, axis: Axis, *, plain: bool) -> str:
    counts = None if sight.portrait is None else sight.portrait.histogram
    if counts is None or not counts.positive:
        return ""
    return spark(axis.fold(counts, both_signs(counts)), plain=plain)


def _layout(
    sights: Sequence[Sight], rows: Sequence[tuple[str, ...]], names: Sequence[str], room: int
) -> Layout:
    """Leave out columns until the others fit, and give what is left to the histogram."""
    needed = dict(_widths(rows))
    widths = {column: width for column, width in needed.items() if column != "|max|"}
    histograms = [*_histograms(sights)]
    if common_axis(histograms, NARROWEST) is None:
        del widths["histogram"]
    longest = max(map(cell_len, names))
    least = min(longest, int(_NAMES * room)) if room >= _ROOM else 0
    for column in _DROPPED:
        if least + sum(widths.values()) + _SPACE * len(widths) <= room:
            break
        if column == "min" and column in widths:
            del widths["min"], widths["max"]
            shown = {*widths, "|max|"}
            widths = {one: width for one, width in needed.items() if one in shown}
        elif column:
            widths.pop(column, None)
        elif "histogram" in widths:
            widths["histogram"] = NARROWEST
    left = max(0, room - sum(widths.values()) - _SPACE * len(widths))
    name = min(longest, left) if least else 0
    axis = None
    if "histogram" in widths:
        widths["histogram"] = min(WIDEST, widths["histogram"] + left - name)
        axis = common_axis(histograms, widths["histogram"])
    return Layout(tuple(widths), tuple(widths.values()), name, axis)


def _histograms(sights: Sequence[Sight]) -> Iterator[MagnitudeCounts]:
    """Yield the histograms that the axis is for: single numbers have scales of their own."""
    shown = [one.portrait for one in sights if one.portrait is not None]
    several = [one for one in shown if one.size > 1]
    yield from (one.histogram for one in several or shown if one.histogram is not None)


def _widths(rows: Sequence[tuple[str, ...]]) -> Iterator[tuple[str, int]]:
    """Yield the columns that tell anything that the totals do not, and what room they need."""
    for place, column in enumerate(COLUMNS):
        texts = {row[place] for row in rows}
        if column == "histogram":
            yield column, USUAL
        elif len(texts) > 1 if column == "dtype" else not texts <= {"", "-", "0%"}:
            yield column, max(len(column), *map(cell_len, texts))


def _header(layout: Layout) -> Iterator[Segment]:
    titles = {column: column for column in layout.columns}
    if layout.axis is not None:
        titles["histogram"] = _ends(layout.axis)
    yield Segment(f"{' ' * layout.name}{_joined(layout, titles)}".rstrip() + "\n", DIM)


def _ends(axis: Axis) -> str:
    """Return the magnitudes at the ends of an axis, as far as there is room for them."""
    start, end = f"{axis.start:.2g}", f"{axis.end:.2g}"
    fits = len(start) + len(end) < axis.columns
    return f"{start}{end:>{axis.columns - len(start)}}" if fits else f"{end:>{axis.columns}}"


def _joined(layout: Layout, cells: dict[str, str]) -> str:
    return "".join(
        f"{'':{_SPACE}}{_filled(cells[column], column, width)}"
        for column, width in zip(layout.columns, layout.widths, strict=True)
    )


def _filled(text: str, column: str, width: int) -> str:
    space = " " * (width - cell_len(text))
    return text + space if column in _LEFT else space + text


def _line(sight: Sight, row: tuple[str, ...], name: str, layout: Layout, *, plain: bool) -> Iterator[Segment]:
    bad = sight.portrait is not None and sight.portrait.nonfinite
    layer, slash, last = name.rpartition("/")
    yield Segment(layer + slash, DIM)
    yield Segment(last, BAD if bad else None)
    if sight.failure:
        yield Segment(f"  not read: {printable(sight.failure, MESSAGE_LIMIT)}\n", UNREAD)
        return
    length = cell_len(name)
    yield Segment("\n" + " " * layout.name if length > layout.name else " " * (layout.name - length))
    cells = dict(zip(COLUMNS, row, strict=True))
    if layout.axis is not None:
        cells["histogram"] = _histogram(sight, layout.axis, plain=plain)
    for column, width in zip(layout.columns, layout.widths, strict=True):
        text = cells[column]
        style = DIM if text in {"-", "0%"} else _STYLES.get(column)
        yield Segment(f"{'':{_SPACE}}{_filled(text, column, width)}", style)
    yield Segment("\n")
