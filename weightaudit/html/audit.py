"""The page of an audit: the verdict, each model along its depth, what is wrong with it, and every tensor."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from weightaudit.html import drawing
from weightaudit.html.depth import columns
from weightaudit.html.grouping import groups, skipped_by_reason, suppressed_by_reason
from weightaudit.html.listing import ROWS, listed, narrowed
from weightaudit.html.page import page
from weightaudit.html.portraits import portraits
from weightaudit.html.tables import Budget, model_data
from weightaudit.html.words import number, percent, shown
from weightaudit.left_out import grouped
from weightaudit.render.summary import VERDICTS, count, coverage, obstacle, plural, size, verdict
from weightaudit.report import ExitCode
from weightaudit.rule import Severity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from weightaudit.html.depth import Column
    from weightaudit.html.drawing import Picture
    from weightaudit.html.grouping import Group
    from weightaudit.portrait import Portrait
    from weightaudit.render.view import View
    from weightaudit.report import ModelReport, Report, Skipped, Suppressed

_FAILS = {
    None: "No finding fails this audit",
    Severity.ERROR: "Errors fail this audit",
    Severity.WARNING: "Errors and warnings fail this audit",
    Severity.NOTE: "Every finding fails this audit",
}
BRIEFS = 4
"""Rules that the first screen tells in full, with where and what to do; of the others it has the names."""
_STRIP = 10
"""Width of a power of two in the small picture of one layer."""


@dataclass(frozen=True, slots=True)
class Section:
    """One model of the page.

    Attributes:
        id: Beginning of the names of its parts.
        model: Its report.
        state: ``passed``, ``failed`` or ``incomplete``, as the report as a whole would be with it alone.
        counts: Findings by severity.
        coverage: How much was measured, as a sentence.
        obstacle: Why nothing was, or nothing.
        groups: Findings by rule.
        skipped: What was not read or judged, by reason.
        suppressed: Findings that do not count, by source and reason.
        columns: Layers along the depth.
        sentences: What there is to say of each column.
        picture: All of them; None without any.
        layers: Layers that the columns stand for.
        left_out: Tensors that are bookkeeping and not in the picture.
        missing: Tensors whose histograms are left out for want of room.
        unlisted: Tensors that have no row in the table for want of room.
        places: Rows of the others by name.
    """

    id: str
    model: ModelReport
    state: str
    counts: dict[str, int]
    coverage: str
    obstacle: str | None
    groups: Sequence[Group]
    skipped: Sequence[tuple[str, Sequence[Skipped]]]
    suppressed: Sequence[tuple[str, str, Sequence[Suppressed]]]
    columns: Sequence[Column]
    sentences: Sequence[str]
    picture: Picture | None
    layers: int
    left_out: int
    missing: int
    unlisted: int
    places: Mapping[str, int]


def audit_page(report: Report, view: View) -> str:
    """Return the page of an audit that was measured with `Detail.PICTURES`."""
    budget, room = Budget(), ROWS
    data: list[dict[str, Any]] = []
    sections: list[Section] = []
    for index, model in enumerate(report.models):
        seen, kept = portraits(model), listed(model, room)
        room -= len(kept)
        rows = {place: row for row, place in enumerate(kept)}
        pictured = {row: seen[place] for place, row in rows.items() if place in seen}
        known = model_data(narrowed(model, kept), pictured, budget, view.rule_set)
        section = _section(model, seen, rows, report, view, name=f"m{index}", missing=known["missing"])
        data.append(known | {"columns": _told(section)})
        sections.append(section)
    totals = _totals(report)
    _tell_rows(sections, totals["tensors"], view)
    return page(
        "audit.html",
        {"kind": "audit", "models": data, "names": view.names},
        title=f"{VERDICTS[report.exit_code]}: {_title(report)}",
        report=report,
        state=VERDICTS[report.exit_code],
        sentence=_outcome(report),
        fails=_FAILS[report.fail_on],
        counts=count(report.findings),
        totals=totals,
        sections=sections,
        overview=sorted(sections, key=_urgency),
        BRIEFS=BRIEFS,
        left_out=grouped(report.left_out),
        drawing=drawing,
        strip=_strip,
        rules=len(view.active),
        names=view.names,
    )


def _told(section: Section) -> list[Any]:
    """Return what scripts tell of each column: its name, what it shows, and the places of its tensors."""
    both = zip(section.columns, section.sentences, strict=True)
    return [[shown(one.label), sentence, list(one.tensors)] for one, sentence in both]


def _outcome(report: Report) -> str:
    """Return what led to the verdict, as a sentence."""
    if report.ok:
        return "Every tensor was audited, and nothing that was found fails this audit."
    # What the verdict says besides is written out below it.
    reason = verdict(report).partition(": ")[2].partition(";")[0]
    return f"{reason[:1].upper()}{reason[1:]}."


def _title(report: Report) -> str:
    return shown(report.models[0].path) if len(report.models) == 1 else f"{len(report.models)} models"


def _totals(report: Report) -> dict[str, Any]:
    covered = [model.coverage for model in report.models]
    return {
        "audited": sum(one.audited for one in covered),
        "tensors": sum(one.tensors for one in covered),
        "opaque": sum(one.opaque for one in covered),
        "skipped": sum(len(model.skipped) for model in report.models),
        "size": size(sum(one.nbytes for one in covered)),
        "suppressed": sum(len(model.suppressed) for model in report.models),
    }


def _tell_rows(sections: Sequence[Section], tensors: int, view: View) -> None:
    """Tell the reader of the command's output what only a reader of the page would notice."""
    if missing := sum(one.unlisted for one in sections):
        those = f"{tensors - missing} of {tensors} tensors, the worst and the largest"
        view.tell(f"the page lists {those}; csv and json have all")


