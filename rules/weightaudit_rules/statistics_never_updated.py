"""WA502: statistics of normalization layers that no data has updated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.rule import Example, Finding, Measured, Rule, Severity
from weightaudit.tensor import Role
from weightaudit_rules._initial import start_of
from weightaudit_rules._training import EXTREMES, STATE_NEEDS, State, state_of
from weightaudit_rules._words import number

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from weightaudit.statistics import Statistic
    from weightaudit.tensor import TensorInfo

_OWN_NEEDS: tuple[Statistic[Any], ...] = (EXTREMES,)
_STATISTICS = frozenset({Role.MOVING_MEAN, Role.MOVING_VARIANCE})
_CONSTANT = frozenset({Role.BIAS, Role.NORM_OFFSET, Role.NORM_SCALE})
_SCALES = frozenset({Role.NORM_OFFSET, Role.NORM_SCALE})
"""Roles that begin as a constant, so that any other value says that the model was trained."""


_MIN_HALF = 4
"""Channels from which on variances of exactly 1 are no coincidence."""


def _full(value: float) -> NDArray[np.float32]:
    return np.full(16, value, np.float32)


def _varied(center: float) -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(center, 0.1, 16).astype(np.float32)


def _part(
    role: str, values: Callable[[], NDArray[np.float32]], layer: str = "layer", **differences: Any
) -> Example:
    info = {"role": role, "name": f"{layer}/{role}", "layer": layer, **differences}
    return Example(title=role, values=values, severity=None, info=info)


_VARIANCE: dict[str, Any] = {"role": "moving_variance", "layer_class": "BatchNormalization"}

_RESCALED_INPUTS = {
    "class_name": "Sequential",
    "config": {
        "name": "model",
        "layers": [
            {"class_name": "InputLayer", "config": {"name": "images"}},
            {"class_name": "Rescaling", "config": {"name": "rescaling"}},
            {"class_name": "Normalization", "config": {"name": "layer"}},
        ],
    },
}


@dataclass(frozen=True)
class StatisticsNeverUpdated(Rule):
    """The mean and variance of a normalization layer are still 0 and 1, though the model was trained.

    Why it matters: training normalizes by the batch, inference by these. A BatchNormalization layer whose
    moving statistics were never updated gives other outputs when the model is used than when it was trained
    (update operations that a training loop of TensorFlow 1 left out; a layer that was called with
    ``training=False``; statistics that did not load). A Normalization layer that was not adapted does
    nothing.

    What is normal: after one batch in training mode, no channel has a mean of exactly 0 and a variance of
    exactly 1. The rule finds layers in which all means are 0 and all variances 1, bit for bit, if scale or
    offset of the layer have moved (from 1 and 0, or what the model declares), or if other biases, scales or
    offsets of the model have. In the latter case a layer whose scale and offset are untouched only passes its
    inputs on, so the finding is a note, unless another layer's statistics were updated; and so is that of a
    Normalization layer behind a Rescaling layer, which scales already (EfficientNet, trained from scratch).
    A layer that is declared as not trained keeps what it has: it is judged only where others that are not
    trained have statistics. A model in which nothing moved is left to WA501. At least four variances that are
    all 1 beside means that are not 0 are a note: training updates both.

    Measured: none in 12 fresh architectures of ``keras.applications``, and in 120 states of small models
    before and after 1, 10 and 300 steps. Of 58 real models one has it, in five layers whose scale or offset
    has moved.

    Known false positives: converted models whose statistics were folded into scale and offset; layers that
    were frozen before the first batch.

    How to mend: run training data through the model in training mode with all weights frozen, call ``adapt``
    of a Normalization layer, or load the checkpoint again, statistics included.
    """

    code = "WA502"
    name = "statistics-never-updated"
    severity = Severity.WARNING
    examples = (
        Example(
            title="statistics after training",
            values=lambda: _varied(2.0),
            severity=None,
            info=_VARIANCE,
            beside=(_part("moving_mean", lambda: _varied(0.0)), _part("norm_scale", lambda: _varied(1.0))),
        ),
        Example(
            title="a fresh model",
            values=lambda: _full(1.0),
            severity=None,
            info=_VARIANCE,
            beside=(
                _part("moving_mean", lambda: _full(0.0)),
                _part("norm_scale", lambda: _full(1.0)),
                _part("bias", lambda: _full(0.0), "head"),
            ),
        ),
        Example(
            title="the scale moved, the statistics did not",
            values=lambda: _full(1.0),
            severity=Severity.WARNING,
            info=_VARIANCE,
            beside=(_part("moving_mean", lambda: _full(0.0)), _part("norm_scale", lambda: _varied(1.0))),
        ),
        Example(
            title="a Normalization layer that was not adapted, in a trained model",
            values=lambda: _full(1.0),
            severity=Severity.WARNING,
            info=_VARIANCE | {"layer_class": "Normalization"},
            beside=(_part("moving_mean", lambda: _full(0.0)), _part("bias", lambda: _varied(0.0), "head")),
        ),
        Example(
            title="one whose inputs a Rescaling layer scales already",
            values=lambda: _full(1.0),
            severity=Severity.NOTE,
            info=_VARIANCE | {"layer_class": "Normalization"},
            beside=(_part("moving_mean", lambda: _full(0.0)), _part("bias", lambda: _varied(0.0), "head")),
            config=_RESCALED_INPUTS,
        ),
        Example(
            title="variances of ones beside means that were updated",
            values=lambda: _full(1.0),
            severity=Severity.NOTE,
            info=_VARIANCE,
            beside=(_part("moving_mean", lambda: _varied(0.0)),),
        ),
        Example(
            title="a layer that only passes its inputs on, in a trained model",
            values=lambda: _full(1.0),
            severity=Severity.NOTE,
            info=_VARIANCE,
            beside=(
                _part("moving_mean", lambda: _full(0.0)),
                _part("norm_scale", lambda: _full(1.0)),
                _part("bias", lambda: _varied(0.0), "head"),
            ),
        ),
        Example(
            title="a layer that is declared as not trained",
            values=lambda: _full(1.0),
            severity=None,
            info=_VARIANCE,
            beside=(
                _part("moving_mean", lambda: _full(0.0)),
                _part("norm_scale", lambda: _full(1.0), trainable=False),
                _part("bias", lambda: _varied(0.0), "head"),
            ),
        ),
        Example(
            title="one of two layers that are not trained lost its statistics",
            values=lambda: _full(1.0),
            severity=Severity.WARNING,
            info=_VARIANCE,
            beside=(
                _part("moving_mean", lambda: _full(0.0)),
                _part("norm_scale", lambda: _varied(1.0), trainable=False),
                _part("moving_mean", lambda: _varied(0.0), "other"),
                _part("moving_variance", lambda: _varied(2.0), "other"),
                _part("norm_scale", lambda: _varied(1.0), "other", trainable=False),
            ),
        ),
    )

    def goes_by_kind(self) -> bool:
        return True

    def applies(self, info: TensorInfo) -> bool:
        return False

    def needs_of_model(self, model: Measured) -> Mapping[str, tuple[Statistic[Any], ...]]:
        statistics = [info for info in model.tensors if info.role in _STATISTICS and info.is_floating]
        if not statistics:
            return {}
        constants = {info.name: STATE_NEEDS for info in model.tensors if _begins_constant(info)}
        return constants | dict.fromkeys((info.name for info in statistics), _OWN_NEEDS)

    def check_model(self, model: Measured) -> Iterator[Finding]:
        statistics: dict[str, dict[Role, TensorInfo]] = {}
        for info in model.tensors:
            if info.role in _STATISTICS and info.is_floating and EXTREMES in model.stats.get(info.name, ()):
                statistics.setdefault(info.layer, {})[info.role] = info
        for found in statistics.values():
            yield from self._half(found, model)
        stale = {layer: found for layer, found in statistics.items() if _is_stale(found, model)}
        if not stale:
            return
        moved = {info.layer for info in model.tensors if _begins_constant(info) and _moved(info, model)}
        frozen = {info.layer for info in model.tensors if info.role in _SCALES and info.trainable is False}
        updated = statistics.keys() - stale.keys()
        for layer, found in stale.items():
            # A frozen layer keeps the statistics that it has: only others that are frozen tell what it had.
            others = len(updated & frozen if layer in frozen else updated)
            if others if layer in frozen else moved:
                yield self._judged(found[Role.MOVING_VARIANCE], model, own=layer in moved, updated=others)

    def _half(self, found: Mapping[Role, TensorInfo], model: Measured) -> Iterator[Finding]:
        """Tell of variances that are all 1 beside means that are not all 0."""
        info, mean = found.get(Role.MOVING_VARIANCE), found.get(Role.MOVING_MEAN)
        if info is None or mean is None or info.size < _MIN_HALF:
            return
        if _is_all(info, 1.0, model) and not _is_all(mean, 0.0, model):
            message = (
                f"All {info.size} variances are 1, though the means are not 0; only one was loaded or set."
            )
            yield self.finding(info, message, Severity.NOTE, size=info.size)

    def _judged(self, info: TensorInfo, model: Measured, *, own: bool, updated: int) -> Finding:
        what = (
            "Its mean is 0 and its variance 1"
            if info.size == 1
            else f"All {info.size} means are 0 and all variances 1"
        )
        silent = not own and not updated
        if info.layer_class == "Normalization":
            silent = _has_scaled_inputs(info, model)
            message = f"{what}: the layer was never adapted, and passes its inputs on as they are."
        elif own:
            message = (
                f"{what}, though the layer's scale or offset has moved; its statistics were never updated."
            )
        elif updated:
            others = f"those of {number(updated, 'other layer')} were updated"
            message = f"{what}, though {others}; it never saw a batch."
        else:
            message = f"{what}, though other layers have moved; it passes its inputs on as they are."
        return self.finding(info, message, Severity.NOTE if silent else None, size=info.size)


def _has_scaled_inputs(info: TensorInfo, model: Measured) -> bool:
    """Say whether Rescaling layers alone feed the layer of a tensor."""
    nodes, node = model.topology.nodes, model.topology.at(info.layer)
    sources = {nodes[path].layer_class for path in node.predecessors} if node else set[str]()
    return sources == {"Rescaling"}


def _begins_constant(info: TensorInfo) -> bool:
    return info.role in _CONSTANT and info.trainable is not False and info.is_floating


def _is_stale(found: Mapping[Role, TensorInfo], model: Measured) -> bool:
    """Say whether a layer has both statistics, and both are exactly what they begin as."""
    mean, variance = found.get(Role.MOVING_MEAN), found.get(Role.MOVING_VARIANCE)
    if mean is None or variance is None:
        return False
    return _is_all(mean, 0.0, model) and _is_all(variance, 1.0, model)


def _is_all(info: TensorInfo, value: float, model: Measured) -> bool:
    ends = model.stats[info.name][EXTREMES]
    return ends.minimum == ends.maximum == value


def _moved(info: TensorInfo, model: Measured) -> bool:
    return state_of(info, model.stats.get(info.name), start_of(info)) is State.MOVED
