"""Leads links of pages that also stand on their own in the repository to their places in the site."""

from __future__ import annotations

import posixpath
import re
from typing import Any

HOMES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
    "benchmarks/speed.svg": "speed.svg",
    "benchmarks/memory.svg": "memory.svg",
    "rules/README.md": "rules/index.md",
    "weightaudit/ARCHITECTURE.md": "architecture.md",
}
"""Pages of the site, by the file of the repository that they show."""

_LINK = re.compile(r"(!?\[[^\]]*\])\(([^):#\s]+)(#[^)\s]*)?\)")


def relinked(text: str, source: str, page: str) -> str:
    """Return Markdown with its links to files of the repository as links to pages of the site.

    Args:
        text: The Markdown.
        source: Path of its file in the repository.
        page: Path of its page in the site.
    """

    def replaced(match: re.Match[str]) -> str:
        label, target, anchor = match[1], match[2], match[3] or ""
        file = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        home = HOMES.get(file) or (file.removeprefix("docs/") if file.startswith("docs/") else None)
        if home is None:
            # Code and the licence are no pages; what is said of them stays.
            return label[1:-1]
        return f"{label}({posixpath.relpath(home, posixpath.dirname(page) or '.')}{anchor})"

    return _LINK.sub(replaced, text)


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Treat the pages that are files under docs/; those that are made come with their links right."""
    path: str = page.file.src_uri
    made = page.file.generated_by is not None
    return markdown if made else relinked(markdown, f"docs/{path}", path)
