"""How far each output channel of a kernel moved: one of many hardly shows in the whole tensor."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from weightaudit.comparison.result import ChannelDrift, MovedChannel
from weightaudit.statistics.axis import AxisNormFold
from weightaudit.statistics.block import Block
from weightaudit.tensor import Role

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from weightaudit.statistics.block import Scratch
    from weightaudit.tensor import TensorInfo

    Wide = NDArray[np.float64]

_KERNELS = frozenset({Role.KERNEL, Role.RECURRENT_KERNEL})
_MOST = 1 << 16
"""Channels up to which norms are kept: three of them for every stretch that is read."""
_LEAST = 16
"""Numbers that a channel has at least, for its direction to mean something."""
_FAINT = 0.1
"""Share of the median norm below which a channel is too weak to be judged by its direction."""
_KEPT = 8
"""Channels that moved furthest, of which a comparison tells."""


class ChannelTally:
    """Sums of squares of each output channel: before, after, and of the difference."""

    def __init__(self, info: TensorInfo) -> None:
        axes = info.summed_axes
        self._shape = tuple(length for axis, length in enumerate(info.shape) if axis not in axes)
        self._folds = [_Sums(info, axes, 2) for _ in range(3)]

    def add(self, arrays: tuple[Wide, Wide, Wide], start: int, scratch: Scratch) -> None:
        """Take in the next numbers before and after, and their difference; none that is not finite."""
        for fold, values in zip(self._folds, arrays, strict=True):
            squares = np.square(values, out=scratch.take("squares", values.size, np.float64))
            fold.update(Block(squares, start))

    def merge(self, other: Self) -> None:
        """Take in the sums of another stretch."""
        for fold, more in zip(self._folds, other._folds, strict=True):
            fold.merge(more)

    def squares(self) -> tuple[float, float]:
        """Return the sums of squares of both tensors as a whole."""
        before, after, _ = (float(np.square(fold.finish()).sum()) for fold in self._folds)
        return before, after

    def finish(self) -> ChannelDrift:
        """Return the channels that moved furthest."""
        before, after, between = (fold.finish().ravel() for fold in self._folds)
        judged = np.flatnonzero((before > 0) & (before >= _FAINT * np.median(before)))
        change = between[judged] / before[judged]
        order: list[int] = judged[np.argsort(-change, kind="stable")[:_KEPT]].tolist()
        return ChannelDrift(
            channels=before.size,
            median=float(np.median(change)) if change.size else 0.0,
            furthest=tuple(
                _moved(
                    tuple(int(index) for index in np.unravel_index(place, self._shape)),
                    float(before[place]),
                    float(after[place]),
                    float(between[place]),
                )
                for place in order
            ),
        )


def tally_of(info: TensorInfo, shape: tuple[int, ...]) -> ChannelTally | None:
    """Start counting channels; None for what is no kernel, or has too many, or too short ones.

    Args:
        info: The tensor.
        shape: Its shape as it is decoded.
    """
    if info.role not in _KERNELS or info.shape != shape or not info.is_floating:
        return None
    channels = prod(shape[axis] for axis in info.output_axes) if info.output_axes else 1
    return ChannelTally(info) if 1 < channels <= min(_MOST, info.size // _LEAST) else None


class _Sums(AxisNormFold):
    """Adds up what is squared already."""

    def _terms(self, block: Block) -> NDArray[np.floating[Any]]:
        return block.values


def _moved(index: tuple[int, ...], before: float, after: float, between: float) -> MovedChannel:
    """Tell of a channel by three norms; the cosine is by the law of cosines, 0 where nothing is left."""
    relative, ratio = between / before, after / before
    cosine = (1 / ratio + ratio - relative * (between / after)) / 2 if after else 0.0
    return MovedChannel(index, relative, max(-1.0, min(1.0, cosine)), ratio)
