"""What every renderer says alike: the order of findings, coverage, obstacles, figures and the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from weightaudit.report import ExitCode, ModelReport, Report
from weightaudit.rule import Finding, Severity
from weightaudit.statistics import Extremes, Moments, NonFinite, Peak, Zeros

if TYPE_CHECKING:
    from collections.abc import Iterable

    from weightaudit.statistics import Stats

VERDICTS = {
    ExitCode.PASSED: "passed",
    ExitCode.FINDINGS: "failed",
    ExitCode.USAGE: "not run",
    ExitCode.INCOMPLETE: "incomplete",
}


def ordered(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings worst first, then by rule, tensor and message."""
    return sorted(findings, key=lambda one: (-one.severity, one.code, one.tensor or "", one.message))


def shown(report: Report, model: ModelReport, *, quiet: bool) -> list[Finding]:
    """Return the findings to show in order; `quiet` keeps those that fail the gate."""
    return _failing(report, model.findings) if quiet else ordered(model.findings)


def shown_of_policy(report: Report, *, quiet: bool) -> list[Finding]:
    """Return what is wrong with the policy or the baseline, in order; `quiet` as in `shown`."""
    return _failing(report, report.policy_findings) if quiet else ordered(report.policy_findings)


def _failing(report: Report, findings: Iterable[Finding]) -> list[Finding]:
    level = report.fail_on
    return [one for one in ordered(findings) if level is not None and one.severity >= level]


def count(findings: Iterable[Finding]) -> dict[str, int]:
    """Return the number of findings by severity, worst first, zeros included."""
    counts = {severity.label: 0 for severity in sorted(Severity, reverse=True)}
    for finding in findings:
        counts[finding.severity.label] += 1
    return counts


def plural(number: int, noun: str) -> str:
    """Return ``1 tensor``, ``2 tensors``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def size(nbytes: int) -> str:
    """Return a number of bytes with three digits and a decimal unit, such as ``102 MB``."""
    if nbytes < 1000:
        return plural(nbytes, "byte")
    value = float(nbytes)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.5 or unit == "TB":
            break
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f} {unit}"


def coverage(model: ModelReport) -> str:
    """Return how much of a model was measured: ``262 of 262 tensors, 102 MB, 0 skipped``."""
    covered = model.coverage
    text = (
        f"{covered.audited} of {plural(covered.tensors, 'tensor')}, {size(covered.nbytes)}, "
        f"{len(model.skipped)} skipped"
    )
    return f"{text}, {covered.opaque} without numbers" if covered.opaque else text


def obstacle(model: ModelReport) -> str | None:
    """Return why a model was not audited at all, None if it was."""
    if model.failure is None and not model.is_complete and not model.skipped:
        return "It holds no tensor with numbers, so there is nothing to audit."
    return model.failure


def skips(model: ModelReport, *, quiet: bool) -> list[tuple[str, str]]:
    """Return what was skipped, and why; `quiet` tells each reason once, with how many it concerns.

    What is skipped is a tensor, or nothing in particular (empty) where it is the model as a whole.
    """
    if not quiet:
        return [(one.tensor, one.reason) for one in model.skipped]
    tensors: dict[str, list[str]] = {}
    for one in model.skipped:
        tensors.setdefault(one.reason, []).append(one.tensor)
    return [
        (names[0] if len(names) == 1 else plural(len(names), "tensor"), reason)
        for reason, names in tensors.items()
    ]


def verdict(report: Report) -> str:
    """Return the outcome, its exit code and what led to it, as one sentence without a full stop."""
    code = report.exit_code
    return f"{VERDICTS[code]} (exit {int(code)}): {_reason(report)}; {_totals(report)}"


def _reason(report: Report) -> str:
    if not report.models:
        return "there was no model to audit"
    incomplete = sum(not model.is_complete for model in report.models)
    if incomplete:
        return f"{incomplete} of {plural(len(report.models), 'model')} could not be audited whole"
    if report.fail_on is None:
        return "no finding fails this audit"
    failing = sum(finding.severity >= report.fail_on for finding in report.findings)
    level = "error" if report.fail_on is Severity.ERROR else f"{report.fail_on.label} or worse"
    return f"{plural(failing, 'finding')} of level {level}"


def _totals(report: Report) -> str:
    audited = sum(model.coverage.audited for model in report.models)
    tensors = sum(model.coverage.tensors for model in report.models)
    counts = ", ".join(plural(number, label) for label, number in count(report.findings).items())
    suppressed = sum(len(model.suppressed) for model in report.models)
    counts += f", {suppressed} suppressed" if suppressed else ""
    models = plural(len(report.models), "model")
    return f"{counts} in {models}, {audited} of {plural(tensors, 'tensor')} audited"


def figures(stats: Stats) -> dict[str, float]:
    """Return the plain statistics that were measured, by name; counts are integers.

    Statistics that a rule asked for with options of its own (norms along axes, counts below a
    limit) are left out: they appear in the findings of that rule.
    """
    found: dict[str, float] = {}
    if Moments() in stats:
        sums = stats[Moments()]
        found |= {"rms": sums.rms, "mean": sums.mean, "std": sums.std, "l2": sums.l2}
    if Extremes() in stats:
        extremes = stats[Extremes()]
        found |= {"min": extremes.minimum, "max": extremes.maximum}
    if Peak() in stats:
        found["peak"] = stats[Peak()]
    if Zeros() in stats:
        found["zeros"] = stats[Zeros()]
    if NonFinite() in stats:
        bad = stats[NonFinite()]
        found |= {"nan": bad.nan, "positive_inf": bad.positive, "negative_inf": bad.negative}
    return found
