"""Whether tensors still hold what they began with, and what that and the step counters say of training."""

from __future__ import annotations

import re
from enum import Enum, auto
from math import exp, isclose, isfinite, sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

from weightaudit.statistics import Extremes, Moments
from weightaudit.tensor import Role
from weightaudit_rules._initial import start_of
from weightaudit_rules._roles import is_weight

if TYPE_CHECKING:
    from collections.abc import Mapping

    from weightaudit.rule import Measured
    from weightaudit.statistics import Statistic, Stats
    from weightaudit.tensor import TensorInfo
    from weightaudit_rules._initial import Law, Start

MOMENTS, EXTREMES = Moments(), Extremes()
STATE_NEEDS: tuple[Statistic[Any], ...] = (MOMENTS, EXTREMES)
"""What `state_of` looks up. Both follow from the overview, so they cost no look at the elements."""

MANY_STEPS = 100
"""Steps after which numbers that did not move are strange: gradients may be gathered over many of them."""

_COUNTERS = re.compile(r"(iter|iterations?|global_step)(_\d+)?")
_ALIKE, _UNLIKE = 5.0, 8.0
"""Standard errors within which a mean or a mean square agrees, and beyond which it contradicts."""
_EDGE_ALIKE, _EDGE_UNLIKE = exp(-16), exp(-30)
"""Chance of so wide a gap between the largest value and the bound, under which it is too wide."""
_PRECISION = {"float64": 1e-5, "float32": 1e-5, "float16": 2**-9, "bfloat16": 2**-6}
"""Relative slack of bounds and norms: for float32 what Keras' own arithmetic may lose, else rounding."""


class State(Enum):
    """What the numbers of a tensor say about its past."""

    INITIAL = auto()
    """They are what the initializer gives, or cannot be told from it."""
    MOVED = auto()
    """The initializer cannot have given them."""
    UNCLEAR = auto()
    """Neither is certain, or it is not known how the tensor began."""


def state_of(info: TensorInfo, stats: Stats | None, start: Start | None) -> State:
    """Say whether a tensor still holds what it began with.

    That a tensor has moved is never said if how it was drawn is a guess.

    Args:
        info: The tensor.
        stats: Its statistics; without `STATE_NEEDS` among them, nothing is clear.
        start: How it began, as `start_of` tells.
    """
    if start is None or stats is None or info.dtype not in _PRECISION:
        return State.UNCLEAR
    sums = stats.get(MOMENTS)
    if sums is None or EXTREMES not in stats or not sums.count or sums.count != info.size:
        return State.UNCLEAR
    if start.value is not None:
        return _constant(info, stats, start)
    if start.square is not None:
        state = _orthogonal(info, stats, start.square)
    else:
        states = {_drawn(info, stats, law) for law in start.laws}
        state = next((one for one in (State.INITIAL, State.UNCLEAR) if one in states), State.MOVED)
    # Numbers that agree confirm a guess; that they do not may mean that another initializer was used.
    return State.UNCLEAR if state is State.MOVED and not start.is_declared else state


def _constant(info: TensorInfo, stats: Stats, start: Start) -> State:
    sums, found = stats[MOMENTS], stats[EXTREMES]
    if found.minimum == found.maximum:
        if isclose(found.minimum, start.value or 0.0, rel_tol=_PRECISION[info.dtype]):
            return State.INITIAL
        return State.MOVED if start.is_declared else State.UNCLEAR
    # An LSTM's forget gate begins at 1. Between 0 and 1 no square exceeds its value, so equal sums mean
    # that all are 0 or 1. The gate is a quarter; one of two halves of CuDNN's bias has it once.
    forgets = (found.minimum, found.maximum) == (0, 1) and sums.total == sums.squares
    if forgets and info.role is Role.BIAS and info.size in {4 * sums.total, 8 * sums.total}:
        return State.INITIAL
    return State.MOVED


def _orthogonal(info: TensorInfo, stats: Stats, square: float) -> State:
    off = abs(stats[MOMENTS].squares - square)
    slack = _PRECISION[info.dtype] * square
    return State.INITIAL if off <= slack else State.MOVED if off > 4 * slack else State.UNCLEAR


