"""`weightaudit check`: audit saved models and exit with a code that a CI job can trust."""

# No `from __future__ import annotations` here: Typer reads the annotations when the program starts.

import os
import sys
from enum import StrEnum
from typing import Annotated

import typer

from weightaudit.cli.selection import Modules, PolicyFile, adjusted, load
from weightaudit.errors import UsageError


class FailOn(StrEnum):
    """Choices of ``--fail-on``."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"
    NEVER = "never"


class EngineName(StrEnum):
    """Choices of ``--engine``."""

    NUMPY = "numpy"
    TENSORFLOW = "tensorflow"
    AUTO = "auto"


class Format(StrEnum):
    """Choices of ``--format``."""

    TEXT = "text"
    JSON = "json"


Paths = Annotated[
    list[str],
    typer.Argument(metavar="PATH...", help="Models, checkpoint prefixes, directories or quoted globs."),
]
Select = Annotated[
    list[str] | None,
    typer.Option(
        "--select",
        metavar="CODES",
        help="Judge by these rules only: codes, prefixes or names, separated by commas.",
    ),
]
Ignore = Annotated[
    list[str] | None,
    typer.Option("--ignore", metavar="CODES", help="Leave out these rules, and those the policy ignores."),
]
Level = Annotated[
    FailOn | None,
    typer.Option("--fail-on", help="Findings that fail: this severity or worse.  [default: error]"),
]
Shape = Annotated[Format, typer.Option("--format", help="Format of the report.", show_default=True)]
Output = Annotated[
    str | None, typer.Option("--output", "-o", metavar="FILE", help="Write the report there, not to stdout.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show only what decides the verdict.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show statistics of every tensor.")]
NoColor = Annotated[bool, typer.Option("--no-color", help="Never use colours.")]
NoProgress = Annotated[bool, typer.Option("--no-progress", help="Never show a progress bar.")]
NoCache = Annotated[
    bool, typer.Option("--no-cache", help="Read all weights, whatever earlier checks measured; keep nothing.")
]
EngineOption = Annotated[
    EngineName, typer.Option("--engine", help="Who computes statistics.", show_default=True)
]
ReferenceOption = Annotated[
    str | None,
    typer.Option(
        "--reference",
        metavar="MODEL",
        help="Judge drift against this checkpoint: a path, or a version such as model.keras@3.",
    ),
]
ProfileOption = Annotated[bool, typer.Option("--profile", help="Say on stderr where the time went.")]

ConfigOption = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="The model's configuration, for weights without one: a config.json, or a whole model.",
    ),
]


def check(
    paths: Paths,
    *,
    policy: PolicyFile = None,
    select: Select = None,
    ignore: Ignore = None,
    plugin: Modules = None,
    reference: ReferenceOption = None,
    config: ConfigOption = None,
    fail_on: Level = None,
    output_format: Shape = Format.TEXT,
    output: Output = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    no_color: NoColor = False,
    no_progress: NoProgress = False,
    no_cache: NoCache = False,
    engine: EngineOption = EngineName.NUMPY,
    profile: ProfileOption = False,
) -> None:
    """Audit saved models: read every tensor once and judge it.

    The report goes to stdout, everything else to stderr. Exit codes: 0 every tensor was audited
    and nothing fails; 1 findings that fail; 2 wrong usage or policy; 3 not everything could be
    audited.
    """
    if quiet and verbose:
        raise UsageError("--quiet and --verbose contradict each other.")
    if reference == "":
        raise UsageError("--reference is empty; name a model, or leave it out.")
    from weightaudit.discover import search

    # Workers measure side by side, each with one thread; numpy starts further ones to multiply matrices
    # as soon as it is imported, which costs 50 ms of processor time.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    found = search(paths)
    from weightaudit.auditor import Means, audit_targets, referring
    from weightaudit.cli.cache import store
    from weightaudit.cli.output import check_output, destination, write_stderr
    from weightaudit.cli.presentation import Presentation, present
    from weightaudit.cli.progress import ProgressBar
    from weightaudit.engine.choice import Engine, sees_gpu
    from weightaudit.profiling import Profile, table, timed
    from weightaudit.registry import configure

    in_force, registry = load(policy, plugin)
    chosen = adjusted(in_force, registry, select=select, ignore=ignore, fail_on=fail_on)
    rule_set = configure(registry, chosen)
    file = destination(output)
    if file is not None:
        check_output(file, found.targets)
    costs = Profile() if profile else None
    with (
        referring(reference) as beside,
        ProgressBar(enabled=sys.stderr.isatty() and not no_progress) as bar,
    ):
        means = Means(
            progress=bar.update,
            store=None if no_cache else store(),
            engine=Engine(engine.value, has_gpu=sees_gpu(os.environ)),
            profile=costs,
        )
        report = audit_targets(
            found.targets,
            rule_set if costs is None else timed(rule_set, costs),
            means,
            fail_on=chosen.fail_on,
            verbose=verbose,
            left_out=found.left_out,
            reference=beside,
            config=config,
        )
    names = {rule.code: rule.name for rule in registry.rules}
    present(report, names, Presentation(output_format is Format.JSON, file, quiet, verbose, not no_color))
    if costs is not None:
        audited = sum(model.coverage.nbytes for model in report.models)
        write_stderr("\n".join([*table(costs, audited), ""]))
    raise typer.Exit(report.exit_code)
