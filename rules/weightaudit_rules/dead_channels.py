"""WA402: output channels without a weight that matters."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.rule import Example, Finding, Rule, Severity
from weightaudit.statistics import WeakGroups
from weightaudit.tensor import Role
from weightaudit_rules._options import require
from weightaudit_rules._roles import is_matrix

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from weightaudit.statistics import Statistic, Stats
    from weightaudit.tensor import TensorInfo


def _kernel(dead: int = 0, level: float = 0.0) -> NDArray[np.float32]:
    kernel = np.random.default_rng(1).normal(0, 0.1, (3, 3, 8, 32))
    kernel[..., :dead] *= level
    return kernel.astype(np.float32)


@dataclass(frozen=True)
class DeadChannels(Rule):
    """Output channels of a kernel have no weight that matters.

    Why it matters: such a channel gives the same output for every input. It costs memory and
    time, and many of them say that training killed the layer (a too large learning rate
    before a ReLU, or too much weight decay).

    What is normal: none in most models; some in networks with weight decay and
    normalization, where dead filters shrink to about 1e-36 and hardly ever to exactly zero.

    Known false positives: fixed kernels with an empty channel, such as the sine of frequency
    zero in a Fourier transform; kernels pruned by whole channels.

    How to mend: remove the channels from this kernel and from the next layer's inputs; train
    again with a smaller learning rate, another activation or less weight decay.

    Attributes:
        relative: A channel is dead if its largest magnitude is below this share of the
            largest in the tensor.
        floor: A channel is dead if its largest magnitude is below this.
        allowed: Share of the channels that may be dead, 0 to 1.
    """

    relative: float = 1e-6
    floor: float = 1e-20
    allowed: float = 0.0

    code = "WA402"
    name = "dead-channels"
    severity = Severity.WARNING
    examples = (
        Example(title="a trained convolution", values=_kernel, severity=None),
        Example(
            title="weak channels, a hundredth of the others",
            values=lambda: _kernel(8, 0.01),
            severity=None,
        ),
        Example(
            title="three of 32 channels are zeros, and the policy allows a tenth",
            values=lambda: _kernel(3),
            severity=None,
            options={"allowed": 0.1},
        ),
        Example(title="three channels of zeros", values=lambda: _kernel(3), severity=Severity.WARNING),
        Example(
            title="20 of 32 channels decayed to 1e-36",
            values=lambda: _kernel(20, 1e-35),
            severity=Severity.WARNING,
        ),
    )

    def __post_init__(self) -> None:
        require(
            0 <= self.relative <= 1 and self.floor >= 0,
            "relative must lie between 0 and 1, and floor must not be negative",
        )
        require(0 <= self.allowed <= 1, "allowed must lie between 0 and 1")

    def goes_by_kind(self) -> bool:
        return True

    def applies(self, info: TensorInfo) -> bool:
        # An embedding row that is zero is a padding token or a word that was never seen.
        return is_matrix(info) and info.role is not Role.EMBEDDING and bool(info.output_axes)

    def needs(self, info: TensorInfo) -> tuple[Statistic[Any], ...]:
        return (self._peaks(info),)

    def _peaks(self, info: TensorInfo) -> WeakGroups:
        """Return the largest magnitude per output channel."""
        return _channels(len(info.shape), info.output_axes, self.relative, self.floor)

    def check(self, info: TensorInfo, stats: Stats) -> Iterator[Finding]:
        peaks = stats[self._peaks(info)]
        if not peaks.size:
            return
        # For a few channels, finding the place of an extreme takes numpy a third of the time for its value.
        largest: float = peaks.item(peaks.argmax())
        bound = max(self.floor, self.relative * largest)
        if largest > 0 and peaks.item(peaks.argmin()) < bound:
            dead = int(np.count_nonzero(peaks < bound))
            if dead <= self.allowed * peaks.size:
                return
            yield self.finding(
                info,
                f"Output channels are dead ({dead} of {peaks.size}): their weights are all below {bound:.2g} "
                f"where the largest is {largest:.2g}, so they give the same output for every input.",
                dead=dead,
                channels=peaks.size,
                bound=bound,
                largest=largest,
            )


@lru_cache(maxsize=1024)
def _channels(rank: int, output_axes: tuple[int, ...], relative: float, floor: float) -> WeakGroups:
    kept = {axis % rank for axis in output_axes}
    reduced = tuple(axis for axis in range(rank) if axis not in kept)
    return WeakGroups(reduced, relative, floor)
