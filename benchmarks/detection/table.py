"""Recall, false positives and cost, as figures and as Markdown tables."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING

from benchmarks.detection.models import ORIGINS
from benchmarks.detection.peers import PEERS
from benchmarks.table import markdown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from benchmarks.detection.judge import Case, Clean

LOUD = frozenset({"error", "warning"})
"""Severities that make a fault count as found."""

LARGE = 10_000_000
"""From how many bytes on the cost of a model is that of its weights, not of its layers and of starting."""


@dataclass(frozen=True, slots=True)
class Row:
    """Recall of one grade, of one class, or of all.

    Attributes:
        kind: Class of the fault.
        grade: Its grade; empty for a whole class.
        cases: How many there were.
        error: Share in which an error is about what was hurt.
        warning: Share in which an error or a warning is.
        note: Share in which anything is.
        referred: As `warning`, with a reference; None if that was not tried.
        peers: Share that each of the other tools flags.
    """

    kind: str
    grade: str
    cases: int
    error: float
    warning: float
    note: float
    referred: float | None
    peers: dict[str, float]


def rows(cases: Sequence[Case]) -> list[Row]:
    """Return one row per class and grade, in the order of the cases."""
    groups: dict[tuple[str, str], list[Case]] = {}
    for case in cases:
        groups.setdefault((case.kind, case.grade), []).append(case)
    return [_row(kind, grade, group) for (kind, grade), group in groups.items()]


def _row(kind: str, grade: str, cases: Sequence[Case]) -> Row:
    def share(holds: Callable[[Case], bool]) -> float:
        return fmean(holds(case) for case in cases)

    compared = [case for case in cases if case.referred is not None]
    return Row(
        kind,
        grade,
        len(cases),
        share(lambda case: case.severity == "error"),
        share(lambda case: case.severity in LOUD),
        share(lambda case: case.severity != ""),
        fmean(case.referred in LOUD for case in compared) if compared else None,
        {name: fmean(name in case.peers for case in cases) for name in PEERS},
    )


def by_class(grades: Sequence[Row]) -> list[Row]:
    """Return one row per class: the mean over its grades, each of which counts the same."""
    groups: dict[str, list[Row]] = {}
    for row in grades:
        groups.setdefault(row.kind, []).append(row)
    return [mean(group, kind) for kind, group in groups.items()]


def mean(group: Sequence[Row], kind: str) -> Row:
    """Return the mean of some rows, each of which counts the same: macro recall, if they are classes."""
    referred = [row.referred for row in group if row.referred is not None]
    return Row(
        kind,
        "",
        sum(row.cases for row in group),
        fmean(row.error for row in group),
        fmean(row.warning for row in group),
        fmean(row.note for row in group),
        fmean(referred) if referred else None,
        {name: fmean(row.peers[name] for row in group) for name in PEERS},
    )


def recall_table(grades: Sequence[Row]) -> str:
    """Return the table of all grades, which ends with the macro recall over classes."""
    header = ("fault", "cases", "error", "warning or worse", "anything", "with a reference", *PEERS)
    total = mean(by_class(grades), "mean over classes")
    return markdown(header, [_cells(row) for row in (*grades, total)])


def class_table(grades: Sequence[Row]) -> str:
    """Return the table of classes, which ends with their mean."""
    header = ("class", "cases", "error", "warning or worse", "anything", "with a reference", *PEERS)
    classes = by_class(grades)
    return markdown(header, [_cells(row) for row in (*classes, mean(classes, "mean over classes"))])


def _cells(row: Row) -> tuple[str, ...]:
    label = f"{row.kind}: {row.grade}" if row.grade else row.kind
    referred = "" if row.referred is None else f"{row.referred:.2f}"
    shares = (f"{row.error:.2f}", f"{row.warning:.2f}", f"{row.note:.2f}", referred)
    return (label, str(row.cases), *shares, *(f"{row.peers[name]:.2f}" for name in PEERS))


def clean_table(clean: Sequence[Clean]) -> str:
    """Return how many healthy models are accused, by where they are from; last, by the other tools."""
    header = ("healthy models", "number", "with errors", "with warnings", "with notes", *PEERS)
    groups = [(origin, [one for one in clean if one.origin == origin]) for origin in ORIGINS]
    return markdown(header, [_clean_row(name, group) for name, group in groups if group])


def _clean_row(name: str, group: Sequence[Clean]) -> tuple[str, ...]:
    def number(severity: str) -> str:
        return str(sum(any(found[0] == severity for found in one.findings) for one in group))

    flagged = (str(sum(one.peers[peer] > 0 for one in group)) for peer in PEERS)
    return (name, str(len(group)), number("error"), number("warning"), number("note"), *flagged)


def accusations(clean: Sequence[Clean]) -> str:
    """Return the list of what was found in healthy models, but for notes."""
    lines = [
        f"- {one.model}: {tensor}: {severity} {code}: {message}"
        for one in clean
        for severity, code, tensor, message in one.findings
        if severity in LOUD
    ]
    return "\n".join(lines) or "None."


def failures(clean: Sequence[Clean]) -> list[str]:
    """Return one line for each model that could not be audited whole."""
    return [f"- {one.model}: {one.failure}" for one in clean if one.failure]


def cost(clean: Sequence[Clean]) -> str:
    """Return what the audits took beside reading the same files, of small and of large models."""
    small = [one for one in clean if one.nbytes < LARGE]
    large = [one for one in clean if one.nbytes >= LARGE]
    parts = [_cost(name, group) for name, group in (("below", small), ("from", large)) if group]
    return (
        f"{' '.join(parts)} Each figure is the best of three, of processor time, with the files in the page "
        "cache, and rules are loaded anew for every audit."
    )


def _cost(name: str, group: Sequence[Clean]) -> str:
    audit, reading = sum(one.audit for one in group), sum(one.reading for one in group)
    return (
        f"Audits of the {len(group)} healthy models {name} {LARGE / 1e6:.0f} MB ("
        f"{sum(one.nbytes for one in group) / 1e6:.0f} MB in all) took {1000 * audit:.0f} ms, "
        f"{1000 * audit / len(group):.1f} ms each; reading their files, {1000 * reading:.1f} ms."
    )


def missed(cases: Iterable[Case]) -> str:
    """Return the list of the faults that neither an error nor a warning is about."""
    lines = [
        f"- {case.kind}: {case.grade}: {case.model}: {', '.join(case.hurt)}"
        + f" ({case.detail})" * bool(case.detail)
        for case in cases
        if case.severity not in LOUD
    ]
    return "\n".join(lines) or "None."
