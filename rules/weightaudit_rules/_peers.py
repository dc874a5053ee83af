"""How large each tensor of a model is, and how large others of its kind are."""

from __future__ import annotations

from collections import defaultdict
from math import inf, log2, sqrt
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from weightaudit.tensor import Role
from weightaudit_rules._initial import initial_rms
from weightaudit_rules._median import median
from weightaudit_rules._training import MOMENTS

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from numpy.typing import NDArray

    from weightaudit.rule import Measured
    from weightaudit.tensor import TensorInfo

KERNELS = frozenset({Role.KERNEL, Role.RECURRENT_KERNEL})
JUDGED = KERNELS | {Role.EMBEDDING}

_FEW = 5
"""Members that a kind needs to be compared with itself; smaller ones are compared with the whole model."""
_MANY = 9
"""Members from which on one more or less hardly moves a median: then it is taken once for all."""
_LIMIT = 1000.0
"""Largest factor, in powers of two, so that it is a number of float64."""
_TYPICAL = (0.6, 0.9)
"""Medians of gain and growth over the kernels of 44 trained models, in powers of two."""


class Size(NamedTuple):
    """How large a tensor is, in powers of two.

    Attributes:
        info: The tensor.
        gain: Of sqrt(fan_in) * rms.
        growth: Of its rms over the rms that its initializer gives.
    """

    info: TensorInfo
    gain: float
    growth: float


class Standing(NamedTuple):
    """How a tensor compares with others.

    Attributes:
        size: The tensor's own size.
        factor: How many times as large as its peers it is, in powers of two, negative if it is
            smaller: the lesser of what gain and growth say, 0 where they contradict each other.
        spread: How far the peers scatter in it, as a standard deviation, in powers of two.
        peers: How many there are.
    """

    size: Size
    factor: float
    spread: float
    peers: int


def sizes(model: Measured) -> Iterator[Size]:
    """Yield the sizes of kernels with a known fan-in and of embeddings, where they are finite and not zero.

    An embedding has no gain; it gets the one that kernels of its growth typically have.
    """
    known: dict[object, float] = {}
    for info in model.tensors:
        # Of the many tensors of a model few are of different kinds.
        rms = rms_of(info, model) if info.role in JUDGED else 0.0
        if not rms:
            continue
        kind = (info.role, info.shape, info.fan_in, info.fan_out, id(info.initializer))
        if kind not in known:
            known[kind] = initial_rms(info)
        first = known[kind]
        if not first:
            continue
        growth = log2(rms / first)
        if info.fan_in:
            yield Size(info, log2(sqrt(info.fan_in) * rms), growth)
        elif info.role is Role.EMBEDDING:
            yield Size(info, growth - _TYPICAL[1] + _TYPICAL[0], growth)


def rms_of(info: TensorInfo, model: Measured) -> float:
    """Return the root mean square of a tensor, 0 where it was not measured or is not finite."""
    stats = model.stats.get(info.name)
    moments = None if stats is None else stats.get(MOMENTS)
    rms = 0.0 if moments is None else moments.rms
    return rms if 0 < rms < inf else 0.0


def standings(found: Sequence[Size]) -> Iterator[Standing]:
    """Yield the tensors that are more than twice or less than half as large as those of their kind.

    Kinds: embeddings, kernels and recurrent kernels, with and without a receptive field, depthwise or not.
    Those of a kind with fewer than five members are compared with all. To fewer than six peers, two
    typical ones are added, to a single one one.

    Args:
        found: All `sizes` of a model.
    """
    kinds: dict[Hashable, list[int]] = defaultdict(list)
    for index, size in enumerate(found):
        kinds[_kind(size.info)].append(index)
    everything = range(len(found))
    for members in kinds.values():
        pool = members if len(members) >= _FEW else everything
        if len(pool) > 1:
            yield from _within(found, members, pool)


def _kind(info: TensorInfo) -> Hashable:
    field = len(info.shape) > 2 and any(size > 1 for size in info.shape[:-2])
    return info.role, field, len(info.output_axes) > 1 and field


def _within(found: Sequence[Size], members: Sequence[int], pool: Sequence[int]) -> Iterator[Standing]:
    values = np.array([(found[index].gain, found[index].growth) for index in pool])
    own = np.array([(found[index].gain, found[index].growth) for index in members])
    if len(pool) >= _MANY:
        center, spread = (np.broadcast_to(each, own.shape) for each in _middle(values))
    else:
        rows = [pool.index(index) for index in members]
        middles = np.array([_middle(np.delete(values, row, axis=0)) for row in rows])
        center, spread = middles[:, 0], middles[:, 1]
    deviations = np.clip(own - center, -_LIMIT, _LIMIT)
    agree = deviations[:, 0] * deviations[:, 1] > 0
    lesser = np.abs(deviations).argmin(axis=1)
    each = np.arange(len(members))
    factors = np.where(agree, deviations[each, lesser], 0)
    for row in np.flatnonzero(np.abs(factors) > 1).tolist():
        size = found[members[row]]
        yield Standing(size, float(factors[row]), float(spread[row, lesser[row]]), len(pool) - 1)


def _middle(values: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return medians and scaled median absolute deviations of gains and of growths."""
    if len(values) < _FEW + 1:
        values = np.concatenate([values, [_TYPICAL] * min(2, len(values))])
    center: NDArray[np.float64] = median(values)
    return center, 1.4826 * median(np.abs(values - center))
