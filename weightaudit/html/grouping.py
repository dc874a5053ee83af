"""Findings in the order in which a person wants to read them: by rule, worst first, and by layer."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from weightaudit.html.guidance import Guidance, command, guidance
from weightaudit.render.summary import ordered

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from weightaudit.render.view import View
    from weightaudit.report import ModelReport, Skipped, Suppressed
    from weightaudit.rule import Finding
    from weightaudit.tensor import TensorInfo

MOST = 200
"""Findings of one rule that are written out; the table of tensors has all that are about one."""


@dataclass(frozen=True, slots=True)
class Place:
    """Findings about tensors of one layer, or about the model where there is no layer."""

    layer: str
    layer_class: str
    findings: Sequence[Finding]


@dataclass(frozen=True, slots=True)
class Group:
    """All findings of one rule in one model.

    Attributes:
        code: Code of the rule.
        name: Its name; empty if it is not known.
        severity: Severity of its worst finding.
        guidance: What its documentation says.
        command: How to go on; empty if no command helps.
        total: Findings.
        first: The first of the worst findings along the depth: what lies behind may follow from it.
        places: The findings by layer, up to `MOST`.
        left: Findings that are not in `places`.
    """

    code: str
    name: str
    severity: str
    guidance: Guidance
    command: str
    total: int
    first: Finding
    places: Sequence[Place]
    left: int


def groups(model: ModelReport, view: View) -> list[Group]:
    """Return the findings of a model that count, by rule, worst first."""
    by_code: dict[str, list[Finding]] = {}
    for finding in ordered(model.findings):
        by_code.setdefault(finding.code, []).append(finding)
    tensors = {info.name: (number, info) for number, info in enumerate(model.tensors)}
    return [_group(code, found, model.path, view, tensors) for code, found in by_code.items()]


def _group(
    code: str, found: Sequence[Finding], path: str, view: View, tensors: Mapping[str, tuple[int, TensorInfo]]
) -> Group:
    rule = view.rules.get(code)
    return Group(
        code,
        view.names.get(code, ""),
        found[0].severity.label,
        Guidance() if rule is None else guidance(rule),
        command(rule, path, found[0]),
        len(found),
        min(found, key=lambda one: (-one.severity, _depth(one, tensors))),
        _places(found[:MOST], tensors),
        max(0, len(found) - MOST),
    )


def _depth(finding: Finding, tensors: Mapping[str, tuple[int, TensorInfo]]) -> int:
    """Return the place of the tensor that a finding is about; -1 if it is about the model."""
    known = tensors.get(finding.tensor or "")
    return -1 if known is None else known[0]


def _places(found: Iterable[Finding], tensors: Mapping[str, tuple[int, TensorInfo]]) -> list[Place]:
    """Return findings by layer, in the order of the model."""

    def layer(finding: Finding) -> tuple[str, str]:
        known = tensors.get(finding.tensor or "")
        return ("", "") if known is None else (known[1].layer, known[1].layer_class)

    in_order = sorted(found, key=lambda one: (_depth(one, tensors), -one.severity))
    first: dict[tuple[str, str], list[Finding]] = {}
    for key, members in groupby(in_order, key=layer):
        first.setdefault(key, []).extend(members)
    return [Place(*key, members) for key, members in first.items()]


def skipped_by_reason(model: ModelReport) -> list[tuple[str, list[Skipped]]]:
    """Return what was not read or judged, by why: one missing shard may be the reason for a hundred."""
    found: dict[str, list[Skipped]] = {}
    for one in model.skipped:
        found.setdefault(one.reason, []).append(one)
    return list(found.items())


def suppressed_by_reason(model: ModelReport) -> list[tuple[str, str, list[Suppressed]]]:
    """Return what does not count, by where that was decided and why: ``(source, reason, suppressed)``."""
    found: dict[tuple[str, str], list[Suppressed]] = {}
    for one in model.suppressed:
        found.setdefault((one.source, one.reason), []).append(one)
    return [(*key, members) for key, members in found.items()]
