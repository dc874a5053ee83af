"""What installed packages offer as plugins, without the import of ``importlib.metadata``.

That module brings a parser of e-mail, and its import takes 11 ms, a twentieth of a small audit. The
files that it reads are a few lines of text each, so they are read here; where packages may lie
elsewhere than in plain directories, it is asked all the same.
"""

from __future__ import annotations

import os
import re
import sys
from contextlib import suppress
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SUFFIXES = (".dist-info", ".egg-info")


def entry_points(*, group: str) -> frozenset[str]:
    """Return the values of the entry points of a group, such as names of modules.

    They are those of ``importlib.metadata.entry_points``: of two packages of one name, the one that
    comes first on ``sys.path`` counts.

    Args:
        group: Name of the group, as in ``[project.entry-points."weightaudit.rules"]``.
    """
    if not _is_plain():
        from importlib import metadata

        return frozenset(point.value for point in metadata.entry_points(group=group))
    return frozenset(value for text in _texts() if group in text for value in _values(text, group))


def _is_plain() -> bool:
    """Say whether packages can only lie in directories: no zip files, no eggs, no finders of others."""
    finders = (finder for finder in sys.meta_path if hasattr(finder, "find_distributions"))
    return all(finder is PathFinder for finder in finders) and not any(map(_is_odd, sys.path))


def _is_odd(place: object) -> bool:
    """Say whether a place on ``sys.path`` is something else than a plain directory, or no text at all."""
    return not isinstance(place, str) or place.lower().endswith(".egg") or os.path.isfile(place)  # noqa: PTH113 - speed


def _texts() -> Iterator[str]:
    """Yield the list of entry points of every package that has one."""
    seen: set[str] = set()
    for place in sys.path:
        children: list[str] = []
        with suppress(OSError):
            children = os.listdir(place or ".")  # noqa: PTH208 - speed
        for child in children:
            low = child.lower()
            if not low.endswith(_SUFFIXES):
                continue
            name = re.sub("[-_.]+", "_", low.rpartition(".")[0].partition("-")[0])
            if name not in seen:
                seen.add(name)
                with suppress(OSError), open(f"{place or '.'}/{child}/entry_points.txt", "rb") as file:  # noqa: PTH123 - speed
                    yield file.read().decode("utf-8", "replace")


def _values(text: str, group: str) -> Iterator[str]:
    section = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            section = line.strip("[]")
        elif line and not line.startswith("#") and section == group:
            yield line.partition("=")[2].strip()


__all__ = ["entry_points"]
