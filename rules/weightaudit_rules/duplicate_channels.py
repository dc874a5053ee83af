"""WA125: output channels of a kernel that hold the same numbers as another one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.rule import Example, Finding, Rule, Severity
from weightaudit.statistics.equal_channels import EqualChannels
from weightaudit.tensor import Role
from weightaudit_rules._examples import trained_kernel
from weightaudit_rules._options import require
from weightaudit_rules._stored import is_plain_matrix

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from weightaudit.statistics import Statistic, Stats
    from weightaudit.tensor import TensorInfo

_JUDGED = frozenset({Role.KERNEL, Role.RECURRENT_KERNEL})
_LEAST = 8
"""Weights of a channel, at least: fewer may agree by chance where they were rounded."""


def _kernel(*copies: int) -> NDArray[np.float32]:
    kernel = trained_kernel()
    kernel[:, copies] = kernel[:, :1]
    return kernel


def _dead() -> NDArray[np.float32]:
    kernel = _kernel()
    kernel[:, 3:6] = 0
    return kernel


@dataclass(frozen=True)
class DuplicateChannels(Rule):
    """Output channels of a kernel hold the same weights as another one.

    Why it matters: two channels that start apart never meet, to the last bit. One was written over the other
    (a loop with a wrong index, a shard that was put in twice, a faulty conversion), and what it had
    learned is lost; the layer answers twice with the same.

    What is normal: no two. Channels that died or were pruned away are all zero; all channels of a layer that
    started from a constant stay equal, for nothing tells them apart; filters that were made, not trained,
    may repeat.

    Formula: channels are compared number by number. Those with fewer than 8 different weights do not count,
    so dead, ternary and constant ones do not, nor do quantized tensors. A finding is up to the share
    `most` of channels that repeat an earlier one; one is always few enough.

    Measured: of 96 kernels of real and trained models in which one channel, or an eighth of them, was stored
    in the place of others, 89 are told; the other 7 have channels of fewer than 8 different weights, or are
    those of a transposed convolution, whose channels are not on the last axis. Nothing is said of 109
    models at hand that are left as they are.

    Known false positives: layers that were widened by copying channels (Net2Net) and not trained since.

    How to mend: put the tensor back from another checkpoint (`weightaudit repair --project restore_from`),
    or save the model again from where it was trained.

    Attributes:
        most: Share of the channels that may be copies; where there are more, the layer was made so.
    """

    most: float = 0.25

    code = "WA125"
    name = "duplicate-channels"
    severity = Severity.WARNING
    examples = (
        Example(title="a trained kernel", values=_kernel, severity=None),
        Example(title="dead channels", values=_dead, severity=None),
        Example(
            title="a kernel that started from a constant",
            values=lambda: _kernel(*range(32)),
            severity=None,
        ),
        Example(
            title="weights of three values, few to a channel",
            values=lambda: np.sign(_kernel()[:8].round(1)),
            severity=None,
        ),
        Example(
            title="a channel that was written over another one",
            values=lambda: _kernel(7),
            severity=Severity.WARNING,
        ),
        Example(
            title="a shard of eight channels that was put in twice",
            values=lambda: np.concatenate([_kernel(), _kernel()[:, 8:16]], axis=1),
            severity=Severity.WARNING,
        ),
    )

    def __post_init__(self) -> None:
        require(0 < self.most <= 1, "most must be above 0 and at most 1")

    def goes_by_kind(self) -> bool:
        return True

    def applies(self, info: TensorInfo) -> bool:
        if info.role not in _JUDGED or not is_plain_matrix(info):
            return False
        channels = _channels(info)
        return channels >= 4 and info.size // channels >= _LEAST

    def needs(self, info: TensorInfo) -> tuple[Statistic[Any], ...]:
        return (_equal(info.shape, info.output_axes),)

    def check(self, info: TensorInfo, stats: Stats) -> Iterator[Finding]:
        found = stats[_equal(info.shape, info.output_axes)]
        if not found.count:
            return
        channels = _channels(info)
        if found.count > max(1, self.most * channels):
            return
        other = "1 of {} output channels repeats" if found.count == 1 else "{1} of {0} output channels repeat"
        yield self.finding(
            info,
            f"{other.format(channels, found.count)} an earlier one, weight by weight: "
            f"the first, channel {found.channel}, is equal to channel {found.source}.",
            count=found.count,
            channel=found.channel,
            source=found.source,
        )


@lru_cache(maxsize=1024)
def _equal(shape: tuple[int, ...], output_axes: tuple[int, ...]) -> EqualChannels:
    """Return what finds equal output channels of a shape."""
    return EqualChannels(_axes(shape, output_axes))


def _axes(shape: tuple[int, ...], output_axes: tuple[int, ...]) -> int:
    """Return on how many of the last axes the output channels are; 0 where they are on others."""
    rank = len(shape)
    axes = sorted(axis % rank for axis in output_axes) if rank else []
    if not axes or axes != list(range(axes[0], axes[-1] + 1)) or prod(shape[axes[-1] + 1 :]) != 1:
        return 0
    return rank - axes[0]


def _channels(info: TensorInfo) -> int:
    axes = _axes(info.shape, info.output_axes)
    return prod(info.shape[-axes:]) if axes else 0
