"""Takes findings out of what counts, as the policy says and for the reasons that it gives."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from posixpath import normpath
from typing import TYPE_CHECKING

from weightaudit.globs import any_of
from weightaudit.report import Suppressed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

    from weightaudit.policy import Suppression
    from weightaudit.rule import Finding


@dataclass(frozen=True, slots=True)
class Excuse:
    """A suppression, ready to be held against many findings.

    Attributes:
        suppression: The suppression.
        code: Code of the rule that it names.
        is_expired: Whether its last day is over; then it suppresses nothing.
        tensors: Pattern of the tensors that it is for; None for every finding.
        models: Globs of the models that it is for, each as the parts of a path; empty for all.
    """

    suppression: Suppression
    code: str
    is_expired: bool
    tensors: re.Pattern[str] | None
    models: tuple[tuple[str, ...], ...]

    def speaks_of(self, path: str) -> bool:
        """Say whether it is for the model of that path in reports, whichever separator that has."""
        parts = path.replace("\\", "/").split("/")
        return not self.models or any(_leads_to(glob, parts) for glob in self.models)

    def covers(self, finding: Finding) -> bool:
        """Say whether it is for a finding, on a model that it speaks of."""
        return self.code == finding.code and (
            self.tensors is None
            or (finding.tensor is not None and self.tensors.match(finding.tensor) is not None)
        )


def excuse(suppression: Suppression, code: str, today: date | None = None) -> Excuse:
    """Return a suppression, ready for use.

    Args:
        suppression: The suppression.
        code: Code of the rule that it names.
        today: The day on which it is asked; by default the one that it is, in UTC.
    """
    expires = suppression.expires
    is_expired = expires is not None and expires < (today or datetime.now(UTC).date())
    # A model is named as the file is, wherever it lies when it is audited.
    models = tuple(("**", *normpath(glob).split("/")) for glob in suppression.models)
    return Excuse(suppression, code, is_expired, any_of(suppression.tensors), models)


def suppress(
    findings: Sequence[Finding], path: str, excuses: Iterable[Excuse]
) -> tuple[tuple[Finding, ...], tuple[Suppressed, ...]]:
    """Part the findings of a model into those that count and those that do not, each in the same order.

    Args:
        findings: The findings.
        path: The model's path in the report.
        excuses: The suppressions; of several that cover a finding, the first is named.
    """
    held = [one for one in excuses if not one.is_expired and one.speaks_of(path)]
    if not held:
        return tuple(findings), ()
    kept: list[Finding] = []
    suppressed: list[Suppressed] = []
    for finding in findings:
        by = next((one.suppression for one in held if one.covers(finding)), None)
        if by is None:
            kept.append(finding)
        else:
            suppressed.append(Suppressed(finding, by.reason, by.where))
    return tuple(kept), tuple(suppressed)


def _leads_to(globs: Sequence[str], parts: Sequence[str]) -> bool:
    """Say whether globs hold for the parts of a path, one for each; ``**`` holds for any number of them.

    A ``*`` that went on into folders would let ``net*.keras`` suppress in ``networks/other.keras``, too.
    """
    if not globs:
        return not parts
    if globs[0] == "**":
        return any(_leads_to(globs[1:], parts[skipped:]) for skipped in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], globs[0]) and _leads_to(globs[1:], parts[1:])
