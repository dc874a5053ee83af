"""Shows the report of an audit: on a terminal, in a pipe, or in files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weightaudit.cli.output import say
from weightaudit.cli.outputs import present

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from weightaudit.cli.outputs import Output
    from weightaudit.render.formats import ReportFormat
    from weightaudit.render.view import View
    from weightaudit.report import LeftOut, Report


def present_report(report: Report, outputs: Sequence[Output], view: View, *, color: bool) -> None:
    """Write a report; the verdict also goes to standard error if nobody reads it on standard output.

    What a search left out is told on standard error: it is no part of the models' report.

    Args:
        report: The report.
        outputs: Which formats go where.
        view: How it is shown.
        color: Whether a terminal may show colours.

    Raises:
        WeightauditError: It cannot be written.
    """
    from dataclasses import replace

    from weightaudit.render.formats import render
    from weightaudit.render.summary import verdict

    # Without a model to show, what was left out is the whole answer, however quiet.
    if not view.quiet or not report.models:
        _tell(report.left_out)

    def made(output_format: ReportFormat) -> str:
        def tell(what: str) -> None:
            say(f"{output_format}: {what}.")

        return render(report, output_format, replace(view, tell=tell))

    def shown(console: Console) -> None:
        from weightaudit.render.terminal import print_report

        print_report(
            report,
            console,
            verbose=view.verbose,
            quiet=view.quiet,
            suppressed=view.suppressed,
            names=view.names,
        )

    present(outputs, made, shown, color=color, verdict=None if view.quiet else verdict(report))


def _tell(left_out: Sequence[LeftOut]) -> None:
    from weightaudit.left_out import grouped
    from weightaudit.render.escape import MESSAGE_LIMIT, printable

    for names, reason in grouped(left_out):
        say(f"left out {printable(f'{names}: {reason}', MESSAGE_LIMIT)}.")
