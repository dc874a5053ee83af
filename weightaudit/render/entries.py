"""Findings, and what could not be audited, as single entries: what formats of CI services have in common.

Such a service shows entries and knows nothing else: a model that was not read would look like one
without findings, and what was found earlier would look mended. So what was not audited is an entry too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from weightaudit.fingerprint import fingerprint, fingerprinted
from weightaudit.policy import FILE_NAME
from weightaudit.render.summary import obstacle, ordered
from weightaudit.rule import Rule, Severity, Value
from weightaudit.upkeep import UpkeepRule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from weightaudit.render.view import View
    from weightaudit.report import ModelReport, Report, Suppressed
    from weightaudit.rule import Finding

NOT_AUDITED = "not-audited"
"""Stands for the rule where something could not be audited."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One finding, or one thing that could not be audited.

    Attributes:
        path: Path of the model, or of the policy, as reports show it.
        code: Code of the rule; `NOT_AUDITED` for what could not be audited.
        rule: Name of the rule; empty if it is not known.
        severity: Its severity; error for what could not be audited.
        tensor: Name of the tensor; None for the model.
        message: One sentence.
        fingerprint: See `weightaudit.fingerprint`.
        fails: Whether it keeps the gate shut.
        values: What was measured, by name.
    """

    path: str
    code: str
    rule: str
    severity: Severity
    tensor: str | None
    message: str
    fingerprint: str
    fails: bool
    values: Mapping[str, Value] = field(default_factory=dict[str, Value])


def entries(report: Report, view: View) -> list[Entry]:
    """Return all entries: of the models in their order, then of the policy; `quiet` keeps those that fail."""
    found = [] if report.models else [nothing_audited()]
    for model in report.models:
        found += model_entries(report, model, view)
    found += policy_entries(report, view)
    return [one for one in found if one.fails] if view.quiet else found


def model_entries(report: Report, model: ModelReport, view: View) -> list[Entry]:
    """Return the entries of one model: what was not audited, then findings, worst first."""
    found = [
        Entry(
            model.path, NOT_AUDITED, "", Severity.ERROR, tensor, reason,
            fingerprint(NOT_AUDITED, model.path, tensor), fails=True,
        )
        for tensor, reason in _missing(model)
    ]  # fmt: skip
    counted, _ = identified(model)
    return found + [_entry(report, view, model.path, *one) for one in counted]


def policy_entries(report: Report, view: View) -> list[Entry]:
    """Return what is wrong with the policy or the baseline, as entries of the policy's file."""
    path = policy_path(report)
    findings = fingerprinted(path, ordered(report.policy_findings))
    return [_entry(report, view, path, *one) for one in findings]


def policy_path(report: Report) -> str:
    """Return the file that findings about the policy belong to, whether there is one or not."""
    return report.policy or FILE_NAME


def model_codes(view: View) -> tuple[str, ...]:
    """Return the codes of the rules that judged models."""
    upkeep = policy_codes(view)
    return tuple(code for code in view.active if code not in upkeep)


def policy_codes(view: View) -> tuple[str, ...]:
    """Return the codes of the rules that judged the policy and the baseline."""
    return tuple(code for code in view.active if issubclass(view.rules.get(code, Rule), UpkeepRule))


def nothing_audited() -> Entry:
    """Return the entry of a report without a single model."""
    mark = fingerprint(NOT_AUDITED, ".", None)
    message = "There was no model to audit."
    return Entry(".", NOT_AUDITED, "", Severity.ERROR, None, message, mark, fails=True)


def identified(model: ModelReport) -> tuple[list[tuple[Finding, str]], list[tuple[Suppressed, str]]]:
    """Return the findings of a model that count, and those that do not, each with its fingerprint.

    Both are in the order of reports. They are counted through together: that one of several findings
    on a tensor is suppressed does not make another one of the others.
    """
    suppressed = {id(one.finding): one for one in model.suppressed}
    everything = ordered([*model.findings, *(one.finding for one in model.suppressed)])
    counted: list[tuple[Finding, str]] = []
    others: list[tuple[Suppressed, str]] = []
    for finding, mark in fingerprinted(model.path, everything):
        if id(finding) in suppressed:
            others.append((suppressed[id(finding)], mark))
        else:
            counted.append((finding, mark))
    return counted, others


def _missing(model: ModelReport) -> Iterator[tuple[str | None, str]]:
    failure = obstacle(model)
    if failure is not None:
        yield None, failure
    reasons: dict[str, list[str]] = {}
    for one in model.skipped:
        reasons.setdefault(one.tensor, []).append(one.reason)
    yield from ((tensor or None, " ".join(told)) for tensor, told in reasons.items())


def _entry(report: Report, view: View, path: str, finding: Finding, mark: str) -> Entry:
    return Entry(
        path=path,
        code=finding.code,
        rule=view.names.get(finding.code, ""),
        severity=finding.severity,
        tensor=finding.tensor,
        message=finding.message,
        fingerprint=mark,
        fails=report.fail_on is not None and finding.severity >= report.fail_on,
        values=finding.values,
    )
