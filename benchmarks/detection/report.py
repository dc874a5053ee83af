"""The whole report of a run, as it stands in the documentation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.detection.goals import goal_table
from benchmarks.detection.table import (
    accusations,
    class_table,
    clean_table,
    cost,
    failures,
    recall_table,
    rows,
)

if TYPE_CHECKING:
    from benchmarks.detection.judge import Outcome
    from benchmarks.results import Setting


def report(outcome: Outcome, setting: Setting, seed: int, seconds: float) -> str:
    """Return the tables of a run, each under its title."""
    versions = ", ".join(f"{name} {number}" for name, number in setting.versions.items())
    intro = (
        f"{setting.date}; {setting.machine}; {versions}; seed {seed}; {len(outcome.cases)} faults in "
        f"{seconds:.0f} s, the training of the models included if they were not there yet."
    )
    sections = {"Goals": goal_table(outcome.cases, outcome.clean)}
    if grades := rows(outcome.cases):
        sections["Recall by class"] = class_table(grades)
        sections["Recall by grade"] = recall_table(grades)
    sections["Healthy models"] = clean_table(outcome.clean)
    sections["What was said of healthy models"] = accusations(outcome.clean)
    if incomplete := failures(outcome.clean):
        sections["Not audited whole"] = "\n".join(incomplete)
    sections["Cost"] = cost(outcome.clean)
    return "\n\n".join([intro, *(f"### {title}\n\n{text}" for title, text in sections.items())])
