"""What the documentation of a rule tells a reader of its findings, and the command that goes on."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from weightaudit.render.escape import printable
from weightaudit.render.explained import explained
from weightaudit.rule import Rule, Severity

if TYPE_CHECKING:
    from weightaudit.rule import Finding

_HEADS = {
    "Why it matters": "why",
    "What is normal": "normal",
    "Known false positives": "doubt",
    "How to mend": "mend",
}
_PARAGRAPH = re.compile(rf"^({'|'.join(_HEADS)}):\s*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Guidance:
    """The parts of a rule's documentation, each as one paragraph; empty where it says nothing of the kind.

    Attributes:
        summary: What it finds, as a sentence.
        why: Why that matters.
        normal: What healthy tensors look like.
        doubt: When a finding is none.
        mend: What to do.
    """

    summary: str = ""
    why: str = ""
    normal: str = ""
    doubt: str = ""
    mend: str = ""


def guidance(rule: type[Rule]) -> Guidance:
    """Return what the docstring of a rule says, which is laid out as `Rule` asks."""
    told = explained(rule)
    heads = [(_PARAGRAPH.match(paragraph), paragraph) for paragraph in told.paragraphs]
    found = {_HEADS[head[1]]: _sentence(paragraph[head.end() :]) for head, paragraph in heads if head}
    return Guidance(told.summary, **found)


def _sentence(text: str) -> str:
    """Return what follows a heading with the capital that a sentence of its own has."""
    return text[:1].upper() + text[1:]


def command(rule: type[Rule] | None, path: str, finding: Finding) -> str:
    """Return the command that shows how findings of a rule could be mended; empty if there is none.

    Args:
        rule: The rule; None if it is not known.
        path: Path of the model as the user knows it.
        finding: The worst finding of the rule in this model.
    """
    # A path that is not shown as it is would be another one in a shell.
    if rule is None or finding.tensor is None or printable(path) != path:
        return ""
    words = ["weightaudit", "repair", path, "--select", finding.code]
    if rule.projection is Rule.projection:
        if finding.severity is not Severity.ERROR:
            return ""
        words += ["--donor", "GOOD_MODEL"]
    if finding.severity is not Severity.ERROR:
        words += ["--fail-on", finding.severity.label]
    return shlex.join([*words, "--dry-run"])
