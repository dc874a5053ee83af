"""WA902: a suppression that suppresses nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from weightaudit.rule import Severity
from weightaudit.upkeep import UpkeepRule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from weightaudit.rule import Finding
    from weightaudit.suppressing import Excuse
    from weightaudit.upkeep import Audited


@dataclass(frozen=True)
class UnusedSuppression(UpkeepRule):
    """A suppression of the policy covers no finding.

    Why it matters: one that is left behind after the tensors were mended will hide the next fault of
    the same kind in the same place.

    What is normal: none. It is judged over the whole run, and only where the rule judged, every model
    that the suppression speaks of was audited whole, and at least one of their tensors has a name that
    it gives. Rules that need a reference are left out in a run without one.

    Known false positives: a policy that is shared by models of which only some have the fault, where
    these are audited apart from each other. Give the suppression `models`.

    How to mend: take the suppression out.
    """

    code = "WA902"
    name = "unused-suppression"
    severity = Severity.WARNING

    def check_audit(self, audited: Audited) -> Iterator[Finding]:
        used = {one.source for model in audited.report.models for one in model.suppressed}
        for one in audited.rules.excuses:
            if not one.is_expired and one.suppression.where not in used and _could_be_used(one, audited):
                message = f"{one.suppression.where} covers no finding of {one.code}; take it out."
                yield self.finding(None, message, rule=one.code)


def _could_be_used(excuse: Excuse, audited: Audited) -> bool:
    meant = [model for model in audited.report.models if excuse.speaks_of(model.path)]
    whole = [model for model in audited.models_of(excuse.code) if model in meant]
    if not meant or len(whole) < len(meant):
        return False
    # Where no name matches, WA904 says so.
    names = (info.name for model in whole for info in model.tensors)
    return excuse.tensors is None or any(excuse.tensors.match(name) for name in names)
