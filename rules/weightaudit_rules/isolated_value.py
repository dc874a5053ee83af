"""WA120: single values that a gap separates from all others of their tensor."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import inf, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.numerals import numeral
from weightaudit.rule import Example, Finding, Measured, Rule, Severity
from weightaudit.statistics import ZeroStretches
from weightaudit.statistics.surroundings import Outlier, Standout
from weightaudit.tensor import MATRIX_ROLES, Role
from weightaudit_rules._examples import trained_kernel
from weightaudit_rules._options import require
from weightaudit_rules._roles import is_second_copy, is_weight
from weightaudit_rules._stored import flipped_bit, index_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from weightaudit.statistics import Statistic
    from weightaudit.tensor import TensorInfo

_RUNS = ZeroStretches()
_VECTORS = frozenset({Role.BIAS, Role.NORM_SCALE, Role.NORM_OFFSET})

_NOTABLE = 1.5
"""Ratio to the row and the column that is notable in a model, beside others."""

_AGREEING = 0.1
"""Largest relative difference of two values that layers learned alike."""

_CERTAIN, _LIKELY = 8.0, 2.0
"""Ratios to the next value from which on it is a warning, the latter in tensors of many elements."""

_PLENTY = 2048
"""Elements of a tensor of many."""

_MANY = 256
"""Elements from which on it means something that one is alone in its row and its column."""


def _kernel(*outliers: float) -> NDArray[np.float32]:
    kernel = trained_kernel()
    kernel[5, : len(outliers)] = outliers
    return kernel


def _bias(outlier: float) -> NDArray[np.float32]:
    bias = np.random.default_rng(2).normal(0, 0.1, 64).astype(np.float32)
    bias[9] = outlier
    return bias


@dataclass(frozen=True)
class IsolatedValue(Rule):
    """One to three values lie far above all others of their tensor, or one above its row and its column.

    Why it matters: training moves neighbouring weights by amounts of one order, so their magnitudes fall
    off without a gap. One flipped bit of an exponent multiplies a weight by 2, 4, 16, 256 or more, and one
    such weight can decide what the layer answers.

    What is normal: the largest two magnitudes of a kernel differ by less than a fifth in 97 of 100 kernels
    of real and trained models, and by a factor of 2 in 2 of 752. Where a tensor has larger weights, it is
    in rows and columns that are larger as a whole. Biases are few and less regular.

    Formula: with t(1) >= t(2) >= ... the nine largest magnitudes and s(i) = i * log(t(i) / t(i + 1)), the
    largest is isolated if t(1) >= `gap` * t(2) and s(1) is at least `spacing` times the mean of the spacings
    below it, and the first j (up to 3; 1 of vectors) are if t(j) >= `wide` * t(j + 1). In a tail that falls
    like a power, all s(i) have one exponential distribution (Renyi's representation of order statistics, on
    which Hill's estimator rests). A smaller gap is enough where the row and the column of the largest hold
    nothing like it: with t(1) >= `near` * t(2) and u the largest other magnitude in both, it is alone if
    t(1) is at least `far` times both t(2) and u, or if t(1) * sqrt(t(1) / t(2)) >= `alone` * u and s(1) is at
    least `alone_spacing` times the mean; if one flipped bit explains it; and if no other tensor of the
    model has a value of this kind, for then it is how the model was trained. Exactly 2 is what a zero
    becomes whose highest exponent bit is flipped, so there `near` is enough.

    It is a warning if t(1) is at least 8 times t(2), or twice in a tensor of 2048 elements or more, else a
    note: of 48 published models that no bound had been chosen on, five have such values for no fault that
    could be seen, most of them in kernels of 128 to 1024 elements or less than twice the next.

    Measured: 480 flips of one exponent bit in 40 real and trained models, which brought a weight above the
    range of its tensor or of its layer. With WA203 and WA101, 414 are told: of those in kernels and
    embeddings all 359 that at least doubled the range, 29 of 34 from 1.5 times on, and 5 of 52 below,
    where healthy tensors have such values; 14 of the 66 that are missed are in biases, scales and offsets,
    which are told from about 8 times on.

    Known false positives: a weight that training did drive far out, as for a rare class or a feature of
    another scale: one kernel of 1 of 77 trained models, and none of 32 fresh ones. More than three
    values above a gap are not judged: they are a group of their own.
    Nor are tensors of which more than half lies in stretches of zeros.

    How to mend: compare the value with another checkpoint, fetch the file again, or replace the value;
    where one flipped bit explains it, the message tells what it was before.

    Attributes:
        gap: Least ratio to the next value, above 1, for kernels and embeddings.
        spacing: Least ratio of spacings.
        wide: Ratio that suffices alone.
        vector_factor: How many times larger the logarithms of `gap` and `wide` are for biases, norm scales
            and norm offsets.
        near: Least ratio to the next value where row and column are looked at.
        alone: Least ratio to the largest other value in row and column, times the root of that to the next.
        alone_spacing: Least ratio of spacings there.
        far: Ratio to the next value, and to the largest other in row and column, that suffices there.
    """

    gap: float = 1.2
    spacing: float = 10.0
    wide: float = 2.0
    vector_factor: float = 3.0
    near: float = 1.1
    alone: float = 1.8
    alone_spacing: float = 5.0
    far: float = 1.6

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
        require(1 < self.near <= self.gap, "near must be above 1 and not above gap")
        require(self.alone > 1, "alone must be above 1")
        require(self.alone_spacing >= 1, "alone_spacing must be at least 1")
        require(self.far >= self.near, "far must not be below near")

    def goes_by_kind(self) -> bool:
        return True

    def applies(self, info: TensorInfo) -> bool:
        if not is_weight(info) or info.dtype.startswith("complex"):
            return False
        return info.size >= (64 if info.role in MATRIX_ROLES else 16) and (
            info.role in MATRIX_ROLES or info.role in _VECTORS
        )

    @cached_property
    def _of_matrices(self) -> Standout:
        return Standout(self.gap, self.spacing, self.wide, self.near)

    @cached_property
    def _of_vectors(self) -> Standout:
        factor = self.vector_factor
        gap = self.gap**factor
        return Standout(gap, self.spacing, self.wide**factor, gap)

    def _statistic(self, info: TensorInfo) -> Standout:
        return self._of_matrices if info.role in MATRIX_ROLES else self._of_vectors

    def needs(self, info: TensorInfo) -> tuple[Statistic[Any], ...]:
        return (self._statistic(info), _RUNS)

    def check_model(self, model: Measured) -> Iterator[Finding]:
        seen = [(info, found) for info in model.tensors if (found := self._outlier(info, model)).place >= 0]
        for info, found in seen:
            if self._is_isolated(info, found, model) and not _is_shared(info, found, seen):
                yield self._finding_isolated(info, found)
        largest = [(info, found) for info, found in seen if self._is_compared(info)]
        # Where several tensors have such a value, it is how this model was trained, not a fault.
        usual = {info.name for info, found in largest if found.count or self._is_notable(found)}
        for info, found in largest:
            if not found.count and not usual - {info.name} and self._is_alone(info, found):
                yield self._finding_alone(info, found)

    def _outlier(self, info: TensorInfo, model: Measured) -> Outlier:
        if info.name not in model.stats or not self.applies(info):
            return Outlier()
        return model.stats[info.name].get(self._statistic(info)) or Outlier()

    def _is_isolated(self, info: TensorInfo, found: Outlier, model: Measured) -> bool:
        is_group = found.count > 1 and info.role not in MATRIX_ROLES
        return bool(found.count) and not is_group and 2 * model.stats[info.name][_RUNS].zeros <= info.size

    def _finding_isolated(self, info: TensorInfo, found: Outlier) -> Finding:
        who = "1 value stands" if found.count == 1 else f"{found.count} values stand"
        return self.finding(
            info,
            f"{who} far above the other {info.size - found.count:,}, whose largest magnitude is "
            f"{numeral(found.below, 4)}: {numeral(found.value, 4)} at index {index_of(info, found.place)}; "
            f"{_explanation(info, found)}",
            _severity(info, found),
            count=found.count,
            value=found.value,
            place=found.place,
            below=found.below,
        )

    def _is_compared(self, info: TensorInfo) -> bool:
        return info.role in MATRIX_ROLES and not is_second_copy(info)

    def _is_notable(self, found: Outlier) -> bool:
        value = abs(found.value)
        is_known = found.beside < value
        return value >= self.gap * found.below and not (is_known and value < _NOTABLE * found.beside)

    def _is_alone(self, info: TensorInfo, found: Outlier) -> bool:
        if info.size < _MANY or (flip := _flip(info, found)) is None:
            return False
        ratio, others = abs(found.value) / found.below, abs(found.value) / found.beside
        is_odd = found.spacing >= self.alone_spacing and others * sqrt(ratio) >= self.alone
        return flip[1] == 0 or is_odd or min(ratio, others) >= self.far

    def _finding_alone(self, info: TensorInfo, found: Outlier) -> Finding:
        value = abs(found.value)
        return self.finding(
            info,
            f"The largest of {info.size:,} values, {numeral(found.value, 4)} at index "
            f"{index_of(info, found.place)}, "
            f"is alone: {numeral(value / found.below)} times the next one, "
            f"{numeral(value / found.beside)} times the "
            f"largest other in its row and its column; {_explanation(info, found)}",
            _severity(info, found),
            count=1,
            value=found.value,
            place=found.place,
            below=found.below,
            beside=found.beside,
        )


def _is_shared(info: TensorInfo, found: Outlier, seen: Sequence[tuple[TensorInfo, Outlier]]) -> bool:
    """Say whether another tensor of this role and shape has its largest value in the same place.

    Layers whose outputs are added up learn from the same gradients; a fault does not strike one place twice.
    Of few elements it may do so by chance, so the values must agree there, too.
    """
    return any(
        other is not info
        and (other.role, other.shape, one.place) == (info.role, info.shape, found.place)
        and (info.size >= _MANY or abs(one.value - found.value) <= _AGREEING * abs(found.value))
        for other, one in seen
    )


def _severity(info: TensorInfo, found: Outlier) -> Severity:
    """Say how much it means: training drives one of few weights far out, and any by a little."""
    ratio = abs(found.value) / found.below if found.below else inf
    is_clear = ratio >= _CERTAIN or (ratio >= _LIKELY and info.size >= _PLENTY)
    return Severity.WARNING if is_clear else Severity.NOTE


def _flip(info: TensorInfo, found: Outlier) -> tuple[int, float] | None:
    return None if info.quantization else flipped_bit(info.dtype, found.value, found.below)


def _explanation(info: TensorInfo, found: Outlier) -> str:
    flip = _flip(info, found)
    if flip is None:
        return "no single flipped exponent bit explains it."
    bit, before = flip
    return f"if bit {bit} of its exponent was flipped, it was {numeral(before, 4)}."
