"""A comparison for a person at a terminal: a table of changes, and lists of everything else."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from weightaudit.comparison.result import Match, Status
from weightaudit.render.diff_text import facts, remarks, shown, tensor_name, type_text, verdict
from weightaudit.render.escape import printable
from weightaudit.render.terminal import VERDICT_STYLE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from weightaudit.comparison.result import Comparison, Difference, TensorComparison

MANY = 20
"""Tensors of one status that are listed without --verbose."""

_STYLES = {
    Status.UNREAD: "bold magenta",
    Status.RESHAPED: "bold red",
    Status.REMOVED: "red",
    Status.ADDED: "green",
    Status.RENAMED: "cyan",
    Status.EQUAL: "dim",
}


def print_diff(
    comparison: Comparison, console: Console, *, verbose: bool = False, quiet: bool = False
) -> None:
    """Print a comparison on a Rich console.

    Names are printed as they are, never as markup, and colours are the console's to leave out.

    Args:
        comparison: The comparison.
        console: Where to print.
        verbose: List every tensor, those that are equal too.
        quiet: Leave out everything but the verdict, and what could not be read.
    """
    if not quiet:
        _print_models(comparison, console)
    tensors = shown(comparison, verbose=verbose, quiet=quiet)
    most = len(tensors) if verbose else MANY
    measured = [one for one in tensors if one.difference is not None]
    if measured:
        console.print(_table(measured[:most]))
        _print_rest(len(measured) - most, console)
    others = [one for one in tensors if one.difference is None]
    for status, group in groupby(others, key=lambda one: one.status):
        _print_group(status, list(group), most, console)
    for remark in remarks(comparison, quiet=quiet):
        _line(console, Text(remark, "dim" if remark.startswith("info") else "magenta"), 2)
    _line(console, Text(verdict(comparison), VERDICT_STYLE[comparison.exit_code]), 0)


def _print_models(comparison: Comparison, console: Console) -> None:
    for sign, label, container in zip(
        "-+", (comparison.first, comparison.second), comparison.containers, strict=True
    ):
        line = Text(f"{sign} {printable(label)}", "bold")
        _line(console, line.append(f"  {printable(container)}", "not bold dim"), 0)


def _table(tensors: Sequence[TensorComparison]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("changed", overflow="fold", ratio=1)
    for title in ("relative", "largest", "elements", "signs", "zeros", "cosine"):
        table.add_column(title, justify="right", no_wrap=True)
    for one in tensors:
        if one.difference is not None:
            table.add_row(_title(one), *_cells(one.difference))
    return table


def _title(one: TensorComparison) -> Text:
    """Return the name, and what else there is to know: type, pairing, NaN, tolerance."""
    title = Text(tensor_name(one), "dim" if one.within else "bold")
    if one.status is Status.RETYPED and one.first is not None and one.second is not None:
        loss = "lossless" if one.is_lossless else "lossy"
        title.append(f" {type_text(one.first)} -> {type_text(one.second)}, {loss}", "not bold yellow")
    if one.difference is not None and one.difference.touches_nonfinite:
        found = one.difference
        title.append(f" NaN and Inf {found.nonfinite_before} -> {found.nonfinite_after}", "bold red")
    if one.match not in {Match.NAME, None}:
        title.append(f" paired by {one.match.value if one.match else ''}", "not bold cyan")
    return title.append(" within tolerance", "not bold dim") if one.within else title


def _cells(found: Difference) -> tuple[str, ...]:
    zeros = (
        f"{found.zeros_before}"
        if found.zeros_before == found.zeros_after
        else (f"{found.zeros_before} -> {found.zeros_after}")
    )
    return (
        f"{found.relative:.3g}",
        f"{found.largest:.3g}",
        f"{found.elements / found.size:.1%}",
        f"{found.sign_flips}",
        zeros,
        f"{found.cosine:.6f}",
    )


def _print_group(status: Status, tensors: Sequence[TensorComparison], most: int, console: Console) -> None:
    style = _STYLES.get(status, "yellow")
    _line(console, Text(f"{status.value}  {len(tensors)}", style), 0)
    for one in tensors[:most]:
        line = Text(f"{tensor_name(one)}: ", "bold")
        _line(console, line.append(facts(one), "not bold"), 2)
    _print_rest(len(tensors) - most, console)


def _print_rest(number: int, console: Console) -> None:
    if number > 0:
        _line(console, Text(f"and {number} more; --verbose shows all", "dim"), 2)


def _line(console: Console, text: Text, indent: int) -> None:
    text.overflow = "fold"
    console.print(Padding(text, (0, 0, 0, indent), expand=False) if indent else text)
