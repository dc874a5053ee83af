"""Tensors in depth, for a person at a terminal or in a pipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.segment import Segment, Segments
from rich.style import Style
from rich.table import Table
from rich.text import Text

from weightaudit.inspection.picture import own_axis
from weightaudit.render.escape import MESSAGE_LIMIT, printable
from weightaudit.render.inspect_bars import bars
from weightaudit.render.inspect_depth import FORMATS, facts
from weightaudit.render.inspect_table import BAD, BARS, DIM, print_line, print_remarks, print_title
from weightaudit.render.terminal import SEVERITY_STYLE
from weightaudit.render.text import finding_text, rule_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from rich.console import Console

    from weightaudit.inspection.looking import Inspection
    from weightaudit.inspection.picture import Axis
    from weightaudit.inspection.studying import Study
    from weightaudit.rule import Finding
    from weightaudit.statistics import MagnitudeCounts

ROWS = 6
"""Lines of a histogram."""

WIDEST = 36
"""Columns of each sign at most."""


def studies_text(seen: Inspection, studies: Sequence[Study], names: Mapping[str, str]) -> str:
    """Return one line ``tensor: title: text`` per fact and finding."""
    from weightaudit.render.inspect_text import remarks

    lines: list[str] = []
    for study in studies:
        tensor = printable(study.sight.info.name)
        lines += [f"{tensor}: {fact.title}: {fact.text}" for fact in facts(study)]
        lines += [finding_text(one, names) for one in study.findings]
    return "".join(f"{line}\n" for line in (*lines, *remarks(seen)))


def print_studies(
    seen: Inspection, studies: Sequence[Study], console: Console, names: Mapping[str, str]
) -> None:
    """Print tensors in depth on a Rich console.

    Args:
        seen: The model.
        studies: The tensors.
        console: Where to print.
        names: Names of the rules by code.
    """
    print_title(seen, console)
    for study in studies:
        console.print()
        _print_study(study, console, names)
    print_remarks(seen, console)


def _print_study(study: Study, console: Console, names: Mapping[str, str]) -> None:
    print_line(console, Text(printable(study.sight.info.name), "bold"), 0)
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    for fact in facts(study):
        grid.add_row(Text(fact.title), Text(fact.text, BAD if fact.is_bad else Style.null()))
    console.print(Padding(grid, (0, 0, 0, 2), expand=False))
    shown = study.sight.portrait
    if shown is not None and shown.histogram is not None and shown.histogram.nonzero:
        console.print()
        console.print(Segments(_histogram(shown.histogram, console)), end="", soft_wrap=True)
    if study.findings:
        console.print()
    for one in study.findings:
        print_line(console, _finding(one, names), 2)


def _finding(one: Finding, names: Mapping[str, str]) -> Text:
    text = Text(f"{one.severity.label} {rule_text(one.code, names)}: ", SEVERITY_STYLE[one.severity])
    return text.append(printable(one.message, MESSAGE_LIMIT), "not bold default")


def _histogram(counts: MagnitudeCounts, console: Console) -> Iterator[Segment]:
    """Yield a picture with negative numbers at the left, zero in the middle, positive ones at the right."""
    plain = console.options.ascii_only
    axis = own_axis(counts, max(4, min(WIDEST, (console.width - 3) // 2)))
    if axis is None:
        return
    left, right = axis.fold(counts, counts.negative)[::-1], axis.fold(counts, counts.positive)
    picture = bars([*left, 0, *right], ROWS, plain=plain)
    for line in picture:
        yield Segment(f"  {line}".rstrip() + "\n", BARS)
    line, tick = ("-", "+") if plain else ("─", "┼")
    marks = _marks(axis)
    scale = "".join(marks.get(column, line) for column in range(axis.columns))
    mirrored = "".join(marks.get(column, line) for column in reversed(range(axis.columns)))
    yield Segment(f"  {mirrored}{tick}{scale}\n", DIM)
    yield Segment(f"  {_labels(axis)}\n", DIM)
    names = [f"{mark} {name}" for mark, name in _NAMES.items() if mark in marks.values()]
    if names:
        yield Segment(f"  {', '.join(names)}\n", DIM)


_NAMES = {
    "h": "least normal float16",
    "H": "largest float16",
    "b": "least normal bfloat16",
    "B": "largest bfloat16",
}
"""Letters on the axis."""


def _marks(axis: Axis) -> dict[int, str]:
    """Return the letters that stand on the axis, by column."""
    limits = [
        (letter, limit)
        for one, pair in zip(FORMATS, ("hH", "bB"), strict=True)
        for letter, limit in zip(pair, (2.0**one.normal, one.largest), strict=True)
    ]
    found = {axis.place(limit): letter for letter, limit in limits}
    return {column: letter for column, letter in found.items() if column is not None}


def _labels(axis: Axis) -> str:
    """Return what the ends of both halves stand for, as far as there is room."""
    low, high = f"{axis.start:.2g}", f"{axis.end:.2g}"
    if len(low) + len(high) + 4 > axis.columns:
        return f"-{high}{'0':>{axis.columns - len(high)}}{high:>{axis.columns}}"
    left = f"-{low} "
    return f"-{high}{left:>{axis.columns - len(high) - 1}}0 {low}{high:>{axis.columns - len(low) - 1}}"
