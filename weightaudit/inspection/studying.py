"""Single tensors in depth: what they are among their like, and what the rules say of them."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

from weightaudit.auditor import audit_checkpoint
from weightaudit.inspection.looking import Inspection, Sight, look
from weightaudit.portrait import Detail
from weightaudit.statistics import Moments

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from weightaudit.auditor import Means
    from weightaudit.checkpoint import Checkpoint
    from weightaudit.registry import RuleSet
    from weightaudit.report import ModelReport
    from weightaudit.rule import Finding, Rule
    from weightaudit.statistics import Stats
    from weightaudit.tensor import TensorInfo


@dataclass(frozen=True, slots=True)
class Peers:
    """The other tensors of the same role in layers of the same class.

    Attributes:
        scales: Root mean square of each that has a finite one, ascending.
        larger: How many of them are above the tensor's own.
    """

    scales: tuple[float, ...]
    larger: int

    @property
    def median(self) -> float:
        """Median of the scales, the lower one of two; there must be some."""
        return self.scales[(len(self.scales) - 1) // 2]


@dataclass(frozen=True, slots=True)
class Study:
    """One tensor in depth.

    Attributes:
        sight: What it is and what was measured.
        peers: Its place among its like; None if it is alone, or has no scale.
        judges: The rules that judge it, sorted by code.
        findings: What they say of it, worst first.
        remarks: What kept a rule from judging it.
    """

    sight: Sight
    peers: Peers | None
    judges: Sequence[Rule]
    findings: Sequence[Finding]
    remarks: Sequence[str] = ()


def study(
    checkpoint: Checkpoint,
    label: str,
    infos: Sequence[TensorInfo],
    rules: RuleSet,
    means: Means,
) -> tuple[Inspection, tuple[Study, ...]]:
    """Look at tensors in depth. The whole model is audited, since some rules compare tensors.

    Args:
        checkpoint: The model.
        label: Its name for the user.
        infos: Tensors of it.
        rules: Rules in force.
        means: How it is done.

    Returns:
        What `look` gives, and more of each of its tensors.

    Raises:
        ReadError: A file was written to meanwhile.
        RuleError: A rule crashed when it was asked what it needs.
        UsageError: TensorFlow is asked for, and not installed.
    """
    report = audit_checkpoint(checkpoint, label, rules, means, detail=Detail.FIGURES)
    seen = look(checkpoint, label, infos, Detail.PICTURES.statistics, means)
    return seen, tuple(_study(sight, report, rules) for sight in seen.sights)


def _study(sight: Sight, report: ModelReport, rules: RuleSet) -> Study:
    name = sight.info.name
    return Study(
        sight,
        _peers(sight, report),
        tuple(_judges(sight.info, rules)) if sight.info.is_numeric else (),
        tuple(one for one in report.findings if one.tensor == name),
        tuple(one.reason for one in report.skipped if one.tensor == name and one.reason != sight.failure),
    )


def _judges(info: TensorInfo, rules: RuleSet) -> Iterator[Rule]:
    for one in rules.judges_for(info):
        try:
            if one.rule.applies(info):
                yield one.rule
        except Exception:  # noqa: BLE001, S112 - a plugin may raise anything; the audit has said so
            continue


def _peers(sight: Sight, report: ModelReport) -> Peers | None:
    info, shown = sight.info, sight.portrait
    if shown is None or not isfinite(shown.rms):
        return None
    alike = (
        one
        for one in report.tensors
        if one.name != info.name and (one.role, one.layer_class) == (info.role, info.layer_class)
    )
    scales = sorted(scale for one in alike if (scale := _scale(report.stats.get(one.name))) is not None)
    return Peers(tuple(scales), sum(scale > shown.rms for scale in scales)) if scales else None


def _scale(stats: Stats | None) -> float | None:
    rms = None if stats is None else stats[Moments()].rms
    return rms if rms is not None and isfinite(rms) else None
