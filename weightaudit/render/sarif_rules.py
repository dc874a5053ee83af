"""Rules as SARIF describes them: what a viewer shows beside a result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from weightaudit.render.entries import NOT_AUDITED
from weightaudit.render.escape import printable
from weightaudit.render.explained import Explained, explained

if TYPE_CHECKING:
    from weightaudit.rule import Rule

TEXT_LIMIT = 1000
"""Characters of a short text; GitHub cuts descriptions after 1,024."""

_UNREAD = Explained(
    "Something could not be audited.",
    (
        "Why it matters: what was not read was not judged; that it has no findings says nothing about it.",
        "How to mend: see to the reason that the result gives; the exit code is 3 until all is read.",
    ),
)

# A rule that calls itself one of security is shown by its `security-severity`, which weights do not have.
_TAGS = ("model", "weights")


def described(code: str, rule: type[Rule] | None) -> dict[str, Any]:
    """Return a ``reportingDescriptor``.

    Args:
        code: Its code.
        rule: The rule; None if only its code is known.
    """
    if code == NOT_AUDITED:
        return _descriptor(code, "not-audited", "error", _UNREAD)
    if rule is None:
        unknown = Explained(f"A finding with the code {printable(code)}.", ())
        return _descriptor(code, code, "warning", unknown)
    return _descriptor(code, rule.name, rule.severity.label, explained(rule))


def _descriptor(code: str, name: str, level: str, said: Explained) -> dict[str, Any]:
    why = said.paragraphs[0] if said.paragraphs else said.summary
    return {
        "id": code,
        "name": name,
        "shortDescription": {"text": said.summary[:TEXT_LIMIT]},
        "fullDescription": {"text": why[:TEXT_LIMIT]},
        "help": {"text": said.text, "markdown": said.text},
        "defaultConfiguration": {"level": level},
        "properties": {"tags": list(_TAGS), "problem.severity": _PROBLEM[level]},
    }


_PROBLEM = {"error": "error", "warning": "warning", "note": "recommendation"}
"""GitHub's words for the severity of a problem that is none of security."""
