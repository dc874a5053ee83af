"""The default policy on real models: an error for each that is broken, and for no other."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import weightaudit
from weightaudit.policy import Policy
from weightaudit.rule import Severity

if TYPE_CHECKING:
    from weightaudit.report import ModelReport

BROKEN = {"nightpy-nan": "WA101", "t5-bf16-missing-shard": "WA111"}

ANOMALOUS = {
    "fer-emotion": {"WA402", "WA403"},
    "musicnn-msd": {"WA402", "WA403"},
    "mlperf-vww-h5": {"WA402", "WA403"},
    "oarriaga-gender": {"WA402", "WA403"},
    "mesoinception-df": {"WA403"},
    "mlperf-ad01-h5": {"WA210"},
    "fink-cats-k2": {"WA210"},
    "fink-cats-k3-tfsm": {"WA115", "WA210"},
    "genomic-gaps-cae": {"WA120", "WA210"},
    "autotag-compact": {"WA502"},
    "dl4j-12net": {"WA501"},
    "megnet-eform": {"WA501"},
    "megnet-qm9-mu": {"WA501"},
}
"""Lesser anomalies that the collection's manifest names, and the rules that tell of them."""

NOT_HEALTHY = {*BROKEN, *ANOMALOUS, "keras-nested-container"}
"""The last is a test file of Keras whose kernels are filled with constants."""


@pytest.fixture(scope="module")
def reports(corpus: Path) -> dict[str, list[ModelReport]]:
    """Audit every model of the collection once, by the name of its folder."""
    found: dict[str, list[ModelReport]] = {}
    for report in weightaudit.audit(corpus, policy=Policy(plugins=("weightaudit_rules",))).models:
        parts = Path(report.path).parts
        found.setdefault(parts[parts.index(corpus.name) + 1], []).append(report)
    return found


def codes(reports: list[ModelReport], least: Severity = Severity.NOTE) -> set[str]:
    """Return the codes of the findings that are at least so bad."""
    return {finding.code for report in reports for finding in report.findings if finding.severity >= least}


def test_exactly_the_broken_models_have_errors(reports: dict[str, list[ModelReport]]) -> None:
    """The gate closes for each broken model of the collection, and stays open for all others."""
    errors = {name: codes(found, Severity.ERROR) for name, found in reports.items()}
    expected = {name: {code} for name, code in BROKEN.items() if name in reports}
    assert {name: found for name, found in errors.items() if found} == expected


def test_lesser_anomalies_are_told(reports: dict[str, list[ModelReport]]) -> None:
    """Dead channels, variances beyond float16 and statistics that were never updated are told."""
    for name, expected in ANOMALOUS.items():
        if name in reports:
            assert codes(reports[name]) == expected, name


def test_healthy_models_are_left_in_peace(reports: dict[str, list[ModelReport]]) -> None:
    """No healthy model has more than two findings, and nine in ten have none."""
    healthy = [found for name, found in reports.items() if name not in NOT_HEALTHY]
    counts = Counter(len(report.findings) for found in healthy for report in found)
    assert max(counts) <= 2
    assert counts[0] >= 0.9 * counts.total()
