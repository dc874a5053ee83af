"""What a run comes to, once every model is judged: the baseline, and the upkeep of policy and baseline."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from weightaudit.errors import RuleError
from weightaudit.upkeep import Audited, UpkeepRule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from weightaudit.baseline import Applied, Baseline
    from weightaudit.registry import RuleSet
    from weightaudit.report import Report
    from weightaudit.rule import Finding


def decided(report: Report, rules: RuleSet, baseline: Baseline | None = None) -> Report:
    """Return a report in which only what counts is a finding, with what is wrong with the policy itself.

    Args:
        report: The judged models; what the policy suppresses is taken out already.
        rules: What judged.
        baseline: Findings that are known; None for none.

    Raises:
        RuleError: A rule about the audit itself crashed.
    """
    applied: Applied | None = None
    if baseline is not None:
        from weightaudit.baseline import apply

        report, applied = apply(report, baseline, rules)
    found = tuple(_upkeep(Audited(report, rules, applied)))
    return replace(report, policy=rules.policy.source, policy_findings=found)


def _upkeep(audited: Audited) -> Iterator[Finding]:
    for judge in audited.rules.judges:
        rule = judge.rule
        if not isinstance(rule, UpkeepRule):
            continue
        try:
            found = list(rule.check_audit(audited))
        except Exception as error:
            raise RuleError(
                f"The rule {rule.code} {rule.name} crashed ({error!r}); please tell its author."
            ) from error
        yield from (replace(one, severity=judge.severity or one.severity) for one in found)
