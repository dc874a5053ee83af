"""The page of a repair, or of its plan: what changes, by how much, and which findings there were and are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from weightaudit.html.listing import beginning, silent
from weightaudit.html.page import page
from weightaudit.html.portraits import portrayed
from weightaudit.html.tables import Budget, picture, short
from weightaudit.html.words import shown
from weightaudit.render.repair import conclusion, undo
from weightaudit.render.summary import count, ordered
from weightaudit.report import ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from weightaudit.change import Change, Figures
    from weightaudit.repair.run import Repaired
    from weightaudit.report import ModelReport
    from weightaudit.tensor import TensorInfo

_STATES = {ExitCode.PASSED: "passed", ExitCode.FINDINGS: "warning", ExitCode.INCOMPLETE: "incomplete"}


def repair_page(done: Repaired, names: Mapping[str, str], tell: Callable[[str], None] = silent) -> str:
    """Return the page of a plan, or of what was done; histograms are in it where they were measured.

    Args:
        done: The plan and what came of it.
        names: Names of the rules by code.
        tell: Is given a sentence, without its full stop, for what the page has no room for.
    """
    plan, budget = done.plan, Budget()
    excessive = {change.tensor for change in plan.excessive}
    infos = {info.name: info for info in plan.before.tensors}
    rows = [
        _row(change, infos.get(change.tensor), change.tensor in excessive)
        | _pictures(infos.get(change.tensor), done, budget)
        for change in beginning(sorted(plan.changes, key=lambda one: (-one.relative, one.tensor)), tell)
    ]
    left = plan.unmended if done.after is None else done.after.findings
    return page(
        "repair.html",
        {"kind": "repair", "tensors": rows},
        title=f"repair of {shown(plan.before.path)}",
        done=done,
        plan=plan,
        state=_STATES[done.exit_code],
        word=_word(done),
        sentence=conclusion(done),
        before=count(plan.before.findings),
        after=None if done.after is None else count(done.after.findings),
        left=ordered(left),
        undo=_undo(done),
        names=names,
        unlisted=len(plan.changes) - len(rows),
    )


def _undo(done: Repaired) -> str:
    """Return the command that puts the original back, where it was replaced."""
    text = undo(done) if done.in_place else ""
    # A path that is not shown as it is would be another one in a shell.
    return text if shown(text) == text else ""


def _word(done: Repaired) -> str:
    if not done.plan.changes:
        return "Nothing to change"
    if done.after is not None:
        return "Repaired"
    return "Refused" if done.plan.excessive else "Planned"


def _row(change: Change, info: TensorInfo | None, is_excessive: bool) -> dict[str, Any]:  # noqa: FBT001 - a fact of the row
    return {
        "name": shown(change.tensor),
        "role": info.role.value if info else "",
        "layer": shown(info.layer) if info else "",
        "projections": shown(", ".join(change.projections)),
        "rules": shown(", ".join(change.rules)),
        "elements": change.elements,
        "of": change.size,
        "relative": short(change.relative),
        "largest": short(change.largest),
        "before": _figures(change.before),
        "after": _figures(change.after),
        "excessive": is_excessive,
    }


def _figures(figures: Figures) -> list[Any]:
    return [
        short(figures.l2),
        short(figures.minimum),
        short(figures.maximum),
        figures.zeros,
        figures.nonfinite,
    ]


def _pictures(info: TensorInfo | None, done: Repaired, budget: Budget) -> dict[str, Any]:
    """Return the histograms before and after, if both were measured and there is room."""
    found = [_picture(info, report) for report in (done.plan.before, done.after)]
    if info is None or not all(found) or not budget.takes(sum(len(str(each)) for each in found)):
        return {}
    return {"pictures": found}


def _picture(info: TensorInfo | None, report: ModelReport | None) -> list[Any]:
    one = None if info is None else portrayed(info, report)
    return [] if one is None else picture(one)
