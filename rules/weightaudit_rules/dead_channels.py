"""WA402: output channels without a weight that matters."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.numerals import numeral
from weightaudit.rule import Example, Finding, Rule, Severity
from weightaudit.statistics import WeakGroups, Zeros
from weightaudit.tensor import Role, axes_besides
from weightaudit_rules._options import require
from weightaudit_rules._roles import is_matrix

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from weightaudit.statistics import Statistic, Stats
    from weightaudit.tensor import TensorInfo

_ZEROS = Zeros()


def _kernel(dead: int = 0, level: float = 0.0) -> NDArray[np.float32]:
    kernel = np.random.default_rng(1).normal(0, 0.1, (3, 3, 8, 32))
    kernel[..., :dead] *= level
    return kernel.astype(np.float32)


def _pruned(share: float) -> NDArray[np.float32]:
    kept = np.random.default_rng(2).random((3, 3, 8, 32)) >= share
    return _kernel(2) * kept.astype(np.float32)


@dataclass(frozen=True)
class DeadChannels(Rule):
    """Output channels of a kernel, or columns of an embedding, have no weight that matters.

    Why it matters: such a channel gives the same output for every input. It costs memory and
    time, and many of them say that training killed the layer (a too large learning rate
    before a ReLU, or too much weight decay).

    Formula: a channel is dead if its largest magnitude is below `relative` times the largest of the
    tensor, or below `floor`. Not a median is compared with, since more than half of the channels may be
    dead. Rows of an embedding are not judged: words that never occurred may be zero.

    What is normal: none in most models; some in networks with weight decay and
    normalization, where dead filters shrink to about 1e-36 and hardly ever to exactly zero.

    Where a share of `pruned` or more of the other channels' weights are zeros, pruning by magnitude has
    emptied the weaker channels, and the finding is a note: at 0.85, weights above 1.4 standard deviations
    are left, and of 100 in a channel half as strong as the others 0.4.

    Known false positives: fixed kernels with an empty channel, such as the sine of frequency
    zero in a Fourier transform; kernels pruned by whole channels.

    How to mend: remove the channels from this kernel and from the next layer's inputs; train
    again with a smaller learning rate, another activation or less weight decay.

    Attributes:
        relative: A channel is dead if its largest magnitude is below this share of the
            largest in the tensor.
        floor: A channel is dead if its largest magnitude is below this.
        allowed: Share of the channels that may be dead, 0 to 1.
        pruned: Share of zeros in the other channels from which on dead ones are a note, 0 to 1.
    """

    relative: float = 1e-6
    floor: float = 1e-20
    allowed: float = 0.0
    pruned: float = 0.85

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
        Example(
            title="two channels of zeros where pruning left one weight in ten",
            values=lambda: _pruned(0.9),
            severity=Severity.NOTE,
        ),
        Example(
            title="two channels of zeros where pruning left half of the weights",
            values=lambda: _pruned(0.5),
            severity=Severity.WARNING,
        ),
        Example(title="three channels of zeros", values=lambda: _kernel(3), severity=Severity.WARNING),
        Example(
            title="an embedding with rows of zeros, for words that never occurred",
            values=lambda: np.ascontiguousarray(_kernel(9).reshape(72, 32).T),
            severity=None,
            info={"role": "embedding", "layer_class": "Embedding", "output_axes": (0,)},
        ),
        Example(
            title="an embedding with a column of zeros",
            values=lambda: _kernel(1).reshape(72, 32),
            severity=Severity.WARNING,
            info={"role": "embedding", "layer_class": "Embedding", "output_axes": (0,)},
        ),
        Example(
            title="all channels decayed to 1e-30",
            values=lambda: _kernel(32, 1e-29),
            severity=Severity.WARNING,
        ),
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
        require(0 < self.pruned <= 1, "pruned must be above 0, up to 1")

    def goes_by_kind(self) -> bool:
        return True

    def applies(self, info: TensorInfo) -> bool:
        return is_matrix(info) and bool(_outputs(info))

    def needs(self, info: TensorInfo) -> tuple[Statistic[Any], ...]:
        return (self._peaks(info), _ZEROS)

    def _peaks(self, info: TensorInfo) -> WeakGroups:
        """Return the largest magnitude per output channel."""
        return _channels(len(info.shape), _outputs(info), self.relative, self.floor)

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
            is_embedding = info.role is Role.EMBEDDING
            which = "Columns of the embedding" if is_embedding else "Output channels"
            share = _share_of_zeros(stats[_ZEROS], info.size, dead / peaks.size)
            is_pruned = share >= self.pruned
            reason = (
                f"; {share:.0%} of the others' weights are zeros, as pruning leaves them" if is_pruned else ""
            )
            yield self.finding(
                info,
                f"{which} are dead ({dead} of {peaks.size}): their weights are all below {numeral(bound, 2)} "
                f"where the largest is {numeral(largest, 2)}, so they give the same output for every "
                f"input{reason}.",
                Severity.NOTE if is_pruned else None,
                dead=dead,
                channels=peaks.size,
                bound=bound,
                largest=largest,
            )


def _outputs(info: TensorInfo) -> tuple[int, ...]:
    """Return the axes of the outputs; of an embedding the columns, which are the outputs for every word."""
    if info.role is not Role.EMBEDDING:
        return info.output_axes
    # A row that is zero is a padding token or a word that was never seen.
    return (1,) if len(info.shape) == 2 else ()


def _share_of_zeros(zeros: int, size: int, dead: float) -> float:
    """Return the share of zeros in the channels that live, or 0 if none does; all others are zeros."""
    gone = dead * size
    return (zeros - gone) / (size - gone) if dead < 1 else 0.0


@lru_cache(maxsize=1024)
def _channels(rank: int, output_axes: tuple[int, ...], relative: float, floor: float) -> WeakGroups:
    return WeakGroups(axes_besides(rank, output_axes), relative, floor)
