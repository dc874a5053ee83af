"""`weightaudit baseline`: write down findings that are known, and prune those that are gone."""

# No `from __future__ import annotations` here: Typer reads the annotations when the program starts.

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from weightaudit.cli.options import NoProgress
from weightaudit.cli.selection import Modules, PolicyFile
from weightaudit.errors import UsageError

if TYPE_CHECKING:
    from weightaudit.baseline import Baseline
    from weightaudit.registry import RuleSet
    from weightaudit.report import Report

FILE_NAME = "weightaudit-baseline.json"

Paths = Annotated[
    list[str],
    typer.Argument(metavar="PATH...", help="Models, checkpoint prefixes, directories or quoted globs."),
]
File = Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="The baseline.", show_default=True)]
Margin = Annotated[
    float,
    typer.Option(
        "--margin", metavar="SHARE", help="Share by which a value may become worse.", show_default=True
    ),
]
Beside = Annotated[
    str | None, typer.Option("--reference", metavar="MODEL", help="As of `weightaudit check`.")
]
Configuration = Annotated[
    str | None, typer.Option("--config", metavar="FILE", help="As of `weightaudit check`.")
]

baseline = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help=(
        "Note known findings, so that only new ones fail.\n\n`weightaudit check --baseline "
        f"{FILE_NAME}` goes by such a file."
    ),
)


@baseline.command()
def write(
    paths: Paths,
    *,
    output: File = FILE_NAME,
    margin: Margin = 0.25,
    policy: PolicyFile = None,
    plugin: Modules = None,
    reference: Beside = None,
    config: Configuration = None,
    no_progress: NoProgress = False,
) -> None:
    """Write all findings of some models as known; `weightaudit check --baseline FILE` goes by it.

    Exit codes: 0 written; 2 wrong usage or policy; 3 a model could not be audited whole, and
    nothing was written.
    """
    if not 0 <= margin < float("inf"):
        raise UsageError(f"A margin of {margin} makes no sense; give 0 or a number such as 0.25.")
    from weightaudit.baseline import baseline_of, read_baseline

    file = _file(output)
    before = read_baseline(file).entries if file.exists() else ()
    wishes = _Wishes(policy, plugin, reference, config, no_progress)
    report, rules = _audited(paths, file, wishes)
    made = baseline_of(report, rules, margin=margin, source=output)
    _save(made, file)
    old, new = ({one.fingerprint for one in entries} for entries in (before, made.entries))
    _tell(output, made, f"{len(new - old)} added, {len(old - new)} taken out")


@baseline.command()
def prune(
    paths: Paths,
    *,
    output: File = FILE_NAME,
    policy: PolicyFile = None,
    plugin: Modules = None,
    reference: Beside = None,
    config: Configuration = None,
    no_progress: NoProgress = False,
) -> None:
    """Take out what is gone: findings that these models have no more, and models that are no more.

    Nothing is added. Exit codes: 0 done; 2 wrong usage or policy; 3 a model could not be audited
    whole, and nothing was changed.
    """
    from weightaudit.baseline import pruned, read_baseline

    file = _file(output)
    before = read_baseline(file)
    wishes = _Wishes(policy, plugin, reference, config, no_progress)
    report, rules = _audited(paths, file, wishes)
    made = pruned(before, report, rules)
    _save(made, file)
    _tell(output, made, f"{len(before.entries) - len(made.entries)} taken out")


def _file(output: str) -> Path:
    if output in {"", "-"}:
        raise UsageError("A baseline is a file; name one with --output.")
    return Path(output)


@dataclass(frozen=True, slots=True)
class _Wishes:
    """What the options say of the audit."""

    policy: str | None
    plugin: list[str] | None
    reference: str | None
    config: str | None
    no_progress: bool


def _audited(paths: list[str], file: Path, wishes: _Wishes) -> "tuple[Report, RuleSet]":
    """Audit all models whole, by every rule of the policy."""
    from weightaudit.cli.output import check_output
    from weightaudit.cli.selection import load
    from weightaudit.discover import search

    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    found = search(paths)
    check_output(file, found.targets)
    from weightaudit.auditor import Means, audit_targets, referring
    from weightaudit.cli.cache import store
    from weightaudit.cli.progress import ProgressBar
    from weightaudit.registry import configure

    in_force, registry = load(wishes.policy, wishes.plugin)
    rules = configure(registry, in_force)
    with (
        referring(wishes.reference) as beside,
        ProgressBar(enabled=sys.stderr.isatty() and not wishes.no_progress) as bar,
    ):
        means = Means(progress=bar.update, store=store())
        report = audit_targets(
            found.targets, rules, means, left_out=found.left_out, reference=beside, config=wishes.config
        )
    _require_whole(report)
    return report, rules


def _require_whole(report: "Report") -> None:
    """Raise ReadError unless every model was audited whole: findings that nobody saw are not known."""
    from weightaudit.errors import ReadError

    if not report.models:
        raise ReadError("There is no model to audit, so the baseline was left as it is.")
    broken = next((model for model in report.models if not model.is_complete), None)
    if broken is not None:
        raise ReadError(
            f"{broken.path} could not be audited whole, so the baseline was left as it is; "
            "`weightaudit check` tells why."
        )


def _save(made: "Baseline", file: Path) -> None:
    from weightaudit.baseline import text_of
    from weightaudit.cli.output import write_file

    write_file(file, text_of(made))


def _tell(output: str, made: "Baseline", changes: str) -> None:
    from weightaudit.cli.output import say
    from weightaudit.render.summary import plural
    from weightaudit.rule import Severity

    say(f"{output} lists {plural(len(made.entries), 'finding')}: {changes}.")
    errors = sorted({one.rule for one in made.entries if one.severity is Severity.ERROR})
    if errors:
        say(
            f"errors are among them ({', '.join(errors)}); that they are known makes the models no better: "
            "a model with NaN goes on giving NaN."
        )
