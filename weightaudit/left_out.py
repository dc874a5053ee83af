"""What a search met and did not take for a model, in few words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from weightaudit.report import LeftOut

_REASONS, _NAMES = 8, 3
"""How many reasons for leaving files out are told, and how many files of each are named."""


def grouped(left_out: Sequence[LeftOut]) -> list[tuple[str, str]]:
    """Return names and why they were left out, rare reasons first, bounded in number and length."""
    names: dict[str, list[str]] = {}
    for one in left_out:
        names.setdefault(one.reason, []).append(one.path)
    reasons = sorted(names, key=lambda reason: (len(names[reason]), reason))
    told = [(_few(names[reason]), reason) for reason in reasons[:_REASONS]]
    rest = sum(len(names[reason]) for reason in reasons[_REASONS:])
    return [*told, (f"{rest} more", "for further reasons")] if rest else told


def _few(names: Sequence[str]) -> str:
    shown = sorted(names)[:_NAMES]
    rest = len(names) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")
