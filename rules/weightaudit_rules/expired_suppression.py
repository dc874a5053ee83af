"""WA901: a suppression whose last day is over."""

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
class ExpiredSuppression(UpkeepRule):
    """A suppression of the policy has expired.

    Why it matters: a suppression with a date is a promise to look again. Past its last day (in UTC) it
    suppresses nothing, so what it covered counts again and may fail the gate.

    What is normal: none. The finding tells of every suppression that is over, whether what it covered
    is still found or not.

    Known false positives: none.

    How to mend: look at the tensors again. Take the suppression out if they are mended, give it a later
    date and a reason that still holds if they are not.
    """

    code = "WA901"
    name = "expired-suppression"
    severity = Severity.WARNING

    def check_audit(self, audited: Audited) -> Iterator[Finding]:
        for one in audited.rules.excuses:
            if one.is_expired:
                day = str(one.suppression.expires)
                message = (
                    f"{one.suppression.where} ({one.code}: {one.suppression.reason}) expired: its last day "
                    f"was {day}; take it out, or give it a later date."
                )
                yield self.finding(None, message, rule=one.code, expires=day)
