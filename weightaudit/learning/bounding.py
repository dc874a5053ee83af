"""From what was seen to bounds: per role, and per tensor where several models agree."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import TYPE_CHECKING

from weightaudit.learning.observing import joined
from weightaudit.numerals import numeral
from weightaudit.tensor import Role

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from weightaudit.learning.observing import Seen, Span, Spans
    from weightaudit.tensor import TensorInfo

PRUNED = 0.1
"""Share of zeros from which on a tensor counts as pruned, as in WA604."""

AGREEMENT = 2.0
"""Largest factor between the norms of a tensor in models that agree on it."""

GROWING = frozenset({Role.BIAS, Role.NORM_OFFSET, Role.MOVING_MEAN})
"""Roles that start at zero, so that nothing but the length of a training gives them a size."""

GROWTH = 4.0
"""How many times the slack counts for them."""

_DIGITS = 4
_LEAST_PRUNED = 64
"""Elements that a pruned tensor has at least: in a small one, a few zeros are a large share."""

_ROUNDING = 1e-9
"""Relative slack for two ways of adding up the same squares."""


@dataclass(frozen=True, slots=True)
class Bound:
    """One option of a rule: its key in a policy, its value, and what was measured, in words."""

    option: str
    value: float
    measured: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """Bounds for one rule.

    Attributes:
        rule: Name of the rule.
        bounds: Its options.
        selects: Whether the rule has to be told the role, as it judges kernels and embeddings otherwise.
    """

    rule: str
    bounds: tuple[Bound, ...]
    selects: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """One override of the policy.

    Attributes:
        role: Role of the tensors that it is about.
        tensor: Name of the only tensor that it is about; None for all of the role.
        remark: What it is about, in words.
        settings: Its rules.
    """

    role: Role
    tensor: str | None
    remark: str
    settings: tuple[Setting, ...]


@dataclass(frozen=True, slots=True)
class Slack:
    """How much wider than what was measured a bound is.

    Attributes:
        share: An upper bound is the measured value times 1 + share, a lower one divided by it; values
            get that share of the largest magnitude on either side.
    """

    share: float

    def of_role(self, role: Role) -> Slack:
        """Return the slack for tensors of a role: `GROWTH` times as wide for those that start at zero."""
        return Slack(self.share * GROWTH) if role in GROWING else self

    def above(self, value: float) -> float:
        """Return the upper bound for a measured value of at least 0."""
        return outward(value * (1 + self.share) * (1 + _ROUNDING), up=True)

    def below(self, value: float) -> float:
        """Return the lower bound for a measured value of at least 0."""
        return outward(value / (1 + self.share) / (1 + _ROUNDING), up=False)

    def around(self, span: Span) -> tuple[float, float]:
        """Return the bounds for values of either sign."""
        room = self.share * max(abs(span.low), abs(span.high))
        return outward(span.low - room, up=False), outward(span.high + room, up=True)


def role_sections(seen: Sequence[Seen], slack: Slack) -> Iterator[Section]:
    """Yield the bounds that all tensors of a role keep, in the order of the roles.

    Tensors of unknown role have nothing in common, and get none.
    """
    for role in Role:
        members = [one for one in seen if one.info.role is role]
        if not members or role is Role.UNKNOWN:
            continue
        spans = joined(one.spans for one in members)
        names = len({one.info.name for one in members})
        values = _values(spans, slack.of_role(role), role)
        settings = [values, *_gains(spans, slack), *_dead(spans, slack)]
        if all(_is_pruned(one.info, one.spans) for one in members):
            settings.append(_sparsity(spans, slack))
        yield Section(role, None, f"{names} {'tensor' if names == 1 else 'tensors'}", tuple(settings))


def tensor_sections(seen: Sequence[Seen], slack: Slack) -> Iterator[Section]:
    """Yield the bounds of single tensors: all of them where models agree, else those of pruned ones.

    Models agree on a tensor that has the same shape and role in at least two of them, and norms that
    differ by at most `AGREEMENT`. Where a name means different tensors in different models, or is not
    Unicode, it gets no bounds of its own.
    """
    groups: dict[str, list[Seen]] = {}
    for one in seen:
        groups.setdefault(one.info.name, []).append(one)
    for name, members in groups.items():
        settings = _of_tensor(members, slack)
        if settings and _is_unicode(name) and len({(one.info.shape, one.info.role) for one in members}) == 1:
            models = f"in {len(members)} {'model' if len(members) == 1 else 'models'}"
            yield Section(members[0].info.role, name, models, tuple(settings))


def _of_tensor(members: Sequence[Seen], slack: Slack) -> list[Setting]:
    spans = joined(one.spans for one in members)
    pruned = all(_is_pruned(one.info, one.spans) for one in members)
    settings = [_sparsity(spans, slack)] if pruned else []
    if len(members) > 1 and 0 < spans.norm.high <= AGREEMENT * spans.norm.low:
        role = members[0].info.role
        own = slack.of_role(role)
        bounds = [_norms(spans, own), _values(spans, own, role)]
        settings = [*bounds, *_gains(spans, slack), *_dead(spans, slack), *settings]
    return settings


def _is_unicode(name: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def outward(value: float, *, up: bool) -> float:
    """Return the next number of four digits upward, or downward."""
    rounding = ROUND_CEILING if up else ROUND_FLOOR
    return float(Context(prec=_DIGITS, rounding=rounding).plus(Decimal(value)))


def _is_pruned(info: TensorInfo, spans: Spans) -> bool:
    zeros = spans.zeros
    return zeros.is_known and info.size >= _LEAST_PRUNED and zeros.low >= PRUNED and zeros.high < 1


def _values(spans: Spans, slack: Slack, role: Role) -> Setting:
    low, high = slack.around(spans.values)
    if role is Role.MOVING_VARIANCE:
        low = max(low, min(0.0, spans.values.low))
    measured = spans.values
    bounds = (
        Bound("min", low, f"measured down to {numeral(measured.low, 4)}"),
        Bound("max", high, f"measured up to {numeral(measured.high, 4)}"),
    )
    return Setting("value-bound", bounds, selects=True)


def _norms(spans: Spans, slack: Slack) -> Setting:
    low, high = spans.norm.low, spans.norm.high
    bounds = (
        Bound("min", slack.below(low), f"measured norms {numeral(low, 4)}"),
        Bound("max", slack.above(high), f"to {numeral(high, 4)}"),
    )
    return Setting("min-max-norm", bounds, selects=True)


def _gains(spans: Spans, slack: Slack) -> Iterator[Setting]:
    if not spans.gain.is_known:
        return
    rules: tuple[tuple[str, float, Callable[[float], float]], ...] = (
        ("exploding-scale", spans.gain.high, slack.above),
        ("vanishing-scale", spans.gain.low, slack.below),
    )
    for rule, gain, widened in rules:
        side = "up to" if rule == "exploding-scale" else "down to"
        said = Bound("warning", widened(gain), f"measured gains {side} {numeral(gain, 4)}")
        yield Setting(rule, (said, Bound("error", widened(gain))))


def _dead(spans: Spans, slack: Slack) -> Iterator[Setting]:
    if spans.dead.high > 0:
        share = min(1.0, slack.above(spans.dead.high))
        said = f"measured up to {spans.dead.high:.2%} of the channels"
        yield Setting("dead-channels", (Bound("allowed", share, said),))


def _sparsity(spans: Spans, slack: Slack) -> Setting:
    said = f"measured shares of zeros down to {numeral(spans.zeros.low, 4)}"
    return Setting("sparsity", (Bound("min", slack.below(spans.zeros.low), said),), selects=True)
