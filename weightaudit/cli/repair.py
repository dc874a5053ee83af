"""`weightaudit repair`: mend a model by projection, and write it so that nothing is ever lost."""

# No `from __future__ import annotations` here: Typer reads the annotations when the program starts.

import sys
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from weightaudit.cli.options import FailOn, Ignore, LayerClasses, NoProgress, Roles, Select
from weightaudit.cli.outputs import Formats
from weightaudit.cli.selection import Modules, PolicyFile, adjusted, load, split
from weightaudit.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from weightaudit.cli.outputs import Output
    from weightaudit.render.formats import ReportFormat
    from weightaudit.repair.run import Repaired


class EngineName(StrEnum):
    """Choices of ``--engine``."""

    NUMPY = "numpy"
    TENSORFLOW = "tensorflow"


Model = Annotated[
    str, typer.Argument(metavar="PATH", help="The model to repair, or a version such as model.keras@3.")
]
Project = Annotated[
    list[str] | None,
    typer.Option(
        "--project",
        metavar="PROJECTION",
        help="Projection such as 'max_norm(2, axis=0)', instead of those that rules propose; "
        "may be given again.",
    ),
]
On = Annotated[
    list[str] | None,
    typer.Option(
        "--on",
        metavar="GLOBS",
        help="Tensors for the --project at the same place, separated by commas; one --on is for all.  "
        "[default: kernels, embeddings]",
    ),
]
First = Annotated[bool, typer.Option("--first", help="Only the first layer that has such tensors.")]
Donor = Annotated[
    str | None,
    typer.Option(
        "--donor", metavar="PATH", help="Model or version to take tensors from that no projection mends."
    ),
]
Level = Annotated[
    FailOn | None,
    typer.Option("--fail-on", help="Mend findings of this severity or worse.  [default: error]"),
]
MaxChange = Annotated[
    float | None,
    typer.Option(
        "--max-change",
        metavar="SHARE",
        help="Refuse to change a tensor by more than this share of its norm.  [default: 0.5]",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would change, and write nothing.")]
InPlace = Annotated[
    bool, typer.Option("--in-place", help="Replace the model, after it became a version in the store.")
]
Copy = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="PATH",
        help="Write a mended copy there, also if nothing changes, and no version.",
    ),
]
StoreDirectory = Annotated[
    str | None,
    typer.Option("--store", metavar="DIR", help="Version store.  [default: .weightaudit beside the model]"),
]
Message = Annotated[
    str, typer.Option("--message", "-m", metavar="TEXT", help="Why, for the version's record.")
]
Author = Annotated[
    str | None, typer.Option("--author", metavar="NAME", help="Who, for the version's record.")
]
EngineOption = Annotated[EngineName, typer.Option("--engine", help="Who computes projections.")]


def repair(
    path: Model,
    *,
    project: Project = None,
    on: On = None,
    role: Roles = None,
    layer_class: LayerClasses = None,
    first: First = False,
    donor: Donor = None,
    policy: PolicyFile = None,
    select: Select = None,
    ignore: Ignore = None,
    plugin: Modules = None,
    fail_on: Level = None,
    max_change: MaxChange = None,
    engine: EngineOption = EngineName.NUMPY,
    dry_run: DryRun = False,
    in_place: InPlace = False,
    output: Copy = None,
    store: StoreDirectory = None,
    message: Message = "",
    author: Author = None,
    formats: Formats = None,
    no_progress: NoProgress = False,
) -> None:
    """Mend a model by projection.

    Without --project, what the audit found is mended by the projections that rules propose, and
    by those under [[repair]] in the policy. Without --in-place and --output, the mended model
    becomes a new version in the store, with its original as parent. `weightaudit explain` tells
    about rules and projections, such as max_norm.

    Exit codes: 0 done, and nothing fails any more; 1 done, and findings remain; 2 wrong usage or
    policy; 3 not done: refused, unreadable, or not what was planned.
    """
    _check(in_place=in_place, output=output, store=store, donor=donor, max_change=max_change)
    from weightaudit.addressing import find_model
    from weightaudit.cli.diff import KNOWN
    from weightaudit.cli.outputs import check_outputs, chosen_outputs
    from weightaudit.cli.progress import ProgressBar
    from weightaudit.discover import Target
    from weightaudit.projections import load_projections
    from weightaudit.repair.library import repair_model
    from weightaudit.repair.planning import MAX_CHANGE
    from weightaudit.repair.requests import requests_of_options
    from weightaudit.storage.termination import terminable

    outputs = chosen_outputs(formats, None, KNOWN)
    model = find_model(path)
    read = [] if donor is None else [find_model(donor).path]
    check_outputs(outputs, [Target(model.path, model.label, explicit=True)], read)
    in_force, registry = load(policy, plugin)
    plugins = (*in_force.plugins, *split(plugin, "--plugin"))
    chosen = adjusted(in_force, registry, select=select, ignore=ignore, fail_on=fail_on)
    requests = requests_of_options(
        project or (),
        on or (),
        load_projections(plugins),
        roles=split(role, "--role"),
        layer_classes=split(layer_class, "--layer-class"),
        first=first,
    )
    with ProgressBar(enabled=sys.stderr.isatty() and not no_progress) as bar, terminable():
        done = repair_model(
            model.path,
            requests=requests,
            policy=replace(chosen, plugins=plugins),
            donor=None if donor is None else find_model(donor).path,
            max_change=MAX_CHANGE if max_change is None else max_change,
            output=output,
            in_place=in_place,
            store=store,
            message=message,
            author=author,
            dry_run=dry_run,
            engine=engine.value,
            progress=bar.update,
            detail=max(one.format.detail for one in outputs),
        )
    _present(done, {rule.code: rule.name for rule in registry.rules}, outputs)
    raise typer.Exit(done.exit_code)


def _present(done: "Repaired", names: dict[str, str], outputs: Sequence["Output"]) -> None:
    from weightaudit.cli.outputs import present
    from weightaudit.render.repair import conclusion, render_repair_text

    def shown(console: "Console") -> None:
        # As it is: a console would wrap lines that are to be grepped, and colour numbers.
        console.out(render_repair_text(done, names), end="", highlight=False)

    present(
        outputs,
        lambda output_format: _render(done, names, output_format),
        shown,
        color=False,
        verdict=conclusion(done),
    )


def _render(done: "Repaired", names: dict[str, str], output_format: "ReportFormat") -> str:
    from weightaudit.render.formats import ReportFormat
    from weightaudit.render.repair import render_repair_json, render_repair_text

    if output_format is ReportFormat.HTML:
        from weightaudit.cli.output import say
        from weightaudit.html.mending import repair_page

        return repair_page(done, names, lambda what: say(f"html: {what}."))
    write = render_repair_json if output_format is ReportFormat.JSON else render_repair_text
    return write(done, names)


def _check(
    *, in_place: bool, output: str | None, store: str | None, donor: str | None, max_change: float | None
) -> None:
    """Raise UsageError for options that make no sense together, or at all."""
    if in_place and output is not None:
        raise UsageError("--in-place and --output contradict each other.")
    if output is not None and store is not None:
        raise UsageError("--output makes no version, so --store says nothing; leave one of them out.")
    for name, value in (("--output", output), ("--store", store), ("--donor", donor)):
        if value == "":
            raise UsageError(f"{name} is empty; leave it out, or name a path.")
    if output == "-":
        raise UsageError("--output is -, but a model is not written to standard output; name a path.")
    if max_change is not None and not max_change >= 0:
        raise UsageError("--max-change must be 0 or more; 0.5 allows half of a tensor's norm.")
