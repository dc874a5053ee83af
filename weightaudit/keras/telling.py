"""What the callback says, to people and in the records of versions."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING, Any

from weightaudit.render.escape import printable
from weightaudit.render.summary import obstacle, ordered, skips, verdict
from weightaudit.render.text import finding_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from weightaudit.report import Report

_MOST = 5
"""Findings that are told; the report has all of them."""

_SUFFIX = re.compile(r"(\.weights\.h5|\.h5|\.keras)$")


def summary(report: Report, names: Mapping[str, str]) -> str:
    """Return the verdict, and below it the worst of what led to it, a line each.

    Args:
        report: The audit of one model.
        names: Names of the rules by code.
    """
    lines = list(_lines(report, names))
    more = [f"and {len(lines) - _MOST} more"] if len(lines) > _MOST else []
    return "\n  ".join([f"{verdict(report)}.", *lines[:_MOST], *more])


def _lines(report: Report, names: Mapping[str, str]) -> Iterator[str]:
    for model in report.models:
        failure = obstacle(model)
        if failure is not None:
            yield printable(failure)
        for tensor, reason in skips(model, quiet=False):
            yield f"{printable(tensor)}: skipped: {printable(reason)}"
        yield from (finding_text(finding, names) for finding in ordered(model.findings))


def message(epoch: int, logs: Mapping[str, Any]) -> str:
    """Return what says in the record of a version when it was saved.

    Args:
        epoch: Index of the epoch, from 0 on.
        logs: What Keras measured.
    """
    return ", ".join([f"epoch {epoch + 1}", *(f"{name} {_short(value)}" for name, value in logs.items())])


def _short(value: Any) -> str:
    try:
        return f"{float(value):.6g}"
    except (TypeError, ValueError):
        return str(value)


def name_of(template: str) -> str:
    """Return the name that a file has without placeholders: ``m.keras`` for ``runs/m-{epoch:02d}.keras``."""
    literal = "".join(text for text, *_ in Formatter().parse(Path(template).name))
    stem, suffix, _ = _SUFFIX.split(literal)
    return (stem.strip("-_. ") or "model") + suffix
