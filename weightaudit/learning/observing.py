"""What was seen of tensors in good models: ranges of a few figures, over models and over tensors."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite, sqrt
from typing import TYPE_CHECKING

from weightaudit.statistics import Extremes, Moments, Zeros
from weightaudit.tensor import MATRIX_ROLES, Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from weightaudit.report import ModelReport
    from weightaudit.statistics import Stats
    from weightaudit.tensor import TensorInfo

GAIN_ROLES = frozenset({Role.KERNEL, Role.RECURRENT_KERNEL})
"""Roles whose gain WA201 and WA202 take from the fan-in."""

_LEAST_SIZE = 16
"""Elements from which on those rules judge a gain."""

_DEAD = "WA402"


@dataclass(frozen=True, slots=True)
class Span:
    """The smallest and the largest of some figures; by default of none."""

    low: float = inf
    high: float = -inf

    @property
    def is_known(self) -> bool:
        """Whether it is of any figure."""
        return self.low <= self.high

    def joined(self, other: Span) -> Span:
        """Return the span of the figures of both."""
        return Span(min(self.low, other.low), max(self.high, other.high))


@dataclass(frozen=True, slots=True)
class Spans:
    """What was seen of one tensor or more.

    Attributes:
        values: Finite values.
        norm: Euclidean norms of whole tensors.
        gain: sqrt(fan_in) * rms of kernels whose fan-in is known.
        zeros: Shares of zeros in kernels and embeddings, 0 to 1.
        dead: Shares of output channels that are dead, 0 to 1.
        count: How many tensors, each counted in every model.
    """

    values: Span
    norm: Span
    gain: Span
    zeros: Span
    dead: Span
    count: int = 1

    def joined(self, other: Spans) -> Spans:
        """Return what was seen of both."""
        return Spans(
            self.values.joined(other.values),
            self.norm.joined(other.norm),
            self.gain.joined(other.gain),
            self.zeros.joined(other.zeros),
            self.dead.joined(other.dead),
            self.count + other.count,
        )


@dataclass(frozen=True, slots=True)
class Seen:
    """One weight in one model."""

    info: TensorInfo
    spans: Spans


def observed(report: ModelReport) -> Iterator[Seen]:
    """Yield the weights of a model that was audited with the statistics of every tensor.

    Bookkeeping, quantization scales, tensors without numbers and empty ones are left out.
    """
    dead = {
        finding.tensor: float(finding.values["dead"] or 0) / float(finding.values["channels"] or 1)
        for finding in report.findings
        if finding.code == _DEAD
    }
    for info in report.tensors:
        stats = report.stats.get(info.name)
        if stats is None or not (info.is_floating and stats[Moments()].count):
            continue
        if not (info.is_bookkeeping or info.role is Role.QUANTIZATION):
            yield Seen(info, _spans(info, stats, dead.get(info.name, 0.0)))


def joined(spans: Iterable[Spans]) -> Spans:
    """Return what was seen of all; there is at least one."""
    first, *others = spans
    for one in others:
        first = first.joined(one)
    return first


def _spans(info: TensorInfo, stats: Stats, dead: float) -> Spans:
    extremes, moments = stats[Extremes()], stats[Moments()]
    has_gain = info.role in GAIN_ROLES and info.fan_in and moments.count >= _LEAST_SIZE
    gain = sqrt(info.fan_in or 0) * moments.rms if has_gain else 0.0
    share = stats[Zeros()] / moments.count if info.role in MATRIX_ROLES else None
    return Spans(
        values=Span(extremes.minimum, extremes.maximum),
        norm=_point(moments.l2),
        # A kernel of zeros has no gain, and is another rule's business.
        gain=_point(gain or None),
        zeros=_point(share),
        dead=_point(dead),
    )


def _point(value: float | None) -> Span:
    return Span() if value is None or not isfinite(value) else Span(value, value)
