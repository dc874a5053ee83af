"""WA205: a tensor that is much larger or smaller than those of its kind in the same model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, log2, prod
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.numerals import numeral
from weightaudit.rule import Example, Finding, Measured, Rule, Severity
from weightaudit.statistics import AxisNorm
from weightaudit.tensor import Role
from weightaudit_rules._median import median
from weightaudit_rules._options import require
from weightaudit_rules._peers import JUDGED, KERNELS, Standing, rms_of, sizes, standings
from weightaudit_rules._regularized import shrunk_by
from weightaudit_rules._roles import is_weight
from weightaudit_rules._training import MOMENTS, State, training_needs, training_of
from weightaudit_rules._words import number

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from weightaudit.statistics import Statistic, Stats
    from weightaudit.tensor import TensorInfo

_OFFSETS = frozenset({Role.BIAS, Role.NORM_OFFSET})
_OTHERS = _OFFSETS | {Role.NORM_SCALE}
_MIN_KERNEL = 64
_MIN_VECTOR = 4
_ONE_PEER = 3.0
_EMBEDDING = 3.0
_SCALE = 1.4
"""By how much bounds are wider: with a single peer, for embeddings, and for scales of normalizations."""
_MOVES = -4.0
"""Gain, in powers of two, from which a kernel with a single output is large enough beside any peers."""
_LARGE_OFFSET = 10.0
_NUMBER = re.compile(r"_?\d+")
_GATES = ("first", "second", "third", "fourth")


def _normal(scale: float, shape: tuple[int, ...] = (64, 256)) -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(0, scale, shape).astype(np.float32)


def _model(title: str, severity: Severity | None, scale: float, *more: Example) -> Example:
    """Return a model of six convolutions, one of which has so many times its initial size, and others."""
    shape = (3, 3, 32, 32)

    def kernel(name: str, scale: float, severity: Severity | None = None) -> Example:
        info = {"name": f"{name}/kernel", "layer": name, "layer_class": "Conv2D"}
        return Example(title=title, values=lambda: _normal(scale, shape), severity=severity, info=info)

    others = tuple(kernel(f"conv{number}", 0.06) for number in range(5))
    return replace(kernel("conv", 0.06 * scale, severity), beside=(*others, *more))


def _bias(value: float) -> Example:
    info = {"name": "conv/bias", "layer": "conv", "role": "bias", "layer_class": "Conv2D"}
    return Example(title="", values=lambda: _normal(value, (32,)), severity=None, info=info)


def _gates(*scales: float) -> NDArray[np.float32]:
    return np.concatenate([_normal(scale, (64, 64)) for scale in scales], axis=1)


@dataclass(frozen=True)
class ScaleAmongPeers(Rule):
    """A tensor is much larger or much smaller than those of its kind in the same model.

    Why it matters: a layer multiplies the typical size of its inputs by the gain
    sqrt(fan_in) * rms. Healthy models differ so much in it (from 0.04 to 200) that a bound for all
    of them lets a factor of 100 pass; within one model, kernels of one kind stay together.

    What is judged: of each kernel, log2 of the gain (He et al. 2015, equation 7) and log2 of the rms over
    the rms that its declared initializer gives (Keras' default one where none is declared), both
    against the median of the model's other kernels of the same role, depthwise or not, with a
    receptive field or without; where there are fewer than five of a kind, against all kernels of
    the model; and where these are fewer than six, one or two typical ones are added. It is a finding if both
    deviate in the same direction by more than `ratio` and by more than `spreads` times the scatter of
    the peers (1.4826 times the median absolute deviation); with a single peer, and for embeddings,
    `ratio` counts three times. A kernel with a single output nearly always ends the model, and targets
    decide its size: from a gain of 1/16 on it has not vanished. Kernels below 64 elements and a kernel
    without peers are not judged. The gates of a recurrent kernel are compared with each other, scales of
    normalizations with each other by their rms, and those far away with the others that are called alike but
    for numbers, as each LayerScale of a model; biases and offsets, which start at zero, only where their
    rms is above 10 and `ratio` times that of every other.

    What is normal: over 349 kernels of trained models from many sources no deviation was above a factor
    9.5, and over 918 kernels of 96 small models trained for this rule none was above 12; 12
    architectures of `keras.applications` fresh from their initializers have none either. Of 210
    kernels of 44 real models that were multiplied or divided by 100, this rule finds 90 in 100, by
    1000 96 in 100, by 10 only 6: healthy kernels differ by more than that. Together with WA201,
    WA202 and WA206 it is 91 to 94 for 100, 96 to 98 for 1000, and 97 over all factors from 100 to
    a million, up and down. Kernels with a single output reach further down: one in twenty is below 0.17
    times its peers (of 26, in 20 trained models), of 965 others below 0.52 times; in 15 models whose last
    layer was trained again for other targets, it is 16 to 42 times smaller, at gains of 0.078 to 0.27.

    Where all vectors still are as initialized, a kernel that is small was made small (the heads of policies,
    hypernetworks, diffusion models): a note.

    Where WA201, WA202 or WA207 say no worse of the same tensor, this finding takes their place.

    Known false positives: side branches that are scaled by hand; linear parts beside a deep one. A
    declared regularizer can drive a whole kernel to next to nothing (L1 of 0.05 on targets that are
    noise: by a factor of 600, L2 of 0.5: by 20,000), which really is dead, but as it was told:
    at most a warning, if it is L1 of at least 0.001 or L2 of at least 0.01.
    Weight decay of an optimizer is not known here.

    How to mend: compare the layer with an earlier checkpoint; look for a scale that was applied
    twice, or not at all, in a conversion. Where a normalization follows, WA206 says whether its
    statistics still fit.

    Attributes:
        ratio: Factor from the peers' median above which a tensor is a finding.
        spreads: How many times the scatter of the peers it must be besides.
        error: Factor above which a kernel is an error.
    """

    ratio: float = 20.0
    spreads: float = 3.0
    error: float = 300.0

    code = "WA205"
    name = "scale-among-peers"
    severity = Severity.ERROR
    supersedes = ("WA201", "WA202", "WA207")
    examples = (
        Example(title="a kernel without peers", values=lambda: _normal(10), severity=None),
        _model("six convolutions, one five times as large", None, 5),
        _model("six convolutions, one a hundred times as large", Severity.WARNING, 100),
        _model("six convolutions, one a thousandth as large", Severity.ERROR, 1e-3),
        _model("one a thousandth as large, after training", Severity.ERROR, 1e-3, _bias(0.1)),
        _model("one a thousandth as large, before training", Severity.NOTE, 1e-3, _bias(0.0)),
        Example(
            title="the gates of an LSTM, one three times as large",
            values=lambda: _gates(0.1, 0.3, 0.1, 0.1),
            severity=None,
            info={"role": "recurrent_kernel", "layer_class": "LSTMCell", "gates": 4, "fan_in": 64},
        ),
        Example(
            title="an LSTM with one gate a hundred times as large",
            values=lambda: _gates(0.1, 10, 0.1, 0.1),
            severity=Severity.WARNING,
            info={"role": "recurrent_kernel", "layer_class": "LSTMCell", "gates": 4, "fan_in": 64},
        ),
        Example(
            title="a GRU with one gate that vanished",
            values=lambda: _gates(0.1, 0.1, 1e-4),
            severity=Severity.WARNING,
            info={"role": "kernel", "layer_class": "GRUCell", "gates": 3, "fan_in": 64},
        ),
    )

    def __post_init__(self) -> None:
        require(1 < self.ratio <= self.error, "ratio must be above 1 and not above error")
        require(self.spreads >= 0, "spreads must not be negative")

    def goes_by_kind(self) -> bool:
        return True

    def applies(self, info: TensorInfo) -> bool:
        return is_weight(info) and (info.role in JUDGED or info.role in _OTHERS)

    def needs(self, info: TensorInfo) -> tuple[Statistic[Any], ...]:
        return (MOMENTS, _columns(info)) if _has_gates(info) else (MOMENTS,)

    def needs_of_model(self, model: Measured) -> Mapping[str, tuple[Statistic[Any], ...]]:
        return training_needs(model)

    def check_model(self, model: Measured) -> Iterator[Finding]:
        for info in model.tensors:
            if _has_gates(info) and (stats := model.stats.get(info.name)) and _columns(info) in stats:
                yield from self._gates(info, stats)
        # Kernels that are too small to be judged are peers at most.
        if any(info.size >= _MIN_KERNEL and info.role in JUDGED for info in model.tensors):
            far = [
                standing
                for standing in standings([*sizes(model)])
                if standing.size.info.size >= _MIN_KERNEL and self._is_far(standing)
            ]
            is_fresh = bool(far) and training_of(model).never_began(State.UNCLEAR)
            yield from (self._kernel(standing, is_fresh=is_fresh) for standing in far)
        for role in (Role.BIAS, Role.NORM_OFFSET):
            yield from self._offsets(_vectors(model, role))
        yield from self._scales(_vectors(model, Role.NORM_SCALE))

    def _gates(self, info: TensorInfo, stats: Stats) -> Iterator[Finding]:
        """Compare the gates of a recurrent kernel with each other."""
        gates = _rms_of_gates(stats[_columns(info)], info)
        for index, value in enumerate(gates):
            others = float(median(gates[:index] + gates[index + 1 :]))
            if not (0 < value < inf and 0 < others < inf) or abs(log2(value / others)) <= log2(self.ratio):
                continue
            word = "above" if value > others else "below"
            yield self.finding(
                info,
                f"The {_GATES[index]} of {info.gates} gates has an rms of {numeral(value)}, far {word} "
                f"the median of the others, {numeral(others)}.",
                Severity.WARNING,
                gate=index,
                rms=value,
                others=others,
            )

    def _is_far(self, standing: Standing) -> bool:
        wider = _EMBEDDING if standing.size.info.role is Role.EMBEDDING else 1.0
        wider *= _ONE_PEER if standing.peers == 1 else 1.0
        if _moves_its_output(standing):
            return False
        return abs(standing.factor) > max(log2(self.ratio * wider), self.spreads * standing.spread)

    def _kernel(self, standing: Standing, *, is_fresh: bool) -> Finding:
        size, factor = standing.size, 2.0 ** abs(standing.factor)
        word = "exploded" if standing.factor > 0 else "vanished"
        is_kernel = size.info.fan_in is not None
        what = f"gain sqrt({size.info.fan_in}) * rms" if is_kernel else "rms over that of its initializer"
        value = 2.0 ** (size.gain if is_kernel else size.growth)
        shrunk = shrunk_by(size.info) if standing.factor < 0 else ""
        reason = f"; its declared regularizer, {shrunk}, may have driven it there" if shrunk else ""
        severity = Severity.ERROR if factor > self.error and not shrunk else Severity.WARNING
        if is_fresh and standing.factor < 0:
            # Heads and residual branches are made small on purpose, by initializers that no file declares.
            severity, reason = Severity.NOTE, "; no weight has left its initial value, so it was made small"
        return self.finding(
            size.info,
            f"The {what} is {numeral(value)}: the layer {word} by a factor of {numeral(factor)} against "
            f"{number(standing.peers, 'other tensor')} of the model and their initializers{reason}.",
            severity,
            value=value,
            factor=2.0**standing.factor,
            peers=standing.peers,
        )

    def _offsets(self, members: Sequence[tuple[TensorInfo, float]]) -> Iterator[Finding]:
        """Judge the largest alone: the others have one that is larger."""
        info, rms = max(members, key=itemgetter(1), default=(None, 0.0))
        if len(members) < 2 or rms <= _LARGE_OFFSET:
            return
        second = sorted(value for _, value in members)[-2]
        if rms > self.ratio * second:
            others = number(len(members) - 1, "other tensor")
            message = f"The rms is {numeral(rms)}: it exploded beyond {others} of its role"
            yield self.finding(
                info, f"{message}, at most {numeral(second)}.", Severity.WARNING, rms=rms, others=second
            )

    def _scales(self, members: Sequence[tuple[TensorInfo, float]]) -> Iterator[Finding]:
        """Judge scales of normalizations, whose median all share."""
        if len(members) < 2:
            return
        values = np.log2([rms for _, rms in members])
        # All start at 1: few are compared with that too.
        peers = np.append(values, [0.0, 0.0]) if len(values) < 6 else values
        center = float(median(peers))
        spread = 1.4826 * float(median(np.abs(peers - center)))
        bound = max(log2(self.ratio * _SCALE), self.spreads * spread)
        families = [_NUMBER.sub("", info.name) for info, _ in members]
        for place, ((info, rms), value) in enumerate(zip(members, values, strict=True)):
            if abs(value - center) <= bound:
                continue
            # What others of its family share is how they are made: LayerScale starts all at one small value.
            same = [
                one
                for other, one in enumerate(values)
                if other != place and families[other] == families[place]
            ]
            if same and abs(value - float(median(np.array(same)))) <= bound:
                continue
            word = "exploded" if rms > 2.0**center else "vanished"
            yield self.finding(
                info,
                f"The rms is {numeral(rms)}: it {word} against the median of {len(members)} normalizations, "
                f"{numeral(2.0**center)}.",
                Severity.WARNING,
                rms=rms,
                others=2.0**center,
            )


def _vectors(model: Measured, role: Role) -> list[tuple[TensorInfo, float]]:
    """Return the vectors of a role that are long enough to be judged, each with its root mean square."""
    found = (
        (info, rms_of(info, model))
        for info in model.tensors
        if info.role is role and info.size >= _MIN_VECTOR
    )
    return [(info, rms) for info, rms in found if rms]


def _moves_its_output(standing: Standing) -> bool:
    """Say whether a kernel with a single output is smaller than its peers, and yet no reason for concern."""
    info, gain, _ = standing.size
    outputs = prod(info.shape[axis] for axis in info.output_axes) if info.output_axes else 0
    return standing.factor < 0 and outputs == 1 and bool(info.fan_in) and gain >= _MOVES


def _has_gates(info: TensorInfo) -> bool:
    return info.gates > 1 and info.role in KERNELS and len(info.shape) > 1


def _columns(info: TensorInfo) -> AxisNorm:
    return AxisNorm(tuple(range(len(info.shape) - 1)))


def _rms_of_gates(columns: NDArray[np.float64], info: TensorInfo) -> list[float]:
    squares = np.square(columns).reshape(info.gates, -1).sum(axis=1)
    return [float(value) for value in np.sqrt(squares / max(1, info.size // info.gates))]
