"""The report for a person at a terminal: grouped by model and rule, coloured by severity."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from rich.padding import Padding
from rich.text import Text

from weightaudit.policy import FILE_NAME
from weightaudit.render.escape import MESSAGE_LIMIT, printable
from weightaudit.render.summary import (
    coverage,
    obstacle,
    ordered,
    plural,
    shown,
    shown_of_policy,
    skips,
    verdict,
)
from weightaudit.render.text import rule_text, suppressed_text, tensor_text
from weightaudit.report import ExitCode
from weightaudit.rule import Severity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from weightaudit.report import ModelReport, Report
    from weightaudit.rule import Finding

SEVERITY_STYLE = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}
VERDICT_STYLE = {
    ExitCode.PASSED: "bold green",
    ExitCode.FINDINGS: "bold red",
    ExitCode.USAGE: "bold red",
    ExitCode.INCOMPLETE: "bold magenta",
}


def print_report(
    report: Report,
    console: Console,
    *,
    verbose: bool = False,
    quiet: bool = False,
    suppressed: bool = False,
    names: Mapping[str, str] | None = None,
) -> None:
    """Print a report on a Rich console.

    Names are printed as they are, never as markup; long lines fold at the console's width, and
    colours are the console's to leave out (it honours NO_COLOR).

    Args:
        report: The report.
        console: Where to print; its file is the caller's choice.
        verbose: Add one line of statistics per tensor, and name all that were skipped for the same reason.
        quiet: Leave out everything that does not decide the verdict.
        suppressed: Add the findings that do not count, and why.
        names: Names of the rules by code; without them findings show the code alone.
    """
    for model in report.models:
        findings = shown(report, model, quiet=quiet)
        if not quiet or findings or not model.is_complete:
            _print_model(model, findings, console, verbose=verbose, quiet=quiet, names=names)
            if suppressed:
                _print_suppressed(model, console, names)
            _line(console, Text(), 0)
    _print_policy(report, console, quiet=quiet, names=names)
    if not quiet:
        _print_next_step(report, console, names or {})
    _line(console, Text(verdict(report), VERDICT_STYLE[report.exit_code]), 0)


def _print_model(
    model: ModelReport,
    findings: list[Finding],
    console: Console,
    *,
    verbose: bool,
    quiet: bool,
    names: Mapping[str, str] | None,
) -> None:
    title = Text(printable(model.path), "bold")
    _line(console, title.append(f"  {printable(model.container)}", "not bold dim"), 0)
    _print_findings(findings, console, names)
    # A lost shard would bury what is wrong with the rest under the names of its tensors.
    _print_obstacles(model, console, once=not verbose)
    if quiet:
        return
    for remark in model.notes:
        _line(console, Text(printable(remark, MESSAGE_LIMIT), "dim"), 2)
    if verbose:
        for info in model.tensors:
            _line(console, Text(tensor_text(info, model.stats.get(info.name))), 2)
    if model.failure is None:
        _line(console, Text(coverage(model), "green" if model.is_complete else "magenta"), 2)


def _print_policy(report: Report, console: Console, *, quiet: bool, names: Mapping[str, str] | None) -> None:
    """Print what is wrong with the policy or the baseline, as if it were a model."""
    findings = shown_of_policy(report, quiet=quiet)
    if findings:
        _line(console, Text(printable(report.policy or FILE_NAME), "bold"), 0)
        _print_findings(findings, console, names)
        _line(console, Text(), 0)


def _print_findings(findings: list[Finding], console: Console, names: Mapping[str, str] | None) -> None:
    for (severity, code), group in groupby(findings, key=lambda one: (one.severity, one.code)):
        _print_group(list(group), f"{severity.label} {rule_text(code, names)}", console)


def _print_suppressed(model: ModelReport, console: Console, names: Mapping[str, str] | None) -> None:
    for one in model.suppressed:
        _line(console, Text(suppressed_text(one, names), "dim"), 2)


def _print_group(findings: list[Finding], title: str, console: Console) -> None:
    """Print what one rule found in one model."""
    heading = Text(title, SEVERITY_STYLE[findings[0].severity])
    _line(console, heading.append(f"  {plural(len(findings), 'finding')}", "not bold dim"), 2)
    for finding in findings:
        line = Text() if finding.tensor is None else Text(f"{printable(finding.tensor)}: ", "bold")
        _line(console, line.append(printable(finding.message, MESSAGE_LIMIT), "not bold"), 4)


def _print_obstacles(model: ModelReport, console: Console, *, once: bool) -> None:
    """Print why the model, or some of its tensors, could not be audited."""
    failure = obstacle(model)
    if failure is not None:
        _line(console, Text(f"not audited: {printable(failure, MESSAGE_LIMIT)}", "magenta"), 2)
    for name, reason in skips(model, quiet=once):
        line = Text(f"{printable(name)}: " if name else "", "bold")
        why = f"skipped: {printable(reason, MESSAGE_LIMIT)}"
        _line(console, line.append(why, "not bold magenta"), 2)


def _print_next_step(report: Report, console: Console, names: Mapping[str, str]) -> None:
    """Print the command that explains the worst finding, if its rule is known."""
    worst = next((one.code for one in ordered(report.findings)), "")
    if worst in names:
        _line(console, Text(f"why, and how to mend: weightaudit explain {worst}", "dim"), 0)


def _line(console: Console, text: Text, indent: int) -> None:
    text.overflow = "fold"
    console.print(Padding(text, (0, 0, 0, indent), expand=False) if indent else text)
