"""Makes a baseline of a report, and takes what a baseline knows out of one."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from weightaudit.baseline.model import MARGIN, Applied, Baseline, Entry
from weightaudit.baseline.worsening import numbers, worsening
from weightaudit.discover import addressed
from weightaudit.errors import StoreError, UsageError
from weightaudit.fingerprint import fingerprinted
from weightaudit.policy import judging_digest
from weightaudit.render.plain import safe_text
from weightaudit.report import Suppressed
from weightaudit.upkeep import Audited

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from weightaudit.registry import RuleSet
    from weightaudit.report import ModelReport, Report
    from weightaudit.rule import Finding

_Place = tuple[str, str, str, str | None]
"""Fingerprint, rule, model and tensor: an entry is for what a reviewer reads there, and for nothing else."""

_REASON = "It is in the baseline."


def baseline_of(report: Report, rules: RuleSet, *, margin: float = MARGIN, source: str = "") -> Baseline:
    """Return a baseline that lists every finding of the models of a report.

    Args:
        report: The report; what the policy suppresses is left out.
        rules: What judged.
        margin: See `Baseline.margin`.
        source: The file that it is for.
    """
    entries = [
        Entry(mark, finding.code, model.path, finding.tensor, finding.severity, numbers(finding))
        for model in report.models
        for finding, mark in _counting(model)
    ]
    return Baseline(sorted(entries, key=_order), judging_digest(rules.policy), margin, source)


def apply(report: Report, baseline: Baseline, rules: RuleSet) -> tuple[Report, Applied]:
    """Return a report in which what is known does not count, and how the baseline fits it.

    What is clearly worse than the baseline has it goes on counting, and says so.
    """
    known = {_place_of(one): one for one in baseline.entries}
    models = tuple(_applied(model, known, baseline) for model in report.models)
    stale = _stale(Audited(report, rules), baseline)
    is_other = baseline.policy != judging_digest(rules.policy)
    return replace(report, models=models), Applied(baseline.source, stale, is_other)


def pruned(baseline: Baseline, report: Report, rules: RuleSet) -> Baseline:
    """Return a baseline without stale entries, for the policy in force.

    Stale are also entries of models that are no longer there.

    Args:
        baseline: The baseline.
        report: The models as they are, without the baseline.
        rules: What judged.

    Raises:
        UsageError: None of the models that it lists is there, as in another directory.
    """
    there = {one.model for one in baseline.entries if _is_there(one.model, report)}
    if baseline.entries and not there:
        raise UsageError(
            f"None of the models that {baseline.source} lists is here, so it was left as it is; run this "
            "where it was written, or write it anew with `weightaudit baseline write`."
        )
    stale = {_place_of(one) for one in _stale(Audited(report, rules), baseline)}
    kept = [one for one in baseline.entries if one.model in there and _place_of(one) not in stale]
    return replace(baseline, entries=kept, policy=judging_digest(rules.policy))


def _applied(model: ModelReport, known: Mapping[_Place, Entry], baseline: Baseline) -> ModelReport:
    marks = {id(finding): mark for finding, mark in _marked(model)}
    places = {one: place for place, one in enumerate(marks)}
    kept: list[Finding] = []
    suppressed = list(model.suppressed)
    for finding in model.findings:
        entry = known.get(_place(marks[id(finding)], finding, model))
        if entry is None:
            kept.append(finding)
            continue
        worse = worsening(entry, finding, baseline.margin)
        if worse is None:
            suppressed.append(Suppressed(finding, _REASON, baseline.source))
        else:
            message = f"{finding.message.rstrip('.')}; worse than in the baseline, where {worse}."
            kept.append(replace(finding, message=message))
    suppressed.sort(key=lambda one: places[id(one.finding)])
    return replace(model, findings=tuple(kept), suppressed=tuple(suppressed))


def _stale(audited: Audited, baseline: Baseline) -> tuple[Entry, ...]:
    """Return the entries whose finding is gone, or is suppressed by the policy by now."""
    models = audited.report.models
    found = {_place(mark, finding, model) for model in models for finding, mark in _counting(model)}
    return tuple(
        entry
        for entry in baseline.entries
        if _place_of(entry) not in found
        and any(safe_text(model.path) == safe_text(entry.model) for model in audited.models_of(entry.rule))
    )


def _place_of(entry: Entry) -> _Place:
    return entry.fingerprint, entry.rule, safe_text(entry.model), entry.tensor and safe_text(entry.tensor)


def _place(mark: str, finding: Finding, model: ModelReport) -> _Place:
    tensor = finding.tensor and safe_text(finding.tensor)
    return mark, finding.code, safe_text(model.path), tensor


def _marked(model: ModelReport) -> Iterator[tuple[Finding, str]]:
    """Yield every finding of a model with its fingerprint, whether it counts or not.

    A suppression that comes or goes must not change the fingerprints of the others.
    """
    found = [*model.findings, *(one.finding for one in model.suppressed)]
    found.sort(key=lambda one: (-one.severity, one.code, one.tensor or "", one.message))
    return fingerprinted(model.path, found)


def _is_there(model: str, report: Report) -> bool:
    """Say whether there is a model of that path, a checkpoint's prefix, or the address of a version."""
    audited = any(safe_text(one.path) == safe_text(model) for one in report.models)
    if audited or os.path.lexists(model) or os.path.lexists(f"{model}.index"):
        return True
    try:
        return addressed(model) is not None
    except (StoreError, UsageError):
        return False


def _counting(model: ModelReport) -> Iterator[tuple[Finding, str]]:
    """Yield the findings that count, each with its fingerprint."""
    hidden = {id(one.finding) for one in model.suppressed}
    return ((finding, mark) for finding, mark in _marked(model) if id(finding) not in hidden)


def _order(entry: Entry) -> tuple[str, str, str, str]:
    return entry.model, entry.tensor or "", entry.rule, entry.fingerprint
