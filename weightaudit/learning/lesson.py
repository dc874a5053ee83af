"""The lesson: audit good models, write down bounds, and prove that the models keep them."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, ClassVar

from weightaudit.auditor import Means, audit_targets, path_list
from weightaudit.discover import search
from weightaudit.errors import ReadError, UsageError, WeightauditError
from weightaudit.learning.bounding import Slack, role_sections, tensor_sections
from weightaudit.learning.observing import observed
from weightaudit.learning.writing import policy_text
from weightaudit.limits import DEFAULT_LIMITS, Limits
from weightaudit.policy import Policy, parse_policy
from weightaudit.portrait import Detail
from weightaudit.registry import configure, load_registry
from weightaudit.rule import Severity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from weightaudit.discover import Target
    from weightaudit.report import Report


class UnfitError(WeightauditError):
    """A model that bounds were to be learned from is not good."""

    exit_code: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class Lesson:
    """What was learned.

    Attributes:
        text: The policy, as TOML.
        report: The audit of the models by that policy; none has an error.
        roles: Roles that have bounds.
        tensors: Single tensors that have.
    """

    text: str
    report: Report
    roles: int
    tensors: int


def learn(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    slack: float = 0.25,
    means: Means | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Lesson:
    """Measure good models and write a policy whose bounds they keep.

    Args:
        paths: Files, directories or globs, as for `weightaudit.audit`.
        slack: How much wider than what was measured a bound is, as a share of it; at least 0.
        means: How the models are read; by default as `weightaudit.audit` reads them.
        limits: Bounds on what a file may ask for.

    Returns:
        The policy, and the proof: every model was audited by it, and has no error.

    Raises:
        UsageError: A path does not exist, or the slack makes no sense.
        UnfitError: A model has errors by the default rules, so nothing should be learned from it.
        ReadError: A model cannot be read whole.
        RuleError: A rule could not be loaded.
    """
    if not (isfinite(slack) and slack >= 0):
        raise UsageError(f"A slack of {slack} makes no sense; give 0 or a number such as 0.25.")
    means = means or Means()
    targets = search(path_list(paths)).targets
    good = _audited(targets, Policy(), means, limits)
    _require_good(good)
    # What a search met and is no model after all is in the report's `left_out`.
    seen = [one for model in good.models for one in observed(model)]
    if not seen:
        raise UsageError("There is nothing to learn from: no model has weights.")
    roles = list(role_sections(seen, Slack(slack)))
    tensors = list(tensor_sections(seen, Slack(slack)))
    text = policy_text(good.models, slack, roles, tensors)
    report = _audited(targets, parse_policy(tomllib.loads(text), "the learned policy"), means, limits)
    _require_kept(report)
    return Lesson(text, report, len(roles), len(tensors))


def _audited(targets: Sequence[Target], policy: Policy, means: Means, limits: Limits) -> Report:
    rules = configure(load_registry(policy.plugins), policy)
    return audit_targets(targets, rules, means, fail_on=policy.fail_on, limits=limits, detail=Detail.FIGURES)


def _require_good(report: Report) -> None:
    for model in report.models:
        if model.failure is not None:
            raise ReadError(f"{model.path} cannot be learned from: {model.failure}")
        if model.skipped:
            first = model.skipped[0]
            raise ReadError(f"{model.path} cannot be read whole: {first.tensor}: {first.reason}")
    _refuse(report, "is not a good model, so nothing was learned from it; `weightaudit check` tells all")


def _require_kept(report: Report) -> None:
    _refuse(report, "does not pass the policy that was learned from it; please report this")


def _refuse(report: Report, verdict: str) -> None:
    for model in report.models:
        errors = [one for one in model.findings if one.severity is Severity.ERROR]
        if errors:
            first = errors[0]
            place = f"{first.tensor}: " if first.tensor else ""
            raise UnfitError(f"{model.path} {verdict}: {place}{first.code} {first.message}")
