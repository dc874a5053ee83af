"""WA120: single values that a gap separates from all others of their tensor."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.rule import Example, Finding, Rule, Severity
from weightaudit.statistics import Isolation, ZeroStretches
from weightaudit.tensor import MATRIX_ROLES, Role
from weightaudit_rules._options import require
from weightaudit_rules._roles import is_weight
from weightaudit_rules._stored import flipped_bit, index_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from weightaudit.statistics import Isolated, Statistic, Stats
    from weightaudit.tensor import TensorInfo

_RUNS = ZeroStretches()
_VECTORS = frozenset({Role.BIAS, Role.NORM_SCALE, Role.NORM_OFFSET})


def _kernel(*outliers: float) -> NDArray[np.float32]:
    kernel = np.random.default_rng(1).normal(0, 0.1, (64, 32)).astype(np.float32)
    kernel[5, : len(outliers)] = outliers
    return kernel


def _bias(outlier: float) -> NDArray[np.float32]:
    bias = np.random.default_rng(2).normal(0, 0.1, 64).astype(np.float32)
    bias[9] = outlier
    return bias


@dataclass(frozen=True)
class IsolatedValue(Rule):
    """One to three values lie far above all others of their tensor.

    Why it matters: training moves neighbouring weights by amounts of one order, so their magnitudes fall
    off without a gap. One flipped bit of an exponent multiplies a weight by 2, 4, 16, 256 or more, and one
    such weight can decide what the layer answers.

    What is normal: the largest two magnitudes of a kernel differ by less than a fifth in 97 of 100 kernels
    of real and trained models, and by a factor of 2 in 2 of 752. Biases are few and less regular.

    Formula: with t(1) >= t(2) >= ... the nine largest magnitudes and s(i) = i * log(t(i) / t(i + 1)), the
    largest is isolated if t(1) >= `gap` * t(2) and s(1) is at least `spacing` times the mean of the spacings
    below it, and the first j (up to 3; 1 of vectors) are if t(j) >= `wide` * t(j + 1). In a tail that falls
    like a power, all s(i) have one exponential distribution (Renyi's representation of order statistics, on
    which Hill's estimator rests).

    Measured: 1251 flips of one exponent bit, each of which brought a weight of a kernel or an embedding of a
    real, trained or fresh model above the range of its tensor. With WA203 and WA101, 86 in 100 are told: all
    1040 that at least doubled the range, 31 in 100 of those from 1.5 times on, 10 in 100 of those below.
    Nothing but another checkpoint reveals the rest: healthy tensors have such largest values. Of 69 flips in
    biases, scales and offsets, 42 are told.

    Known false positives: a weight that training did drive far out, as for a rare class or a feature of
    another scale: in 71 healthy models, 1 of 781 kernels and embeddings, and none of 1221 vectors. More than
    three values above a gap are not judged: they are a group of their own. Nor are tensors of which more
    than half lies in stretches of zeros.

    How to mend: the message tells which bit, if flipped, explains the value, and what it was before.
    Compare it with another checkpoint, fetch the file again, or replace the value.

    Attributes:
        gap: Least ratio to the next value, above 1, for kernels and embeddings.
        spacing: Least ratio of spacings.
        wide: Ratio that suffices alone.
        vector_factor: How many times larger the logarithms of `gap` and `wide` are for biases, norm scales
            and norm offsets.
    """

    gap: float = 1.2
    spacing: float = 10.0
    wide: float = 2.0
    vector_factor: float = 3.0

    code = "WA120"
    name = "isolated-value"
    severity = Severity.WARNING
    supersedes = ("WA124", "WA402")
    examples = (
        Example(title="a trained kernel", values=_kernel, severity=None),
        Example(
            title="a kernel with a group of large values",
            values=lambda: _kernel(2, 2.1, 2.2, 2.3, 2.4, 2.5, 2.6, 2.7, 2.8, 2.9),
            severity=None,
        ),
        Example(
            title="a bias twice as large as the others",
            values=lambda: _bias(0.45),
            severity=None,
            info={"role": "bias"},
        ),
        Example(
            title="a weight of 0.09 that became 1.44", values=lambda: _kernel(1.44), severity=Severity.WARNING
        ),
        Example(title="three flipped weights", values=lambda: _kernel(-9, 1.3, 4), severity=Severity.WARNING),
        Example(
            title="a bias of 0.2 that became 3.2",
            values=lambda: _bias(3.2),
            severity=Severity.WARNING,
            info={"role": "bias"},
        ),
    )

    def __post_init__(self) -> None:
        require(self.gap > 1, "gap must be above 1")
        require(self.wide >= self.gap, "wide must not be below gap")
        require(self.spacing >= 1, "spacing must be at least 1")
        require(self.vector_factor >= 1, "vector_factor must be at least 1")

    def goes_by_kind(self) -> bool:
        return True

    def applies(self, info: TensorInfo) -> bool:
        if not is_weight(info) or info.dtype.startswith("complex"):
            return False
        return info.size >= (64 if info.role in MATRIX_ROLES else 16) and (
            info.role in MATRIX_ROLES or info.role in _VECTORS
        )

    @cached_property
    def _of_matrices(self) -> Isolation:
        return Isolation(self.gap, self.spacing, self.wide)

    @cached_property
    def _of_vectors(self) -> Isolation:
        return Isolation(self.gap**self.vector_factor, self.spacing, self.wide**self.vector_factor)

    def _statistic(self, info: TensorInfo) -> Isolation:
        return self._of_matrices if info.role in MATRIX_ROLES else self._of_vectors

    def needs(self, info: TensorInfo) -> tuple[Statistic[Any], ...]:
        return (self._statistic(info), _RUNS)

    def check(self, info: TensorInfo, stats: Stats) -> Iterator[Finding]:
        found = stats[self._statistic(info)]
        is_group = found.count > 1 and info.role not in MATRIX_ROLES
        if not found.count or is_group or 2 * stats[_RUNS].zeros > info.size:
            return
        who = "1 value stands" if found.count == 1 else f"{found.count} values stand"
        yield self.finding(
            info,
            f"{who} far above the other {info.size - found.count}, whose largest magnitude is "
            f"{found.below:.4g}: {found.value:.4g} at index {index_of(info, found.place)}; "
            f"{_explanation(info, found)}",
            count=found.count,
            value=found.value,
            place=found.place,
            below=found.below,
        )


def _explanation(info: TensorInfo, found: Isolated) -> str:
    flip = None if info.quantization else flipped_bit(info.dtype, found.value, found.below)
    if flip is None:
        return "no single flipped exponent bit explains it."
    bit, before = flip
    return f"if bit {bit} of its exponent was flipped, it was {before:.4g}."
