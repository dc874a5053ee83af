"""One tensor in depth: the facts that every view tells, each a title and a sentence."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from weightaudit.dtypes import components
from weightaudit.inspection.picture import count_below, quantiles
from weightaudit.render.escape import MESSAGE_LIMIT, printable
from weightaudit.render.inspect_words import (
    bad_text,
    declared_text,
    number,
    percent,
    plural_of,
    role_text,
    shape_text,
)
from weightaudit.render.summary import plural, size
from weightaudit.statistics import NonFinite

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from weightaudit.inspection.looking import Sight
    from weightaudit.inspection.studying import Peers, Study
    from weightaudit.portrait import Portrait
    from weightaudit.tensor import TensorInfo

SHARES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
"""Quantiles that are told."""

MANY = 20
"""Numbers from which on quantiles are told."""

FEW = 5
"""Channels of a kind that are named."""

_EVIDENCE = {
    "config": "as the model's configuration says",
    "name": "as its name says",
    "guess": "which is a guess",
    "unknown": "nothing tells more",
}


class Format(NamedTuple):
    """A narrower type: exponents of its smallest normal and subnormal number, and its largest number."""

    name: str
    normal: int
    smallest: int
    largest: float


FORMATS = (Format("float16", -14, -24, 65504.0), Format("bfloat16", -126, -133, 2.0**128 - 2.0**119))


class Fact(NamedTuple):
    """One line about a tensor.

    Attributes:
        title: What it is about.
        text: What there is to say.
        is_bad: Whether it tells of values that are not finite.
    """

    title: str
    text: str
    is_bad: bool = False


def identity_facts(info: TensorInfo) -> Iterator[Fact]:
    """Yield what a tensor is, and how that is known."""
    owner = f" of {printable(info.layer)}" if info.layer else ""
    owner += f", {_article(info.layer_class)} {printable(info.layer_class)}" if info.layer_class else ""
    yield Fact("is", f"{role_text(info)}{owner}, {_EVIDENCE[info.evidence.value]}")
    if info.key != info.name:
        yield Fact("stored as", printable(info.key))
    trained = {True: ", trainable", False: ", not trainable", None: ""}[info.trainable]
    held = f"{plural_of(info.size, 'number')}, {size(info.nbytes)}"
    if not info.is_numeric:
        held = f"{plural_of(info.size, 'value')}, no numbers"
    yield Fact("shape", f"{shape_text(info)} {printable(info.dtype)}, {held}{trained}")
    if info.fan_in is not None or info.fan_out is not None:
        yield Fact("fans", f"{_count(info.fan_in)} in, {_count(info.fan_out)} out")
    for title in ("initializer", "regularizer", "constraint"):
        declared = getattr(info, title)
        if declared is not None:
            yield Fact(title, declared_text(declared))
    if info.policy:
        yield Fact("computes in", printable(info.policy))
    if info.quantization is not None:
        yield Fact("quantized", f"{info.quantization.mode}, by {printable(info.quantization.scale)}")


def figure_facts(sight: Sight) -> Iterator[Fact]:
    """Yield what was measured of a tensor as a whole."""
    shown = sight.portrait
    if shown is None:
        if sight.failure:
            yield Fact("not read", printable(sight.failure, MESSAGE_LIMIT), is_bad=True)
        return
    bad = bad_text(shown)
    if bad:
        yield Fact("not finite", f"{bad}, the first at {_place(sight, shown)}", is_bad=True)
    scale = {"rms": shown.rms, "mean": shown.mean, "std": shown.std, "norm": shown.l2}
    yield Fact("scale", ", ".join(f"{name} {number(value)}" for name, value in scale.items()))
    yield Fact("range", f"{number(shown.minimum)} to {number(shown.maximum)}")
    yield Fact("zeros", f"{shown.zeros:,} of {shown.size:,} ({percent(shown.sparsity)})")
    counts = shown.histogram
    if counts is not None and counts.nonzero + counts.zeros >= MANY:
        values = [min(max(one, shown.minimum), shown.maximum) for one in quantiles(counts, SHARES)]
        found = zip(SHARES, values, strict=True)
        # Bins tell two digits of them, and no more.
        rounded = [(share, number(float(f"{value:.2g}"), 2)) for share, value in found]
        yield Fact("quantiles", "  ".join(f"{share:.0%} {value}" for share, value in rounded))


def format_facts(shown: Portrait) -> Iterator[Fact]:
    """Yield what narrower types would do to some numbers, for those types that would do anything."""
    counts = shown.histogram
    if counts is None or not counts.nonzero:
        return
    for one in FORMATS:
        told: list[str] = []
        gone = count_below(counts, one.smallest - 1)
        if gone:
            told.append(f"{percent(gone / counts.nonzero)} become 0")
        coarse = count_below(counts, one.normal) - gone
        if coarse:
            told.append(f"{percent(coarse / counts.nonzero)} below {2.0**one.normal:.2g} lose digits")
        if shown.peak > one.largest:
            told.append(f"the largest are beyond {one.largest:.5g}")
        if told:
            yield Fact(f"as {one.name}", ", ".join(told))


def channel_facts(sight: Sight) -> Iterator[Fact]:
    """Yield what the norms of output channels tell: their range, which stand out, which are zero."""
    shown = sight.portrait
    if shown is None or shown.channels is None or not shown.channels.size:
        return
    norms = shown.channels.ravel()
    axes = ", ".join(str(axis) for axis in sight.info.output_axes)
    low, middle, high = (number(float(one)) for one in (norms.min(), np.median(norms), norms.max()))
    without = " without NaN and Inf" if shown.nonfinite else ""
    span = f"norms{without} {low} to {high}, median {middle}"
    yield Fact("channels", f"{norms.size:,} outputs (axis {axes}), {span}")
    zero = np.flatnonzero(norms == 0)
    if zero.size:
        share = f"{zero.size:,} of {norms.size:,}"
        yield Fact("zero", f"{share}: {_named(zero[: 2 * FEW], shown.channels, zero.size, norms=False)}")
    alive = np.flatnonzero(norms)
    order = alive[np.argsort(norms[alive], kind="stable")]
    if order.size > 1:
        few = min(FEW, order.size // 2)
        yield Fact("weakest", _named(order[:few], shown.channels, few))
        yield Fact("strongest", _named(order[::-1][:few], shown.channels, few))


def peer_fact(sight: Sight, peers: Peers | None) -> Iterator[Fact]:
    """Yield the place of a tensor among those of the same role in layers of the same class."""
    shown = sight.portrait
    if peers is None or not peers.scales or shown is None:
        return
    others, own = peers.scales, number(shown.rms)
    kind = f"{printable(sight.info.layer_class)} {sight.info.role.value}".strip()
    ratio = f", {number(shown.rms / peers.median)} times as large as" if peers.median else ", beside"
    if len(others) == 1:
        yield Fact("peers", f"rms {own}{ratio} that of the only other {kind}, {number(peers.median)}")
        return
    count = len(others) + 1
    place = {1: "the largest", count: "the smallest"}.get(peers.larger + 1, f"number {peers.larger + 1}")
    span = f"{number(min(others))} to {number(max(others))}"
    yield Fact(
        "peers",
        f"rms {own} is {place} of {count:,} of kind {kind} (others {span}){ratio} "
        f"their median, {number(peers.median)}",
    )


def rule_fact(study: Study) -> Iterator[Fact]:
    """Yield which rules judge a tensor."""
    if study.judges:
        codes = " ".join(printable(rule.code) for rule in study.judges)
        yield Fact("judged by", f"{plural(len(study.judges), 'rule')}: {codes}")
    for one in study.remarks:
        yield Fact("not judged", printable(one, MESSAGE_LIMIT), is_bad=True)


def facts(study: Study) -> Iterator[Fact]:
    """Yield all facts about a tensor."""
    sight = study.sight
    yield from identity_facts(sight.info)
    yield from figure_facts(sight)
    if sight.portrait is not None:
        yield from format_facts(sight.portrait)
    yield from channel_facts(sight)
    yield from peer_fact(sight, study.peers)
    yield from rule_fact(study)


def _article(noun: str) -> str:
    return "an" if noun[:1] in set("AEIO") else "a"


def _count(fan: int | None) -> str:
    return "-" if fan is None else f"{fan:,}"


def _named(places: NDArray[np.intp], channels: NDArray[np.float64], of: int, *, norms: bool = True) -> str:
    """Return the indices of channels, with their norms or without, and how many more there are."""
    flat = channels.ravel()
    parts = [
        index_text(place, channels.shape) + (f" ({number(float(flat[place]))})" if norms else "")
        for place in places.tolist()
    ]
    more = f" and {of - len(parts):,} more" if of > len(parts) else ""
    return ", ".join(parts) + more


def index_text(place: int, shape: Sequence[int]) -> str:
    """Return the index of a place in an array as ``12`` or ``(3, 4)``."""
    index = [int(one) for one in np.unravel_index(place, tuple(shape))]
    return str(index[0]) if len(index) == 1 else f"({', '.join(map(str, index))})"


def _place(sight: Sight, shown: Portrait) -> str:
    """Return the index of the first number that is not finite; its place where the axes are not known."""
    first = -1 if sight.stats is None else sight.stats[NonFinite()].first
    parts = components(sight.info.dtype)
    # Of packed weights there are more than the shape says, and others at its indices.
    is_packed = shown.size != parts * prod(sight.info.shape)
    if not sight.info.shape or is_packed:
        return f"place {first // parts}"
    return index_text(first // parts, sight.info.shape)
