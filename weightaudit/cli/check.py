"""`weightaudit check`: audit saved models and exit with a code that a CI job can trust."""

# No `from __future__ import annotations` here: Typer reads the annotations when the program starts.

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from weightaudit.cli.options import (
    MAX_METADATA,
    MAX_TENSORS,
    TIMEOUT,
    ConfigOption,
    EngineName,
    EngineOption,
    FailOn,
    Ignore,
    MaxMetadata,
    MaxTensors,
    NoColor,
    NoProgress,
    OutputFile,
    Select,
    Timeout,
)
from weightaudit.cli.outputs import Formats
from weightaudit.cli.selection import Modules, PolicyFile, adjusted, load
from weightaudit.errors import UsageError
from weightaudit.limits import Limits

if TYPE_CHECKING:
    from weightaudit.policy import Policy
    from weightaudit.profiling import Profile
    from weightaudit.report import Report

Paths = Annotated[
    list[str],
    typer.Argument(
        metavar="PATH...",
        help="Models, checkpoint prefixes, versions, directories or quoted globs; - for standard input.",
    ),
]
Level = Annotated[
    FailOn | None,
    typer.Option("--fail-on", help="Findings that fail: this severity or worse.  [default: error]"),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show only what decides the verdict.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show statistics of every tensor.")]
NoCache = Annotated[
    bool, typer.Option("--no-cache", help="Read all weights, whatever earlier checks measured; keep nothing.")
]
ReferenceOption = Annotated[
    str | None,
    typer.Option(
        "--reference",
        metavar="MODEL",
        help="Judge drift against this checkpoint: a path, or a version such as model.keras@3.",
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        "-j",
        min=1,
        metavar="N",
        help="Threads that read and measure.  [default: one per CPU, up to 8]",
    ),
]
ProfileOption = Annotated[bool, typer.Option("--profile", help="Say on stderr where the time went.")]

BaselineOption = Annotated[
    str | None,
    typer.Option(
        "--baseline", metavar="FILE", help="Findings that are known, which only count if they became worse."
    ),
]
ShowSuppressed = Annotated[
    bool, typer.Option("--show-suppressed", help="Show what the policy or the baseline suppresses, too.")
]
Category = Annotated[
    str,
    typer.Option(
        "--sarif-category",
        metavar="NAME",
        help="First part of the categories in SARIF, to tell apart audits under one policy.",
        show_default=True,
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
    baseline: BaselineOption = None,
    fail_on: Level = None,
    formats: Formats = None,
    output: OutputFile = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    show_suppressed: ShowSuppressed = False,
    category: Category = "weightaudit",
    no_color: NoColor = False,
    no_progress: NoProgress = False,
    no_cache: NoCache = False,
    engine: EngineOption = EngineName.NUMPY,
    jobs: Jobs = None,
    profile: ProfileOption = False,
    max_tensors: MaxTensors = MAX_TENSORS,
    max_metadata: MaxMetadata = MAX_METADATA,
    timeout: Timeout = TIMEOUT,
) -> None:
    """Audit saved models: read every tensor once and judge it.

    The report goes to stdout or to files, everything else to stderr. Exit codes: 0 every tensor
    was audited and nothing fails; 1 findings that fail; 2 wrong usage or policy; 3 not everything
    could be audited.
    """
    _refuse(quiet=quiet, verbose=verbose, reference=reference, category=category)
    from weightaudit.cli.outputs import check_outputs, chosen_outputs
    from weightaudit.cli.standard_input import searched

    # Workers measure side by side, each with one thread; numpy starts further ones to multiply matrices
    # as soon as it is imported, which costs 50 ms of processor time.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    outputs = chosen_outputs(formats, output)
    limits = Limits(max_tensors=max_tensors, max_metadata=max_metadata, timeout=timeout)
    from weightaudit.auditor import Means, audit_targets, referring
    from weightaudit.cli.cache import store
    from weightaudit.cli.engines import engine_of
    from weightaudit.cli.presentation import present_report
    from weightaudit.cli.progress import ProgressBar
    from weightaudit.cli.selection import known_findings
    from weightaudit.portrait import Detail
    from weightaudit.profiling import Profile, clocked, entered, timed
    from weightaudit.registry import configure
    from weightaudit.render.view import view_of

    in_force, registry = load(policy, plugin)
    chosen = adjusted(in_force, registry, select=select, ignore=ignore, fail_on=fail_on)
    rule_set = configure(registry, chosen)
    known = known_findings(baseline)
    costs = Profile() if profile else None
    wanted = Detail.FIGURES if verbose else Detail.VERDICT
    with (
        entered(costs, "find the models", searched(paths)) as found,
        entered(costs if reference else None, "open the reference", referring(reference, limits)) as beside,
        ProgressBar(enabled=sys.stderr.isatty() and not no_progress) as bar,
    ):
        check_outputs(outputs, found.targets, _read_beside(in_force, reference, config, baseline))
        means = Means(
            jobs,
            progress=bar.update,
            store=None if no_cache else store(),
            engine=engine_of(engine),
            profile=costs,
        )
        report = audit_targets(
            found.targets,
            rule_set if costs is None else timed(rule_set, costs),
            means,
            fail_on=chosen.fail_on,
            limits=limits,
            detail=max(wanted, *(one.format.detail for one in outputs)),
            left_out=found.left_out,
            reference=beside,
            config=config,
            baseline=known,
        )
    view = view_of(
        registry, rule_set, verbose=verbose, quiet=quiet, suppressed=show_suppressed, category=category
    )
    with clocked(costs, "write the report"):
        present_report(report, outputs, view, color=not no_color)
    if costs is not None:
        _tell(costs, report)
    raise typer.Exit(report.exit_code)


def _refuse(*, quiet: bool, verbose: bool, reference: str | None, category: str) -> None:
    """Raise UsageError for options that make no sense together, or at all."""
    if quiet and verbose:
        raise UsageError("--quiet and --verbose contradict each other.")
    if reference == "":
        raise UsageError("--reference is empty; name a model, or leave it out.")
    if not category:
        raise UsageError("--sarif-category is empty; name a category, or leave it out.")


def _tell(costs: "Profile", report: "Report") -> None:
    """Say on stderr where the time went."""
    from weightaudit.cli.output import write_stderr
    from weightaudit.profiling import table

    audited = sum(model.coverage.nbytes for model in report.models)
    write_stderr("\n".join([*table(costs, audited), ""]))


def _read_beside(
    policy: "Policy", reference: str | None, config: str | None, baseline: str | None
) -> list[str | os.PathLike[str]]:
    """Return the files that an audit reads beside its models."""
    from weightaudit.addressing import find_model

    policies = [one.source for one in (*policy.inherited, policy)]
    model = [] if reference is None else [find_model(reference).path]
    return [*model, *(place for place in (config, baseline, *policies) if place)]
