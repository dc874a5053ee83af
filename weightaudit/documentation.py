"""What a rule or a projection says of itself: its docstring, apart from what that says of each option."""

from __future__ import annotations

import inspect
import re
from textwrap import dedent

_SECTION = re.compile(r"^Attributes:\n((?:(?: .*)?(?:\n|$))*)", re.MULTILINE)
_ATTRIBUTE = re.compile(r"^(\w+):(.*(?:\n[ \t].*)*)", re.MULTILINE)


def documentation(documented: type) -> tuple[str, dict[str, str]]:
    """Return a docstring without its Attributes, and what those say of each option, on one line."""
    text = inspect.cleandoc(documented.__doc__ or "")
    section = _SECTION.search(text)
    if section is None:
        return text, {}
    found = _ATTRIBUTE.findall(dedent(section[1]))
    described = {name: " ".join(words.split()) for name, words in found}
    return (text[: section.start()] + text[section.end() :]).strip(), described


def summary(documented: type) -> str:
    """Return the first line of a docstring."""
    return documentation(documented)[0].partition("\n")[0]
