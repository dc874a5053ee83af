"""The page of a comparison: what differs between two models, where along the depth, and by how much."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, inf, isnan, log10
from typing import TYPE_CHECKING, Any

from weightaudit.comparison.result import Match, Status
from weightaudit.html.listing import beginning, silent
from weightaudit.html.page import page
from weightaudit.html.tables import short
from weightaudit.html.words import decade, shape, shown
from weightaudit.render.diff_text import VERDICTS, remarks, tensor_name, type_text, verdict
from weightaudit.render.diff_text import shown as in_order
from weightaudit.report import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from weightaudit.comparison.result import Comparison, Difference, TensorComparison

HEIGHT = 170
_TOP = 14
_LEAST, _LARGEST = -8.0, 1.0
"""Powers of ten of the relative changes that are drawn; what is beyond is drawn at the edge."""
_MOST = 400
_ALONE = (Status.UNREAD, Status.RESHAPED, Status.REMOVED, Status.ADDED)
_STATES = {
    ExitCode.PASSED: "passed",
    ExitCode.FINDINGS: "different",
    ExitCode.INCOMPLETE: "incomplete",
}


@dataclass(frozen=True, slots=True)
class Depth:
    """Relative changes along the depth, in units of a column and of pixels.

    Attributes:
        width: Columns: tensors, or a few that follow each other.
        changes: Bars, by logarithm.
        marks: Columns in which a tensor is new, gone, of another shape or unread.
        ticks: Heights and labels of powers of ten.
    """

    width: int
    changes: str
    marks: str
    ticks: Sequence[tuple[float, str]]


def comparison_page(comparison: Comparison, tell: Callable[[str], None] = silent) -> str:
    """Return the page of a comparison.

    Args:
        comparison: What was found.
        tell: Is given a sentence, without its full stop, for what the page has no room for.
    """
    rows = beginning(in_order(comparison, verbose=True, quiet=False), tell)
    return page(
        "diff.html",
        {"kind": "diff", "tensors": [_row(one) for one in rows]},
        title=f"{VERDICTS[comparison.exit_code]}: {shown(comparison.first)} and {shown(comparison.second)}",
        comparison=comparison,
        state=_STATES[comparison.exit_code],
        word=VERDICTS[comparison.exit_code].capitalize(),
        sentence=verdict(comparison).partition(": ")[2],
        counts={status.value: comparison.count(status) for status in Status},
        remarks=[*remarks(comparison, quiet=False)],
        depth=_depth(comparison),
        height=HEIGHT,
        unlisted=len(comparison.tensors) - len(rows),
    )


def _depth(comparison: Comparison) -> Depth | None:
    tensors = comparison.tensors
    if not tensors:
        return None
    step = ceil(len(tensors) / _MOST)
    parts = [tensors[start : start + step] for start in range(0, len(tensors), step)]
    heights = [max(map(_height, part)) for part in parts]
    return Depth(
        len(parts),
        "".join(f"M{x + 0.12:g} {HEIGHT}h.76v{-tall:g}h-.76z" for x, tall in enumerate(heights) if tall),
        "".join(
            f"M{x + 0.5:g} 7h0" for x, part in enumerate(parts) if any(one.status in _ALONE for one in part)
        ),
        [(HEIGHT - _pixels(power), decade(power)) for power in range(-6, 1, 2)],
    )


def _height(one: TensorComparison) -> float:
    """Return how high the bar of a tensor is: nothing where no number changed."""
    if one.difference is None or not one.difference.elements:
        return 0.0
    relative = one.difference.relative
    if isnan(relative) or relative == inf:
        return _pixels(_LARGEST)
    return max(2.0, _pixels(log10(relative))) if relative else 2.0


def _pixels(power: float) -> float:
    share = (min(max(power, _LEAST), _LARGEST) - _LEAST) / (_LARGEST - _LEAST)
    return round(share * (HEIGHT - _TOP), 1)


def _row(one: TensorComparison) -> dict[str, Any]:
    sides = [info for info in (one.first, one.second) if info is not None]
    row: dict[str, Any] = {
        "name": tensor_name(one),
        "status": one.status.value + (" within tolerance" if one.within else ""),
        "role": sides[0].role.value if sides else "",
        "layer": shown(sides[0].layer) if sides else "",
        "shape": _both([shape(info.shape) for info in sides]),
        "type": _both([type_text(info) for info in sides]),
        "size": sides[0].size if sides else 0,
    }
    if one.match not in {Match.NAME, None}:
        row["paired"] = one.match.value if one.match else ""
    if one.reason:
        row["reason"] = shown(one.reason)
    return row if one.difference is None else row | _figures(one.difference)


def _both(texts: Sequence[str]) -> str:
    return " \N{RIGHTWARDS ARROW} ".join(dict.fromkeys(texts))


def _figures(found: Difference) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "relative": short(found.relative),
        "largest": short(found.largest),
        "elements": found.elements,
        "of": found.size,
        "flips": found.sign_flips,
        "zeros": [found.zeros_before, found.zeros_after],
        "nonfinite": [found.nonfinite_before, found.nonfinite_after],
        "cosine": None if isnan(found.cosine) else round(found.cosine, 9),
        "norms": [short(found.norm_before), short(found.norm_after)],
    }
    if found.place is not None and found.before is not None and found.after is not None:
        figures["at"] = ", ".join(map(str, found.place))
        figures["values"] = [short(found.before), short(found.after)]
    return figures
