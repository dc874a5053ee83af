"""WA203: single values that are far beyond what their role allows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.rule import Example, Finding, Rule, Severity
from weightaudit.statistics import Above
from weightaudit.tensor import Role
from weightaudit_rules._options import require
from weightaudit_rules._roles import is_weight

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from weightaudit.statistics import Statistic, Stats
    from weightaudit.tensor import TensorInfo

_Bounds = tuple[tuple[Above, Severity], ...]
"""What is counted, and how bad it is; the worst comes first."""

_MOVING = frozenset({Role.MOVING_MEAN, Role.MOVING_VARIANCE})
# Statistics of raw inputs: a time in seconds is 1.7e9, and the variance has the square of the unit.
_DATA = {Role.MOVING_MEAN: 1e10, Role.MOVING_VARIANCE: 1e20}


def _kernel(outlier: float | None = None) -> NDArray[np.float32]:
    kernel = np.random.default_rng(1).normal(0, 0.1, (64, 32)).astype(np.float32)
    if outlier is not None:
        kernel[5, 7] = outlier
    return kernel


def _variance(largest: float) -> NDArray[np.float32]:
    variance = np.random.default_rng(2).uniform(1, 900, 64).astype(np.float32)
    variance[9] = largest
    return variance


@dataclass(frozen=True)
class ExtremeValue(Rule):
    """Single values are far beyond anything that training produces.

    Why it matters: one flipped exponent bit turns 0.1 into 1e37, one wrong byte order or offset
    does the same to many; and a layer with one such weight answers with it alone.

    What is normal: |w| below 200 in the kernels, biases, embeddings and norm scales of 1,847
    real files. Moving variances of BatchNormalization layers reach 6e5 where inputs are not
    scaled, so for moving statistics only values above `error` count, as warnings. So it is for
    tensors whose role is not known, and for constants of a graph. A Normalization layer keeps the
    mean and the variance of raw data (seconds since 1970, prices): there means from 1e10 and
    variances from 1e20 count.

    Known false positives: constants that a custom layer stores as weights.

    How to mend: compare the value's neighbours; if it stands alone, fetch the file again or go
    back to another checkpoint; if inputs are not scaled, put a Normalization layer in front.

    Attributes:
        warning: Magnitude above which a weight is a warning.
        error: Magnitude above which it is an error.
    """

    warning: float = 1e3
    error: float = 1e6

    code = "WA203"
    name = "extreme-value"
    severity = Severity.ERROR
    supersedes = ("WA124", "WA402")
    examples = (
        Example(title="a trained kernel", values=_kernel, severity=None),
        Example(
            title="a constant of frequencies in Hz",
            values=lambda: np.linspace(20, 44_100, 300, dtype=np.float32),
            severity=None,
            info={"role": "constant"},
        ),
        Example(
            title="moving variances of a layer on raw inputs",
            values=lambda: _variance(3.1e5),
            severity=None,
            info={"role": "moving_variance", "layer_class": "BatchNormalization"},
        ),
        Example(
            title="the step counter of an optimizer",
            values=lambda: np.array(92490, np.float32),
            severity=None,
            info={"role": "counter"},
        ),
        Example(title="one weight of 5000", values=lambda: _kernel(5000), severity=Severity.WARNING),
        Example(title="a flipped exponent bit", values=lambda: _kernel(-3.4e37), severity=Severity.ERROR),
        Example(
            title="a moving variance of 4e9",
            values=lambda: _variance(4e9),
            severity=Severity.WARNING,
            info={"role": "moving_variance", "layer_class": "BatchNormalization"},
        ),
        Example(
            title="the variance of prices that a Normalization layer scales",
            values=lambda: _variance(4e9),
            severity=None,
            info={"role": "moving_variance", "layer_class": "Normalization"},
        ),
        Example(
            title="a variance of 3e37 in a Normalization layer",
            values=lambda: _variance(3e37),
            severity=Severity.WARNING,
            info={"role": "moving_variance", "layer_class": "Normalization"},
        ),
    )

    def __post_init__(self) -> None:
        require(0 < self.warning <= self.error, "warning must be above 0 and not above error")

    def goes_by_kind(self) -> bool:
        return True

    def applies(self, info: TensorInfo) -> bool:
        return is_weight(info)

    def needs(self, info: TensorInfo) -> tuple[Statistic[Any], ...]:
        return tuple(above for above, _ in self._bounds(info))

    def check(self, info: TensorInfo, stats: Stats) -> Iterator[Finding]:
        for above, severity in self._bounds(info):
            found = stats[above]
            if found.count:
                bound = above.limit
                yield self.finding(
                    info,
                    f"{found.count} of {info.size} values have a magnitude of {bound:g} or more "
                    f"(largest {found.largest:.3g}); they drown what the others say.",
                    severity,
                    count=found.count,
                    bound=bound,
                    largest=found.largest,
                )
                return

    @cached_property
    def _usual(self) -> _Bounds:
        return ((Above(self.error), Severity.ERROR), (Above(self.warning), Severity.WARNING))

    @cached_property
    def _lenient(self) -> _Bounds:
        return ((Above(self.error), Severity.WARNING),)

    def _bounds(self, info: TensorInfo) -> _Bounds:
        if info.layer_class == "Normalization" and info.role in _DATA:
            return ((Above(max(self.error, _DATA[info.role])), Severity.WARNING),)
        if info.role in _MOVING or info.role in {Role.UNKNOWN, Role.CONSTANT}:
            return self._lenient
        return self._usual
