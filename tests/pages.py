"""Code blocks of pages, which tests run as they stand."""

from __future__ import annotations

import re


def code_blocks(page: str, language: str) -> list[str]:
    """Return the code blocks of a page in Markdown that are in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