def _drawn(info: TensorInfo, stats: Stats, law: Law) -> State:
    """Compare mean, mean square and the largest distance from the mean with those of a distribution."""
    sums, found = stats[MOMENTS], stats[EXTREMES]
    count, slack = sums.count, _PRECISION[info.dtype]
    peak = max(found.maximum - law.center, law.center - found.minimum)
    if peak > law.bound * (1 + slack):
        return State.MOVED if peak > law.bound * (1 + 4 * slack) else State.UNCLEAR
    squares = sums.squares - 2 * law.center * sums.total + count * law.center**2
    off_mean = abs(sums.mean - law.center) / law.std * sqrt(count)
    off_square = abs(squares / (count * law.std**2) - 1) / law.spread * sqrt(count)
    off, gap = max(off_mean, off_square), exp(-law.edge * count * max(0.0, 1 - peak / law.bound))
    if off > _UNLIKE or gap < _EDGE_UNLIKE:
        return State.MOVED
    return State.INITIAL if off <= _ALIKE and gap >= _EDGE_ALIKE else State.UNCLEAR


def excess_of(stats: Stats, start: Start) -> float:
    """Return by which share of the bound a tensor exceeds that of its distribution; at least 0."""
    found = stats[EXTREMES]
    excesses = (
        max(found.maximum - law.center, law.center - found.minimum) / law.bound - 1 for law in start.laws
    )
    return max(0.0, min(excesses))


def resolution_of(info: TensorInfo, start: Start) -> float:
    """Return the expected gap between the largest of a tensor's values and the bound, as a share of it."""
    return max(1 / (law.edge * info.size) for law in start.laws)


def tells_steps(info: TensorInfo) -> bool:
    """Say whether the tensor counts the steps of an optimizer.

    Keras calls it ``iteration``, ``iterations`` or ``iter``, TensorFlow 1 ``global_step``; a number may
    follow. Other counters, such as that of a loss scale, do not.
    """
    if info.role is not Role.COUNTER or info.size != 1:
        return False
    return _COUNTERS.fullmatch(info.name.rpartition("/")[2]) is not None


def counters(model: Measured) -> dict[str, int]:
    """Return what each counter of optimizer steps says, by its name."""
    found: dict[str, int] = {}
    for info in model.tensors:
        stats = model.stats.get(info.name) if tells_steps(info) else None
        ends = None if stats is None else stats.get(EXTREMES)
        if ends is not None and isfinite(ends.maximum):
            found[info.name] = int(ends.maximum)
    return found


def steps_taken(model: Measured) -> int | None:
    """Return the largest count of optimizer steps, None if the model holds none."""
    return max(counters(model).values(), default=None)


class Training(NamedTuple):
    """What a saved model tells of its training.

    Attributes:
        steps: Optimizer steps by the checkpoint's own counter; None if none is stored.
        moved: Layers with a vector that is surely not as initialized.
        fresh: Layers with an unconstrained bias, offset or scale that is exactly as initialized.
        averaged: Whether the optimizer kept moving averages, which may have replaced the weights.
    """

    steps: int | None
    moved: frozenset[str]
    fresh: frozenset[str]
    averaged: bool

    def reached(self, info: TensorInfo, state: State) -> bool:
        """Say whether a tensor was trained, as its layer tells, or the model where the layer does not."""
        if state is State.MOVED or info.layer in self.moved:
            return True
        return bool(self.moved) and info.layer not in self.fresh

    def never_began(self, state: State) -> bool:
        """Say whether nothing was trained, as a tensor, all vectors and the step counter agree."""
        if self.steps or self.moved or state is State.MOVED:
            return False
        return self.steps == 0 or bool(self.fresh) or state is State.INITIAL


def training_needs(model: Measured) -> Mapping[str, tuple[Statistic[Any], ...]]:
    """Return what `training_of` looks up, by the name of the tensor."""
    return {info.name: STATE_NEEDS for info in model.tensors if _is_witness(info) or tells_steps(info)}


def training_of(model: Measured) -> Training:
    """Gather what the measured tensors of a model tell of its training."""
    layers: dict[State, set[str]] = {state: set() for state in State}
    averaged = False
    for info in model.tensors:
        if info.role is Role.OPTIMIZER_SLOT:
            averaged |= info.name.endswith("/average")
        elif _is_witness(info):
            state = state_of(info, model.stats.get(info.name), start_of(info))
            # A constraint can hold a bias at zero through all of training.
            if state is State.MOVED or not info.constraint:
                layers[state].add(info.layer)
    moved, initial = frozenset(layers[State.MOVED]), frozenset(layers[State.INITIAL])
    return Training(steps_taken(model), moved, initial, averaged)


def _is_witness(info: TensorInfo) -> bool:
    """Say whether a tensor is a vector that starts with one known value everywhere."""
    start = start_of(info) if len(info.shape) == 1 and is_weight(info) else None
    return start is not None and start.value is not None
