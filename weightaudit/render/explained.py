"""What a rule says of itself, cut into the parts that a viewer shows in different places."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from weightaudit.documentation import documentation

if TYPE_CHECKING:
    from weightaudit.rule import Rule


@dataclass(frozen=True, slots=True)
class Explained:
    """The explanation of a rule.

    Attributes:
        summary: Its first line.
        paragraphs: Everything behind it: prose on one line each, what is laid out as it stands.
    """

    summary: str
    paragraphs: tuple[str, ...]

    @property
    def text(self) -> str:
        """All of it, as plain text that is also Markdown."""
        return "\n\n".join((self.summary, *self.paragraphs))


def explained(rule: type[Rule]) -> Explained:
    """Return what the docstring of a rule says."""
    summary, _, rest = documentation(rule)[0].partition("\n")
    paragraphs = (one.strip("\n") for one in re.split(r"\n\s*\n", rest) if one.strip())
    return Explained(summary.strip(), tuple(_joined(one) for one in paragraphs))


def _joined(paragraph: str) -> str:
    """Join the lines of prose; a list or a table stays as it is laid out."""
    laid_out = re.search(r"^(\s|[-*|>] |\d+\. )", paragraph, re.MULTILINE)
    return paragraph if laid_out else " ".join(paragraph.split())
