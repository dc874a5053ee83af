"""WA904: a glob of the policy that matches nothing."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import translate
from re import compile as pattern_of
from typing import TYPE_CHECKING, NamedTuple

from weightaudit.rule import Severity
from weightaudit.upkeep import UpkeepRule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from weightaudit.policy import Override, Policy, RepairSettings
    from weightaudit.report import ModelReport
    from weightaudit.rule import Finding
    from weightaudit.suppressing import Excuse
    from weightaudit.upkeep import Audited

_SHOWN = 3
"""Globs that are named; a learned policy can have thousands."""


class _Glob(NamedTuple):
    """A glob, what it is matched against, and the table that it stands in."""

    text: str
    names: frozenset[str]
    where: str


@dataclass(frozen=True)
class UnmatchedGlob(UpkeepRule):
    """A glob in the policy matches nothing in any audited model.

    Why it matters: a misspelt glob is valid, and silently leaves tensors to the wrong rules. An
    override, a repair or a suppression that was meant for them does nothing.

    What is normal: every glob of `tensors` and `layer-classes` under overrides, repair and suppressions
    matches a tensor of at least one model of the run. It is judged only where every model was
    audited whole, and globs of a suppression only against the models that it speaks of.

    Known false positives: a policy that is shared by models that are audited apart from each other.
    Ignore the rule there, or audit them in one run.

    How to mend: correct the glob; `weightaudit check --verbose` lists the names of all tensors.
    """

    code = "WA904"
    name = "unmatched-glob"
    severity = Severity.NOTE

    def check_audit(self, audited: Audited) -> Iterator[Finding]:
        models = audited.report.models
        if not models or not all(model.is_complete for model in models):
            return
        globs = [*_of_policy(audited.rules.policy, models), *_of_excuses(audited.rules.excuses, models)]
        lost = [one for one in globs if not _matches(one)]
        if lost:
            named = ", ".join(f"{one.text!r} in {one.where}" for one in lost[:_SHOWN])
            more = f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else ""
            message = (
                f"{len(lost)} of {len(globs)} globs of the policy match nothing in the audited models: "
                f"{named}{more}."
            )
            yield self.finding(None, message, globs=len(lost))


def _of_policy(policy: Policy, models: Sequence[ModelReport]) -> Iterator[_Glob]:
    names = _names(models)
    classes = frozenset(info.layer_class for model in models for info in model.tensors)
    tables: list[Override | RepairSettings] = [*policy.overrides, *policy.repairs]
    for one in tables:
        yield from (_Glob(glob, names, one.where) for glob in one.tensors)
        yield from (_Glob(glob, classes, one.where) for glob in one.layer_classes)


def _of_excuses(excuses: Iterable[Excuse], models: Sequence[ModelReport]) -> Iterator[_Glob]:
    for one in excuses:
        meant = [model for model in models if one.speaks_of(model.path)]
        if meant:
            names = _names(meant)
            yield from (_Glob(glob, names, one.suppression.where) for glob in one.suppression.tensors)


def _names(models: Iterable[ModelReport]) -> frozenset[str]:
    return frozenset(info.name for model in models for info in model.tensors)


def _matches(glob: _Glob) -> bool:
    # Most globs of a learned policy are names as they stand; one with brackets does not match itself.
    match = pattern_of(translate(glob.text)).match
    return (glob.text in glob.names and match(glob.text) is not None) or any(map(match, glob.names))
