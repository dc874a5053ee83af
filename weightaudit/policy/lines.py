"""On which lines of a TOML file its keys and tables stand; Python's reader of TOML does not tell.

This is no second reader: the file was parsed before, and where a line is laid out in a way that this
does not know, only the line's number is missing.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PART = r"""(?:"(?:[^"\\]|\\.)*"|'[^']*'|[\w-]+)"""
_DOTTED = rf"{_PART}(?:\s*\.\s*{_PART})*"
_HEADER = re.compile(rf"\s*(\[\[?)\s*({_DOTTED})\s*\]\]?\s*(?:#.*)?")
_KEY = re.compile(rf"\s*({_DOTTED})\s*=")
_PARTS = re.compile(_PART)

Place = tuple[str, ...]
"""Names of tables and the key, with underscores for hyphens; entries of lists of tables by number."""


def lines_of(text: str, root: Place = ()) -> dict[Place, int]:
    """Return the line of every key and table, counted from 1; a dotted key begins the tables that it names.

    Args:
        text: The file.
        root: The table that places begin in, such as ``("tool", "weightaudit")``.
    """
    found: dict[Place, int] = {}
    table: Place = ()
    lists: Counter[Place] = Counter()
    for number, line in _plain_lines(text):
        header, key = _HEADER.fullmatch(line), _KEY.match(line)
        if header:
            names = _names(header[2])
            if header[1] == "[[":
                lists[names] += 1
            table = _numbered(names, lists)
            found.setdefault(table, number)
        elif key:
            names = _names(key[1])
            for depth in range(1, len(names) + 1):
                found.setdefault((*table, *names[:depth]), number)
    depth = len(root)
    return {place[depth:]: number for place, number in found.items() if place[:depth] == root}


def _plain_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield lines with their numbers, but for those inside of strings that go over several."""
    inside = False
    for number, line in enumerate(text.split("\n"), 1):
        if not inside:
            yield number, line
        inside ^= (line.count('"""') + line.count("'''")) % 2 == 1


def _names(dotted: str) -> Place:
    return tuple(part.strip("\"'").replace("-", "_") for part in _PARTS.findall(dotted))


def _numbered(names: Place, lists: Counter[Place]) -> Place:
    """Insert which entry is meant behind the name of every list of tables."""
    table: list[str] = []
    for depth, name in enumerate(names, 1):
        table.append(name)
        if lists[names[:depth]]:
            table.append(str(lists[names[:depth]] - 1))
    return tuple(table)
