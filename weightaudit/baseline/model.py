"""What a baseline knows, as frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from weightaudit.rule import Severity

MARGIN = 0.25
"""How much worse a value may become and still count as known: 1.25 times as large."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One finding that is known.

    Attributes:
        fingerprint: What makes it the same finding, see `weightaudit.fingerprint`.
        rule: Code of the rule.
        model: Path of the model, as the report had it.
        tensor: Name of the tensor; None for the model.
        severity: How bad it was.
        values: The numbers that were measured, by name, with six digits.
    """

    fingerprint: str
    rule: str
    model: str
    tensor: str | None
    severity: Severity
    values: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True, slots=True)
class Baseline:
    """Findings that are known.

    Attributes:
        entries: The findings, by model, tensor, rule and fingerprint.
        policy: Digest of what decides which findings there are, see `weightaudit.policy.judging_digest`.
        margin: How much worse a value may become, as a share of itself; 0.25 for 1.25 times as large.
        source: The file, for messages and reports.
    """

    entries: Sequence[Entry]
    policy: str
    margin: float = MARGIN
    source: str = ""


@dataclass(frozen=True, slots=True)
class Applied:
    """How a baseline fits a run.

    Attributes:
        source: The baseline's file.
        stale: Entries whose finding is gone, though their rule judged and their model was audited whole.
        is_of_other_policy: Whether the run was judged by another policy than the baseline.
    """

    source: str
    stale: Sequence[Entry]
    is_of_other_policy: bool
