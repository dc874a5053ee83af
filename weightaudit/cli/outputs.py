"""What ``-f FORMAT[=FILE]`` and ``-o FILE`` ask for: which formats of one report go where."""

# No `from __future__ import annotations` here: Typer reads the annotations when the program starts.

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from weightaudit.cli import completing
from weightaudit.cli.output import check_output, destination, say, write_file, write_stdout
from weightaudit.errors import UsageError
from weightaudit.policy import did_you_mean
from weightaudit.render.formats import ReportFormat

if TYPE_CHECKING:
    from rich.console import Console

    from weightaudit.discover import Target

Formats = Annotated[
    list[str] | None,
    typer.Option(
        "--format",
        "-f",
        metavar="FORMAT[=FILE]",
        help="Format of the report, such as json, or html=report.html for a file of its own; may be "
        "given again.  [default: text]",
        show_default=False,
        autocompletion=completing.formats,
    ),
]


@dataclass(frozen=True, slots=True)
class Output:
    """One format of the report, and where it goes.

    Attributes:
        format: The format.
        file: File that it goes to; None for standard output.
        asked: The option that names the file, as the user wrote it; empty if none does.
    """

    format: ReportFormat
    file: Path | None
    asked: str = field(default="", compare=False)


def chosen_outputs(
    formats: Sequence[str] | None, output: str | None, known: Sequence[ReportFormat] = tuple(ReportFormat)
) -> list[Output]:
    """Return what the options ask for; without any, text on standard output.

    Args:
        formats: Values of ``--format``.
        output: Value of ``--output``: the file of the one format that names none.
        known: Formats that the command has.

    Raises:
        UsageError: A format is unknown, or two would go to the same place.
    """
    chosen = [_output(value, known) for value in formats or ["text"]]
    file = destination(output)
    without = [index for index, one in enumerate(chosen) if one.file is None]
    if output is not None and not without:
        raise UsageError("--output says nothing here: every --format has its own file.")
    if len(without) > 1:
        names = [str(chosen[index].format) for index in without]
        raise UsageError(f"The formats {' and '.join(names)} cannot go to one place; write {names[-1]}=FILE.")
    for index in without:
        chosen[index] = Output(chosen[index].format, file, f"--output {output}")
    places = [os.path.realpath(one.file) for one in chosen if one.file is not None]
    twice = next((place for place in places if places.count(place) > 1), None)
    if twice is not None:
        raise UsageError(f"Two formats would go to the file {os.path.relpath(twice)}; give each its own.")
    return chosen


def check_outputs(
    outputs: Sequence[Output], targets: "Sequence[Target]", read: Sequence[str | os.PathLike[str]] = ()
) -> None:
    """Refuse, before the work begins, places where a report could not or must not be written.

    Args:
        outputs: Which formats go where.
        targets: The models.
        read: What else the command reads, such as a policy or a reference.

    Raises:
        UsageError: See `check_output`.
    """
    for one in outputs:
        if one.file is not None:
            check_output(one.file, targets, read, asked=one.asked)


def present(
    outputs: Sequence[Output],
    render: Callable[[ReportFormat], str],
    show: "Callable[[Console], None]",
    *,
    color: bool,
    verdict: str | None,
) -> None:
    """Write a report in each format; nothing is written before all of them are made.

    Args:
        outputs: Which formats go where.
        render: Returns the report in a format.
        show: Prints the text for a person, where standard output is a terminal.
        color: Whether a terminal may show colours.
        verdict: Sentence for standard error if no text that ends with it goes to standard output;
            None for none.

    Raises:
        WeightauditError: One cannot be written.
    """
    texts = [_made(one, render, show, color=color) for one in outputs]
    for one, text in zip(outputs, texts, strict=True):
        if one.file is None:
            write_stdout(text)
        else:
            write_file(one.file, text)
    if verdict is not None and Output(ReportFormat.TEXT, None) not in outputs:
        say(f"{verdict}.")


def _made(
    output: Output,
    render: Callable[[ReportFormat], str],
    show: "Callable[[Console], None]",
    *,
    color: bool,
) -> str:
    import sys

    if output != Output(ReportFormat.TEXT, None) or not sys.stdout.isatty():
        return render(output.format)
    from rich.console import Console

    console = Console(no_color=None if color else True, highlight=False)
    with console.capture() as capture:
        show(console)
    return capture.get()


def _output(value: str, known: Sequence[ReportFormat]) -> Output:
    name, equals, place = value.partition("=")
    if name not in known:
        names = [str(one) for one in known]
        hint = did_you_mean(name, names) or f"; there are {', '.join(names)}"
        raise UsageError(f"--format {name!r} is unknown{hint}.")
    if equals and not place:
        raise UsageError(f"--format {value} names no file; write {name}=FILE, or {name} for standard output.")
    return Output(ReportFormat(name), None if place in ("", "-") else Path(place), f"--format {value}")
