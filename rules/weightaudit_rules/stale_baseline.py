"""WA903: a baseline that does not fit what was found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from weightaudit.rule import Severity
from weightaudit.upkeep import UpkeepRule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from weightaudit.rule import Finding
    from weightaudit.upkeep import Audited


@dataclass(frozen=True)
class StaleBaseline(UpkeepRule):
    """The baseline lists findings that are gone, or was written under another policy.

    Why it matters: an entry that is left behind after the tensor was mended lets the same fault come back
    unseen. Under other rules or options, findings are others, and what the baseline knows of them was
    judged by other bounds.

    What is normal: none after `weightaudit baseline prune`. An entry is judged only where its rule judged and
    its model was audited whole.

    Known false positives: a baseline that is used with another `--select` than it was written with.

    How to mend: run `weightaudit baseline prune` on the same models; it takes out entries that are
    stale, and notes the policy. It adds none.
    """

    code = "WA903"
    name = "stale-baseline"
    severity = Severity.NOTE

    def check_audit(self, audited: Audited) -> Iterator[Finding]:
        known = audited.baseline
        if known is None:
            return
        if known.is_of_other_policy:
            message = (
                f"The baseline {known.source} was written under another policy; run `weightaudit baseline "
                "prune` to go on with what it still covers."
            )
            yield self.finding(None, message)
        for entry in known.stale:
            place = entry.model if entry.tensor is None else f"{entry.model}: {entry.tensor}"
            message = f"The baseline {known.source} lists {entry.rule} of {place}, which is gone; prune it."
            yield self.finding(None, message, rule=entry.rule, fingerprint=entry.fingerprint)
