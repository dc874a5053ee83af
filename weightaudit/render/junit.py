"""The report as JUnit XML: a suite for each model, in it a test for each rule.

The tests of a model are the same in every run, so that a service that compares runs can tell what broke
and what was mended. What a rule found is in the test's failure, tensor by tensor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

from weightaudit.render.entries import model_codes, policy_codes, policy_path
from weightaudit.render.escape import MESSAGE_LIMIT, printable
from weightaudit.render.summary import coverage, obstacle, ordered, plural

if TYPE_CHECKING:
    from weightaudit.render.view import View
    from weightaudit.report import ModelReport, Report
    from weightaudit.rule import Finding

LINES = 200
"""Findings that one test lists; more are counted."""


@dataclass(frozen=True, slots=True)
class _Case:
    """One test, in words as they are: its name, and what it says; without any of that it passed."""

    name: str
    failure: str = ""
    error: str = ""
    skipped: str = ""
    details: Sequence[str] = ()
    output: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class _Suite:
    """One suite: a model, or the policy."""

    name: str
    cases: Sequence[_Case]
    properties: Mapping[str, str | int] = field(default_factory=dict[str, "str | int"])

    @property
    def counts(self) -> dict[str, int]:
        """Tests by outcome, as the attributes of XML are called."""
        return {
            "tests": len(self.cases),
            "failures": sum(bool(one.failure) for one in self.cases),
            "errors": sum(bool(one.error) for one in self.cases),
            "skipped": sum(bool(one.skipped) for one in self.cases),
        }


def render(report: Report, view: View) -> str:
    """Return a report as XML; only findings at or above the level that fails are failures."""
    suites = [_Suite(model.path, _cases(report, model, view), _properties(model)) for model in report.models]
    if report.policy or report.policy_findings:
        path = policy_path(report)
        suites.append(
            _Suite(path, _rules(report, report.policy_findings, {}, view, active=policy_codes(view)))
        )
    if not report.models:
        suites.append(_Suite("weightaudit", [_Case("coverage", error="There was no model to audit.")]))
    totals = {key: sum(one.counts[key] for one in suites) for key in ("tests", "failures", "errors")}
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f"<testsuites {_attributes(name='weightaudit', **totals)}>",
    ]
    for suite in suites:
        lines += _suite(suite)
    return "\n".join([*lines, "</testsuites>"]) + "\n"


def _cases(report: Report, model: ModelReport, view: View) -> list[_Case]:
    failure = obstacle(model)
    if failure is not None:
        return [_Case("coverage", error=failure)]
    missing = "" if model.is_complete else f"{plural(len(model.skipped), 'part')} could not be audited."
    unread = [_Case(f"audit of {one.tensor or 'the model'}", skipped=one.reason) for one in model.skipped]
    kept = {} if not view.suppressed else _by_code(one.finding for one in model.suppressed)
    rules = _rules(report, model.findings, kept, view, active=model_codes(view))
    return [_Case("coverage", error=missing, output=[coverage(model)]), *unread, *rules]


def _rules(
    report: Report,
    findings: Sequence[Finding],
    suppressed: Mapping[str, Sequence[Finding]],
    view: View,
    *,
    active: Sequence[str],
) -> list[_Case]:
    found = _by_code(ordered(findings))
    codes = sorted({*active, *found, *suppressed})
    return [_rule(report, code, found.get(code, ()), suppressed.get(code, ()), view) for code in codes]


def _rule(
    report: Report, code: str, found: Sequence[Finding], suppressed: Sequence[Finding], view: View
) -> _Case:
    # Worst first: those that fail stand before the others.
    failing = sum(report.fail_on is not None and one.severity >= report.fail_on for one in found)
    return _Case(
        f"{code} {view.names.get(code, '')}".rstrip(),
        failure=plural(failing, "finding") if failing else "",
        details=_listed(found[:failing]),
        output=[*_listed(found[failing:]), *(f"suppressed: {line}" for line in _listed(suppressed))],
    )


def _by_code(findings: Iterator[Finding] | Sequence[Finding]) -> dict[str, list[Finding]]:
    found: dict[str, list[Finding]] = {}
    for one in findings:
        found.setdefault(one.code, []).append(one)
    return found


def _listed(findings: Sequence[Finding]) -> list[str]:
    lines = [
        ": ".join(part for part in (one.severity.label, one.tensor, one.message) if part)
        for one in findings[:LINES]
    ]
    more = len(findings) - LINES
    return [*lines, f"and {more} more, which the JSON report has"] if more > 0 else lines


def _properties(model: ModelReport) -> dict[str, str | int]:
    return {
        "container": model.container,
        "tensors": model.coverage.tensors,
        "audited": model.coverage.audited,
        "skipped": len(model.skipped),
        "without-numbers": model.coverage.opaque,
        "bytes": model.coverage.nbytes,
        "suppressed": len(model.suppressed),
    }


def _suite(suite: _Suite) -> Iterator[str]:
    yield f"  <testsuite {_attributes(name=suite.name, **suite.counts)}>"
    if suite.properties:
        yield "    <properties>"
        for name, value in suite.properties.items():
            yield f"      <property {_attributes(name=name, value=value)}/>"
        yield "    </properties>"
    for case in suite.cases:
        yield from _case(case, suite.name)
    yield "  </testsuite>"


def _case(case: _Case, suite: str) -> Iterator[str]:
    inside = [
        _element(tag, message, case.details)
        for tag, message in (("failure", case.failure), ("error", case.error), ("skipped", case.skipped))
        if message
    ]
    if case.output:
        inside.append(f"      <system-out>{_text(case.output)}</system-out>")
    head = f"    <testcase {_attributes(name=case.name, classname=suite)}"
    if not inside:
        yield f"{head}/>"
        return
    yield f"{head}>"
    yield from inside
    yield "    </testcase>"


def _element(tag: str, message: str, details: Sequence[str]) -> str:
    # Some viewers show the attribute, some the text, so both say it.
    return f"      <{tag} {_attributes(message=message)}>{_text(details or [message])}</{tag}>"


def _attributes(**values: str | int) -> str:
    return " ".join(f'{name}="{_xml(str(value))}"' for name, value in values.items())


def _text(lines: Sequence[str]) -> str:
    return "\n".join(_xml(line) for line in lines)


def _xml(text: str) -> str:
    """Return one line as XML has it; `printable` spells out what XML cannot hold, such as controls."""
    return escape(printable(text, MESSAGE_LIMIT))
