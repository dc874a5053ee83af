"""Shows a report: on a terminal, in a pipe, or in a file."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from weightaudit.cli.output import say, write_file, write_stdout

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from weightaudit.report import LeftOut, Report


@dataclass(frozen=True, slots=True)
class Presentation:
    """How the user wants to see a report.

    Attributes:
        as_json: JSON; otherwise text.
        file: File that it goes to; None for standard output.
        quiet: Leave out everything that does not decide the verdict.
        verbose: Add the statistics of every tensor.
        color: Whether a terminal may show colours.
    """

    as_json: bool
    file: Path | None
    quiet: bool
    verbose: bool
    color: bool


def present(report: Report, names: Mapping[str, str], how: Presentation) -> None:
    """Write a report; the verdict also goes to standard error if nobody reads it on standard output.

    What a search left out is told on standard error: it is no part of the models' report.

    Args:
        report: The report.
        names: Names of the rules by code.
        how: Format and place.

    Raises:
        WeightauditError: It cannot be written.
    """
    from weightaudit.render.summary import verdict

    # Without a model to show, what was left out is the whole answer, however quiet.
    if not how.quiet or not report.models:
        _tell(report.left_out)
    if how.file is None and not how.as_json and sys.stdout.isatty():
        _print(report, names, how)
        return
    text = _render(report, names, how)
    if how.file is None:
        write_stdout(text)
    else:
        write_file(how.file, text)
    if (how.as_json or how.file is not None) and not how.quiet:
        say(f"{verdict(report)}.")


def _tell(left_out: Sequence[LeftOut]) -> None:
    from weightaudit.discover import grouped
    from weightaudit.render.escape import MESSAGE_LIMIT, printable

    for names, reason in grouped(left_out):
        say(f"left out {printable(f'{names}: {reason}', MESSAGE_LIMIT)}.")


def _render(report: Report, names: Mapping[str, str], how: Presentation) -> str:
    if how.as_json:
        from weightaudit.render.json import render_json

        return render_json(report, verbose=how.verbose, names=names)
    from weightaudit.render.text import render_text

    return render_text(report, verbose=how.verbose, quiet=how.quiet, names=names)


def _print(report: Report, names: Mapping[str, str], how: Presentation) -> None:
    from rich.console import Console

    from weightaudit.render.terminal import print_report

    console = Console(no_color=None if how.color else True, highlight=False)
    with console.capture() as capture:
        print_report(report, console, verbose=how.verbose, quiet=how.quiet, names=names)
    write_stdout(capture.get())
