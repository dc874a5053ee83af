"""Results as Markdown tables, and their place in a document."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import TYPE_CHECKING

from benchmarks.results import processor

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.measure import Goal, Usual
    from benchmarks.others import Other
    from benchmarks.results import Peak, Results, Setting

RESULTS = ("<!-- results: begin -->", "<!-- results: end -->")
STATISTICS = ("<!-- statistics: begin -->", "<!-- statistics: end -->")
PROJECTIONS = ("<!-- projections: begin -->", "<!-- projections: end -->")


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table: the first column to the left, the others to the right."""
    widths = [max(2, *(len(row[column]) for row in (header, *rows))) for column in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * width if column == 0 else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    return "\n".join([line(header), line(rule), *(line(row) for row in rows)])


def report(results: Results) -> str:
    """Return the tables of everything that was measured, each under its title."""
    sections = {
        "Goals": goal_table(results.goals) if results.goals else "",
        "The usual ways": usual_table(results.usual) if results.usual else "",
        "Peak memory": memory_table(results.peaks) if results.peaks else "",
        "Other tools": others_table(results.others) if results.others else "",
    }
    tables = [f"### {title}\n\n{table}" for title, table in sections.items() if table]
    return "\n\n".join([_sentence(results.setting), *tables])


def goal_table(goals: Sequence[Goal]) -> str:
    """Return the table of goals, each beside what was measured."""
    header = ("what", "goal", "measured", "by CPU time", "met", "figures")
    return markdown(header, [_goal_row(goal) for goal in goals])


def _goal_row(goal: Goal) -> tuple[str, ...]:
    def number(value: float) -> str:
        return f"{value:.2f}" if value < 10 else f"{value:.0f}"

    unit = f" {goal.unit}" if goal.unit else ""
    return (
        goal.what,
        f"{goal.limit:g}{unit}",
        f"{number(goal.measured)}{unit}",
        "" if goal.cpu is None else f"{number(goal.cpu)}{unit}",
        "yes" if goal.is_met else "no",
        goal.detail,
    )


def usual_table(results: Sequence[Usual]) -> str:
    """Return the table of models that were looked at the usual way, beside their audits."""
    header = (
        "format",
        "MB",
        "audit, s",
        "usual way, s",
        "process: check, s",
        "usual way, s",
        "usual / check",
        "peak: check",
        "usual way",
    )
    rows = [
        (
            one.label,
            f"{one.megabytes:.0f}",
            f"{one.audit:.3f}",
            f"{one.seconds:.2f}",
            f"{one.check:.2f}",
            f"{one.wall:.2f}",
            f"{one.ratio:.1f}",
            f"{one.check_peak / 1e6:.0f} MB",
            f"{one.peak / 1e6:.0f} MB",
        )
        for one in results
    ]
    return markdown(header, rows)


def memory_table(peaks: Sequence[Peak]) -> str:
    """Return the table of peak memory: formats by sizes."""
    sizes = sorted({round(one.megabytes) for one in peaks})
    known = {(one.label, round(one.megabytes)): f"{one.peak / 1e6:.0f} MB" for one in peaks}
    rows = [
        (label, *(known.get((label, size), "") for size in sizes))
        for label in dict.fromkeys(one.label for one in peaks)
    ]
    return markdown(("format", *(f"{size} MB model" for size in sizes)), rows)


def others_table(others: Sequence[Other]) -> str:
    """Return the table of other tools."""
    header = ("tool", "given", "looks at", "process, s", "peak", "check, s", "tool / check")
    return markdown(header, [_other_row(one) for one in others])


def _other_row(one: Other) -> tuple[str, ...]:
    if one.failure:
        return one.tool, one.model, f"failed here: {one.failure}", "", "", "", ""
    times = (f"{one.wall:.2f}", f"{one.peak / 1e6:.0f} MB", f"{one.check:.2f}", f"{one.wall / one.check:.0f}")
    return one.tool, one.model, one.looks_at, *times


def machine() -> str:
    """Return one sentence on what the figures were measured with."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "h5py", "tensorflow", "keras"))
    return f"{processor()}; Python {platform.python_version()}, {packages}."


def _sentence(setting: Setting) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in setting.versions.items())
    return f"{setting.date}; {setting.machine}; {versions}; load average {setting.load} when it began."


def write_results(document: Path, results: str, marks: tuple[str, str] = RESULTS) -> None:
    """Put the results between the two marker comments of a document.

    Raises:
        ValueError: The document lacks a marker.
    """
    text = document.read_text(encoding="utf-8")
    before, begin, rest = text.partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not begin or not end:
        raise ValueError(f"{document} lacks the comments {marks[0]} and {marks[1]}.")
    document.write_text(f"{before}{begin}\n\n{results}\n\n{end}{after}", encoding="utf-8")
