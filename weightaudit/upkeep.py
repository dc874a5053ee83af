"""Rules about the audit itself: what is wrong with the policy or the baseline, not with a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from weightaudit.rule import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from weightaudit.baseline import Applied
    from weightaudit.registry import RuleSet
    from weightaudit.report import ModelReport, Report
    from weightaudit.rule import Finding
    from weightaudit.tensor import TensorInfo


@dataclass(frozen=True, slots=True)
class Audited:
    """A whole run, after every model was judged.

    Attributes:
        report: What was found, with what was suppressed.
        rules: What judged, with the policy that it was made from and its suppressions.
        baseline: How the baseline fits; None without one.
    """

    report: Report
    rules: RuleSet
    baseline: Applied | None = None

    def models_of(self, code: str) -> list[ModelReport]:
        """Return the models on which a rule was asked and which were audited whole.

        A rule that judges only beside a reference was not asked where there is none.
        """
        rules = {one.rule.code: one.rule for judges in self.rules.variants() for one in judges}
        if code not in rules or (self.report.reference is None and needs_reference(rules[code])):
            return []
        return [model for model in self.report.models if model.is_complete]


class UpkeepRule(Rule):
    """A rule that judges a run: it sees no tensors, and its findings stand beside those of the models."""

    relies_on_role = False

    def goes_by_kind(self) -> bool:
        return True

    def applies(self, info: TensorInfo) -> bool:
        return False

    def check_audit(self, audited: Audited) -> Iterator[Finding]:
        """Judge a run."""
        return iter(())


def needs_reference(rule: Rule) -> bool:
    """Say whether a rule finds nothing without a reference, as its own examples show."""
    bad = [one for one in rule.examples if one.severity is not None]
    return bool(bad) and all(one.reference is not None for one in bad)
