"""`weightaudit diff`: what differs between two saved models, tensor by tensor."""

# No `from __future__ import annotations` here: Typer reads the annotations when the program starts.

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from weightaudit.addressing import Model, find_model
from weightaudit.cli.check import Format, NoColor, NoProgress, Output
from weightaudit.errors import UsageError

if TYPE_CHECKING:
    from weightaudit.cli.presentation import Presentation
    from weightaudit.comparison.result import Comparison
    from weightaudit.report import ExitCode

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
Shape = Annotated[Format, typer.Option("--format", help="Format of the comparison.", show_default=True)]
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
    output_format: Shape = Format.TEXT,
    output: Output = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    no_color: NoColor = False,
    no_progress: NoProgress = False,
) -> None:
    """Compare two models tensor by tensor.

    Tensors are paired by name, and where containers name them differently by place, path, layer or
    content; pairs that are not by name are marked. A tensor that only has another name is no
    difference. Values are compared; whether they match their checksums is for `check` to say.

    Exit codes, as of diff: 0 equal, within --tolerance; 1 different; 2 wrong usage; 3 something
    could not be read.
    """
    if quiet and verbose:
        raise UsageError("--quiet and --verbose contradict each other.")
    from weightaudit.cli.output import check_output, destination
    from weightaudit.discover import Target

    models = find_model(first), find_model(second)
    file = destination(output)
    if file is not None:
        check_output(file, [Target(model.path, model.label, explicit=True) for model in models])
    from weightaudit.cli.presentation import Presentation

    how = Presentation(output_format is Format.JSON, file, quiet, verbose, not no_color)
    code = diff_models(*models, how, weights_only=weights_only, tolerance=tolerance, progress=not no_progress)
    raise typer.Exit(code)


def diff_models(
    first: Model,
    second: Model,
    how: "Presentation",
    *,
    weights_only: bool = False,
    tolerance: float = 0.0,
    progress: bool = True,
) -> "ExitCode":
    """Compare two models, show the result, and return the exit code.

    Args:
        first: One model.
        second: The other.
        how: Format and place of the output.
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


def _present(comparison: "Comparison", how: "Presentation") -> None:
    from weightaudit.cli.output import say, write_file, write_stdout
    from weightaudit.render.diff_text import verdict

    if how.file is None and not how.as_json and sys.stdout.isatty():
        _print(comparison, how)
        return
    text = _render(comparison, how)
    if how.file is None:
        write_stdout(text)
    else:
        write_file(how.file, text)
    if (how.as_json or how.file is not None) and not how.quiet:
        say(f"{verdict(comparison)}.")


def _render(comparison: "Comparison", how: "Presentation") -> str:
    if how.as_json:
        from weightaudit.render.diff_json import render_diff_json

        return render_diff_json(comparison)
    from weightaudit.render.diff_text import render_diff_text

    return render_diff_text(comparison, verbose=how.verbose, quiet=how.quiet)


def _print(comparison: "Comparison", how: "Presentation") -> None:
    from rich.console import Console

    from weightaudit.cli.output import write_stdout
    from weightaudit.render.diff_terminal import print_diff

    console = Console(no_color=None if how.color else True, highlight=False)
    with console.capture() as capture:
        print_diff(comparison, console, verbose=how.verbose, quiet=how.quiet)
    write_stdout(capture.get())
