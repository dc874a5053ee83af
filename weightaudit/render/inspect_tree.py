"""The layers of a model as a tree, for a person at a terminal."""

from __future__ import annotations

from math import isnan, nan
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.segment import Segment, Segments
from rich.text import Text

from weightaudit.inspection.layers import totals, tree
from weightaudit.render.escape import printable
from weightaudit.render.inspect_bars import meter
from weightaudit.render.inspect_table import (
    BAD,
    BARS,
    BOLD,
    DIM,
    print_line,
    print_remarks,
    print_title,
)
from weightaudit.render.inspect_words import number, percent, totals_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from weightaudit.inspection.layers import Node
    from weightaudit.inspection.looking import Inspection

_METER = 10
"""Columns of the bar for a layer's share."""

_DROPPED = ("", "class", "rms", "share", "numbers")
"""Columns in the order in which they are left out where there is no room; the bar's has no title."""

_STYLES = {"class": DIM, "": BARS, "rms": BOLD, "trouble": BAD}
_LEFT = {"class", "", "trouble"}


def print_tree(seen: Inspection, console: Console) -> None:
    """Print the layers, their share of all weights, and what they add up to, on a Rich console."""
    print_title(seen, console)
    root = tree(seen.sights)
    lines = list(root.walk())
    if lines:
        # Half of the room stays for the names of layers that are nested very deep.
        indents = (min(2 * (len(path) - 1), console.width // 2) for path, _ in lines)
        names = [
            " " * indent + printable(node.name) for indent, (_, node) in zip(indents, lines, strict=True)
        ]
        rows = [_cells(node, root.sum.numbers, plain=console.options.ascii_only) for _, node in lines]
        console.print(Segments(_rows(names, rows, console.width)), end="", soft_wrap=True)
    print_remarks(seen, console)
    console.print()
    for line in totals_lines(totals(seen.sights), seen.tensors):
        print_line(console, Text(line), 2)


def _cells(node: Node, whole: int, *, plain: bool) -> dict[str, str]:
    """Return what there is to show behind the name of a layer."""
    held = node.sum
    share = held.numbers / whole if whole and node.is_layer else nan
    bad = f"{held.nonfinite:,} NaN or Inf" if held.nonfinite else ""
    unread = f"{held.failures:,} not read" if held.failures else ""
    return {
        "class": printable(node.layer_class),
        "numbers": _short(held.numbers),
        "share": percent(share),
        "": "" if isnan(share) else meter(share, _METER, plain=plain),
        "rms": "" if held.rms is None else number(held.rms),
        "trouble": ", ".join(filter(None, (bad, unread))),
    }


def _rows(names: Sequence[str], rows: Sequence[dict[str, str]], room: int) -> Iterator[Segment]:
    longest = max(map(cell_len, names))
    widths = {title: max(cell_len(row[title]) for row in rows) for title in rows[0]}
    widths = {
        title: max(width, len(title) * (title != "trouble")) for title, width in widths.items() if width
    }
    # One name that is longer than all others must not cost them their figures: it gets a line of its own.
    least = min(longest, room // 2)
    for title in _DROPPED:
        if least + sum(widths.values()) + 2 * len(widths) > room:
            widths.pop(title, None)
    name_width = max(0, min(longest, room - sum(widths.values()) - 2 * len(widths)))
    titles = {title: title if title != "trouble" else "" for title in widths}
    yield Segment(f"{' ' * name_width}{_joined(titles, widths)}".rstrip() + "\n", DIM)
    for name, row in zip(names, rows, strict=True):
        yield Segment(name, BAD if row["trouble"] else None)
        gap = name_width - cell_len(name)
        yield Segment(" " * gap if gap >= 0 else "\n" + " " * name_width)
        for title, width in widths.items():
            yield Segment(_joined(row, {title: width}), _STYLES.get(title))
        yield Segment("\n")


def _joined(row: dict[str, str], widths: dict[str, int]) -> str:
    """Return cells side by side, each behind two spaces."""
    cells: list[str] = []
    for title, width in widths.items():
        space = " " * (width - cell_len(row[title]))
        cells.append(f"  {row[title]}{space}" if title in _LEFT else f"  {space}{row[title]}")
    return "".join(cells)


def _short(count: int) -> str:
    """Return a count of numbers with three digits and a unit: 23.5M."""
    value = float(count)
    for unit in ("", "k", "M", "G"):
        if value < 999.5 or unit == "G":
            break
        value /= 1000
    return str(count) if count < 1000 else f"{value:.3g}{unit}"
