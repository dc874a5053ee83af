"""`weightaudit inspect`: look at the tensors of a model, without a verdict."""

# No `from __future__ import annotations` here: Typer reads the annotations when the program starts.

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from weightaudit.cli import completing
from weightaudit.cli.options import (
    MAX_METADATA,
    MAX_TENSORS,
    TIMEOUT,
    ConfigOption,
    EngineName,
    EngineOption,
    LayerClasses,
    MaxMetadata,
    MaxTensors,
    NoColor,
    NoProgress,
    OutputFile,
    Roles,
    Timeout,
)
from weightaudit.cli.outputs import Formats, Output, present
from weightaudit.cli.selection import Modules, PolicyFile, load, split
from weightaudit.errors import UsageError
from weightaudit.inspection.choosing import Choice, Order, ordered
from weightaudit.limits import Limits
from weightaudit.render.formats import ReportFormat

if TYPE_CHECKING:
    from rich.console import Console

    from weightaudit.auditor import Means
    from weightaudit.checkpoint import Checkpoint
    from weightaudit.policy import Policy
    from weightaudit.registry import Registry
    from weightaudit.tensor import TensorInfo

Model = Annotated[
    str, typer.Argument(metavar="PATH", help="Model, checkpoint prefix, or version such as model.keras@3.")
]
Tensors = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[TENSOR...]",
        help="Names of tensors, shown in depth; layers or quoted globs, to see only theirs.",
        autocompletion=completing.tensors,
    ),
]
Tree = Annotated[bool, typer.Option("--tree", help="Show layers, not tensors.")]
Sort = Annotated[
    Order | None, typer.Option("--sort", help="Order of the tensors.  [default: as in the model]")
]
WeightsOnly = Annotated[
    bool, typer.Option("--weights-only", help="Leave out optimizer states, metrics, counters and seeds.")
]


def inspect(
    path: Model,
    tensors: Tensors = None,
    *,
    tree: Tree = False,
    sort: Sort = None,
    role: Roles = None,
    layer_class: LayerClasses = None,
    weights_only: WeightsOnly = False,
    config: ConfigOption = None,
    policy: PolicyFile = None,
    plugin: Modules = None,
    formats: Formats = None,
    output: OutputFile = None,
    no_color: NoColor = False,
    no_progress: NoProgress = False,
    engine: EngineOption = EngineName.NUMPY,
    max_tensors: MaxTensors = MAX_TENSORS,
    max_metadata: MaxMetadata = MAX_METADATA,
    timeout: Timeout = TIMEOUT,
) -> None:
    """Show the tensors of a model, or some in depth.

    Each with what it is, its scale, extremes, share of zeros and, at a terminal, its histogram.

    A tensor that is named is shown in depth, with its channels, its place among its like, and what
    the rules say of it; nothing else is judged.

    Exit codes: 0 shown; 2 wrong usage; 3 something could not be read.
    """
    if tree and sort is not None:
        raise UsageError("--tree shows layers in the model's order; leave out --sort.")
    from weightaudit.addressing import find_model
    from weightaudit.cli.outputs import check_outputs, chosen_outputs
    from weightaudit.discover import Target
    from weightaudit.policy import parse_role

    # As for check: numpy's own threads would only get in the workers' way.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    roles = tuple(parse_role(name, "--role") for name in split(role, "--role"))
    choice = Choice(tuple(tensors or ()), roles, split(layer_class, "--layer-class"), weights_only)
    limits = Limits(max_tensors=max_tensors, max_metadata=max_metadata, timeout=timeout)
    outputs = chosen_outputs(formats, output, (ReportFormat.TEXT, ReportFormat.JSON))
    model = find_model(path)
    check_outputs(outputs, [Target(model.path, model.label, explicit=True)])
    from weightaudit.auditor import Means
    from weightaudit.checkpoint import open_checkpoint
    from weightaudit.cli.engines import engine_of
    from weightaudit.cli.progress import ProgressBar

    with (
        ProgressBar(enabled=sys.stderr.isatty() and not no_progress) as bar,
        open_checkpoint(model.path, limits=limits, config=config) as checkpoint,
    ):
        means = Means(progress=bar.update, engine=engine_of(engine))
        chosen = choice.choose(checkpoint)
        if choice.is_in_depth(chosen) and not tree:
            show = _studied(checkpoint, model.label, chosen, means, load(policy, plugin))
        else:
            show = _seen(checkpoint, model.label, chosen, means, outputs, tree=tree, sort=sort)
    present(outputs, show.render, show.show, color=not no_color, verdict=None)
    raise typer.Exit(0 if show.is_whole else 3)


@dataclass(frozen=True, slots=True)
class _Shown:
    """An inspection, and how it is written and printed.

    Attributes:
        is_whole: Whether everything could be read.
        text: Returns it for a pipe.
        json: Returns it as JSON.
        show: Prints it for a person at a terminal.
    """

    is_whole: bool
    text: Callable[[], str]
    json: Callable[[], str]
    show: "Callable[[Console], None]"

    def render(self, output_format: "ReportFormat") -> str:
        return self.json() if output_format == "json" else self.text()


def _seen(
    checkpoint: "Checkpoint",
    label: str,
    chosen: "Sequence[TensorInfo]",
    means: "Means",
    outputs: Sequence[Output],
    *,
    tree: bool,
    sort: Order | None,
) -> _Shown:
    """Look at tensors for a table or a tree; only the table at a terminal has histograms."""
    from weightaudit.inspection.looking import look, with_histogram
    from weightaudit.portrait import Detail
    from weightaudit.render.inspect_json import inspection_json
    from weightaudit.render.inspect_text import table_text, tree_text

    is_table = not tree and Output(ReportFormat.TEXT, None) in outputs and sys.stdout.isatty()
    seen = look(checkpoint, label, chosen, with_histogram if is_table else Detail.FIGURES.statistics, means)
    seen = replace(seen, sights=ordered(seen.sights, sort))

    def show(console: "Console") -> None:
        from weightaudit.render.inspect_table import print_table
        from weightaudit.render.inspect_tree import print_tree

        (print_tree if tree else print_table)(seen, console)

    text = tree_text if tree else table_text
    return _Shown(seen.is_whole, lambda: text(seen), lambda: inspection_json(seen, layers=tree), show)


def _studied(
    checkpoint: "Checkpoint",
    label: str,
    chosen: "Sequence[TensorInfo]",
    means: "Means",
    rules: "tuple[Policy, Registry]",
) -> _Shown:
    """Look at tensors in depth, with the rules in force."""
    from weightaudit.inspection.studying import study
    from weightaudit.registry import configure
    from weightaudit.render.inspect_json import inspection_json
    from weightaudit.render.inspect_study import print_studies, studies_text

    in_force, registry = rules
    seen, studies = study(checkpoint, label, chosen, configure(registry, in_force), means)
    names = {rule.code: rule.name for rule in registry.rules}
    return _Shown(
        seen.is_whole,
        lambda: studies_text(seen, studies, names),
        lambda: inspection_json(seen, studies, names),
        lambda console: print_studies(seen, studies, console, names),
    )
