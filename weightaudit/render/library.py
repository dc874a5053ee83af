"""Writing the report of an audit from Python, as the command line does."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from weightaudit.errors import UsageError
from weightaudit.policy import Policy, did_you_mean
from weightaudit.registry import configure, load_registry
from weightaudit.render.formats import ReportFormat, render
from weightaudit.render.view import view_of
from weightaudit.storage.publishing import save_bytes

if TYPE_CHECKING:
    from weightaudit.report import Report

_SUFFIXES = {
    ".txt": ReportFormat.TEXT,
    ".xml": ReportFormat.JUNIT,
    ".md": ReportFormat.MARKDOWN,
    **{f".{one}": one for one in ReportFormat},
}
"""Formats by the suffix of a file."""


def write_report(
    report: Report,
    path: str | os.PathLike[str],
    output_format: str | None = None,
    *,
    policy: Policy | None = None,
    verbose: bool = False,
    quiet: bool = False,
) -> None:
    """Write the report of an audit into a file, which appears whole or not at all.

    Formats show of every tensor what was measured of it: give `audit` the detail ``Detail.PICTURES`` for
    ``html``, and ``Detail.FIGURES`` for ``csv``.

    Args:
        report: What `audit` returned.
        path: The file; one that is there is replaced.
        output_format: Name of a format, as for ``--format``; by default the one that the suffix tells,
            such as ``.html``, ``.sarif``, ``.md``, or ``.xml`` for JUnit.
        policy: The policy of the audit, for formats that list the rules in force; by default the rules
            as they come.
        verbose: Add the statistics of every tensor, where the format leaves that open.
        quiet: Leave out what does not decide the verdict, where the format leaves that open.

    Raises:
        UsageError: There is no such format, or the suffix tells none.
        WeightauditError: The file cannot be written; an old one is untouched.
    """
    file = Path(path)
    chosen = _by_suffix(file) if output_format is None else _by_name(output_format)
    policy = policy or Policy()
    registry = load_registry(policy.plugins)
    view = view_of(registry, configure(registry, policy), verbose=verbose, quiet=quiet)
    save_bytes(render(report, chosen, view).encode("utf-8", "backslashreplace"), file)


def _by_suffix(file: Path) -> ReportFormat:
    found = _SUFFIXES.get(file.suffix.lower())
    if found is None:
        raise UsageError(f"The suffix of {file} tells no format; name one of {_names()}.")
    return found


def _by_name(name: str) -> ReportFormat:
    if name not in tuple(ReportFormat):
        hint = did_you_mean(name, map(str, ReportFormat)) or f"; there are {_names()}"
        raise UsageError(f"There is no format {name!r}{hint}.")
    return ReportFormat(name)


def _names() -> str:
    return ", ".join(ReportFormat)
