"""What makes a finding the same finding in the next run: never a number that was measured."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from weightaudit.rule import Finding


def fingerprint(code: str, path: str, tensor: str | None, occurrence: int = 0, subject: str = "") -> str:
    """Return 32 hexadecimal digits that tell one finding from every other one.

    Args:
        code: Code of the rule.
        path: Path of the model as reports show it.
        tensor: Name of the tensor; None for the model.
        occurrence: How many findings of the same rule about the same thing come before it.
        subject: See `weightaudit.rule.Finding`.
    """
    # Lengths keep apart what a separator inside a stranger's name could make alike.
    parts = [code, path, "" if tensor is None else f"={tensor}", str(occurrence)]
    parts += [subject] if subject else []
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def fingerprinted(path: str, findings: Iterable[Finding]) -> Iterator[tuple[Finding, str]]:
    """Yield the findings of one model, each with its fingerprint, in the order that they are given in.

    Args:
        path: Path of the model as reports show it.
        findings: All its findings, in the order of the report.
    """
    seen: Counter[tuple[str, str | None, str]] = Counter()
    for finding in findings:
        place = finding.code, finding.tensor, finding.subject
        yield finding, fingerprint(finding.code, path, finding.tensor, seen[place], finding.subject)
        seen[place] += 1
