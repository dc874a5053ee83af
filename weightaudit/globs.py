"""Globs over names of tensors and classes of layers; ``*`` also matches ``/``, and capitals count."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase, translate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def matches(text: str, globs: Iterable[str]) -> bool:
    """Say whether one of the globs matches the whole text."""
    return any(fnmatchcase(text, glob) for glob in globs)


def any_of(globs: Sequence[str]) -> re.Pattern[str] | None:
    """Return a pattern that matches what one of the globs does, for many texts; None without globs."""
    return re.compile("|".join(f"(?:{translate(glob)})" for glob in globs)) if globs else None
