"""`weightaudit diff`: what differs between two saved models, tensor by tensor."""

# No `from __future__ import annotations` here: Typer reads the annotations when the program starts.

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from weightaudit.addressing import Model, find_model
from weightaudit.cli.options import NoColor, NoProgress, OutputFile
from weightaudit.cli.outputs import Formats, Output
from weightaudit.errors import UsageError
from weightaudit.render.formats import ReportFormat

if TYPE_CHECKING:
    from rich.console import Console

    from weightaudit.comparison.result import Comparison
    from weightaudit.report import ExitCode

KNOWN = (ReportFormat.TEXT, ReportFormat.JSON, ReportFormat.HTML)
"""Formats of what compares or mends models."""

_MODEL_HELP = "Model, checkpoint prefix, or version such as model.keras@3."
First = Annotated[str, typer.Argument(metavar="A", help=_MODEL_HELP)]
Second = Annotated[str, typer.Argument(metavar="B", help="What it is compared with.")]
WeightsOnly = Annotated[
    bool, typer.Option("--weights-only", help="Leave out optimizer states, metrics, counters and seeds.")
]
Tolerance = Annotated[
    float,
    typer.Option(
        "--tolerance",
        metavar="SHARE",
        help="Changes up to this share of a tensor's norm count as equal.  [default: 0, every bit counts]",
        show_default=False,
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Show only the verdict, and what could not be read.")
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Show equal tensors too, and long lists whole.")
]


def diff(
    first: First,
    second: Second,
    *,
    weights_only: WeightsOnly = False,
    tolerance: Tolerance = 0.0,
    formats: Formats = None,
    output: OutputFile = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    no_color: NoColor = False,
    no_progress: NoProgress = False,
) -> None:
    """Compare two models tensor by tensor.

    Tensors are paired by name, and where names differ by place, path, layer or content, or else by a
    guess: the order of layers, or numbers that correlate. Pairs that are not by name are marked. A
    tensor that only has another name is no difference. Values are compared; whether they match their
    checksums is for `check` to say.

    Exit codes, as of diff: 0 equal, within --tolerance; 1 different; 2 wrong usage; 3 something
    could not be read.
    """
    if quiet and verbose:
        raise UsageError("--quiet and --verbose contradict each other.")
    from weightaudit.cli.outputs import check_outputs, chosen_outputs
    from weightaudit.discover import Target

    models = find_model(first), find_model(second)
    outputs = chosen_outputs(formats, output, KNOWN)
    check_outputs(outputs, [Target(model.path, model.label, explicit=True) for model in models])
    how = Presentation(outputs, quiet=quiet, verbose=verbose, color=not no_color)
    code = diff_models(*models, how, weights_only=weights_only, tolerance=tolerance, progress=not no_progress)
    raise typer.Exit(code)


@dataclass(frozen=True, slots=True)
class Presentation:
    """How the user wants to see a comparison.

    Attributes:
        outputs: Which formats go where.
        quiet: Show only the verdict, and what could not be read.
        verbose: Show equal tensors too, and long lists whole.
        color: Whether a terminal may show colours.
    """

    outputs: Sequence[Output]
    quiet: bool
    verbose: bool
    color: bool


def diff_models(
    first: Model,
    second: Model,
    how: Presentation,
    *,
    weights_only: bool = False,
    tolerance: float = 0.0,
    progress: bool = True,
) -> "ExitCode":
    """Compare two models, show the result, and return the exit code.

    Args:
        first: One model.
        second: The other.
        how: Formats and places of the output.
        weights_only: Leave out optimizer states, metrics, counters and seeds.
        tolerance: Relative difference up to which a changed tensor counts as equal.
        progress: Whether a terminal may show a progress bar.

    Raises:
        ReadError: A model cannot be opened.
        UsageError: The tolerance makes no sense.
        WeightauditError: The output cannot be written.
    """
    from weightaudit.checkpoint import open_checkpoint
    from weightaudit.cli.progress import ProgressBar
    from weightaudit.comparison import compare_checkpoints

    with (
        ProgressBar(enabled=sys.stderr.isatty() and progress) as bar,
        open_checkpoint(first.path) as one,
        open_checkpoint(second.path) as other,
    ):
        comparison = compare_checkpoints(
            one,
            other,
            labels=(first.label, second.label),
            weights_only=weights_only,
            tolerance=tolerance,
            progress=bar.update,
        )
    _present(comparison, how)
    return comparison.exit_code


def _present(comparison: "Comparison", how: Presentation) -> None:
    from weightaudit.cli.outputs import present
    from weightaudit.render.diff_text import verdict

    def shown(console: "Console") -> None:
        from weightaudit.render.diff_terminal import print_diff

        print_diff(comparison, console, verbose=how.verbose, quiet=how.quiet)

    present(
        how.outputs,
        lambda output_format: _render(comparison, output_format, how),
        shown,
        color=how.color,
        verdict=None if how.quiet else verdict(comparison),
    )


def _render(comparison: "Comparison", output_format: ReportFormat, how: Presentation) -> str:
    if output_format is ReportFormat.JSON:
        from weightaudit.render.diff_json import render_diff_json

        return render_diff_json(comparison)
    if output_format is ReportFormat.HTML:
        from weightaudit.cli.output import say
        from weightaudit.html.comparing import comparison_page

        return comparison_page(comparison, lambda what: say(f"html: {what}."))
    from weightaudit.render.diff_text import render_diff_text

    return render_diff_text(comparison, verbose=how.verbose, quiet=how.quiet)