def _section(
    model: ModelReport,
    seen: Mapping[int, Portrait],
    rows: Mapping[int, int],
    report: Report,
    view: View,
    *,
    name: str,
    missing: int,
) -> Section:
    found = columns(model, seen)
    drawn = sum(len(one.tensors) for one in found)
    found = [replace(one, tensors=[rows[at] for at in one.tensors if at in rows]) for one in found]
    return Section(
        name,
        model,
        _state(model, report),
        count(model.findings),
        coverage(model),
        obstacle(model),
        groups(model, view),
        skipped_by_reason(model),
        suppressed_by_reason(model),
        found,
        [_sentence(one) for one in found],
        drawing.draw(found) if found else None,
        sum(one.layers for one in found),
        sum(info.name in model.stats for info in model.tensors) - drawn,
        missing,
        len(model.tensors) - len(rows),
        {model.tensors[place].name: row for place, row in rows.items()},
    )


def _state(model: ModelReport, report: Report) -> str:
    if not model.is_complete:
        return VERDICTS[ExitCode.INCOMPLETE]
    fails = report.fail_on is not None and model.worst is not None and model.worst >= report.fail_on
    return VERDICTS[ExitCode.FINDINGS if fails else ExitCode.PASSED]


def _urgency(one: Section) -> tuple[int, ...]:
    """Return what puts models that did not pass first, and those with more findings before others."""
    order = (VERDICTS[code] for code in (ExitCode.INCOMPLETE, ExitCode.FINDINGS, ExitCode.PASSED))
    return [*order].index(one.state), *(-number for number in one.counts.values())


def _sentence(one: Column) -> str:
    """Return what a column shows, in words."""
    facts = [one.layer_class] if one.layer_class else []
    if one.quantiles:
        least, low, middle, high, largest = (number(2.0**value) for value in one.quantiles)
        facts.append(f"weights {least} to {largest}, nine in ten {low} to {high}, median {middle}")
    if one.sparsity is not None:
        facts.append(f"zeros {percent(one.sparsity)}")
    if one.lossy is not None:
        facts.append(f"float16 loses digits of {percent(one.lossy)}")
    if one.overflow:
        facts.append(f"{one.overflow} overflow in float16")
    if one.nonfinite:
        facts.append(f"{one.nonfinite} NaN or infinite")
    facts += [plural(findings, label) for label, findings in sorted(one.severities.items())]
    return shown("; ".join(facts))


def _strip(one: Column) -> dict[str, float] | None:
    """Return where the small picture of a layer has its marks, from left to right."""
    if one.quantiles is None:
        return None

    def x(power: float) -> float:
        return round((min(max(power, -27.0), 18.0) + 27.0) * _STRIP, 1)

    least, low, middle, high, largest = map(x, one.quantiles)
    return {"least": least, "low": low, "middle": middle, "high": high, "largest": largest}
