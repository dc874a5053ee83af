"""WA210: values that a narrower floating point format cannot hold."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.numerals import numeral
from weightaudit.rule import Example, Finding, Rule, Severity
from weightaudit.statistics import Above
from weightaudit_rules._examples import trained_kernel
from weightaudit_rules._floats import FORMATS, Target
from weightaudit_rules._initial import declared_constant
from weightaudit_rules._options import require
from weightaudit_rules._roles import is_weight
from weightaudit_rules._words import part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from weightaudit.statistics import Statistic, Stats
    from weightaudit.tensor import TensorInfo


def _variance(largest: float) -> NDArray[np.float32]:
    variance = np.random.default_rng(2).uniform(1, 900, 64).astype(np.float32)
    variance[9] = largest
    return variance


_BATCH_NORM = {"role": "moving_variance", "layer_class": "BatchNormalization"}


@dataclass(frozen=True)
class LowPrecisionOverflow(Rule):
    """Values overflow when the model is cast to float16 (or to another format).

    Why it matters: TensorRT, TFLite and mixed precision cast weights to float16, where 65520 and
    more become infinite (some converters clamp instead); an infinite variance makes its
    channel zero, an infinite weight makes outputs NaN.

    What is normal: kernels never come near; moving variances of BatchNormalization layers on
    unscaled inputs do (3e5 and 6e5 in real models). Activations can overflow where no weight
    does; weights cannot show that.

    The mean and variance that a Normalization layer keeps of raw data, and a tensor that was
    declared to start beyond the format, are notes: both stay in float32 where precision is mixed,
    and overflow where the whole model is cast.

    Known false positives: models that are never cast. Ignore the rule, or set `dtype` to the
    format that is served.

    How to mend: fold BatchNormalization into the preceding kernel before the cast, keep
    moving statistics in float32, scale the inputs, or serve in bfloat16.

    Attributes:
        dtype: Format to cast to: float16, bfloat16, float8_e4m3fn or float8_e5m2.
        margin: Headroom factor, 1 or more; 2 reports values above half of the limit.
    """

    dtype: Target = "float16"
    margin: float = 1.0

    code = "WA210"
    name = "low-precision-overflow"
    severity = Severity.WARNING
    examples = (
        Example(
            title="a trained kernel",
            values=trained_kernel,
            severity=None,
        ),
        Example(
            title="65519, which float16 rounds to 65504",
            values=lambda: _variance(65519),
            severity=None,
            info=_BATCH_NORM,
        ),
        Example(
            title="3.1e5 in bfloat16, which has float32's range",
            values=lambda: _variance(3.1e5),
            severity=None,
            info=_BATCH_NORM,
            options={"dtype": "bfloat16"},
        ),
        Example(
            title="65520, the smallest that becomes infinite",
            values=lambda: _variance(65520),
            severity=Severity.WARNING,
            info=_BATCH_NORM,
        ),
        Example(
            title="a moving variance on raw inputs",
            values=lambda: _variance(3.1e5),
            severity=Severity.WARNING,
            info=_BATCH_NORM,
        ),
        Example(
            title="40,000 with a margin of 2",
            values=lambda: _variance(40_000),
            severity=Severity.WARNING,
            info=_BATCH_NORM,
            options={"margin": 2.0},
        ),
        Example(
            title="465 in float8_e4m3fn, which has no infinity",
            values=lambda: _variance(465),
            severity=Severity.WARNING,
            info={"role": "bias"},
            options={"dtype": "float8_e4m3fn"},
        ),
    )

    def __post_init__(self) -> None:
        require(self.margin >= 1, "margin must be at least 1")

    def goes_by_kind(self) -> bool:
        return True

    def applies(self, info: TensorInfo) -> bool:
        return is_weight(info) and info.dtype in FORMATS[self.dtype].narrower_than

    def needs(self, info: TensorInfo) -> tuple[Statistic[Any], ...]:
        return (self._above,)

    @cached_property
    def _above(self) -> Above:
        return Above(FORMATS[self.dtype].overflow / self.margin)

    def check(self, info: TensorInfo, stats: Stats) -> Iterator[Finding]:
        found = stats[self._above]
        if not found.count:
            return
        target = FORMATS[self.dtype]
        verbs = ("becomes", "become") if found.largest >= target.overflow else ("leaves", "leave")
        effect = target.becomes if found.largest >= target.overflow else "too little headroom"
        meant = declared_constant(info)
        yield self.finding(
            info,
            f"Cast to {self.dtype}, which ends at {numeral(target.largest, 6)}, "
            f"{part(found.count, info.size, 'value', *verbs)} {effect} (largest "
            f"{numeral(found.largest, 6)}).",
            # What a Normalization layer knows of raw data stays in float32 under every mixed policy, and
            # a bias that was declared to start beyond the format was never meant to be cast.
            Severity.NOTE if info.layer_class == "Normalization" or meant >= self._above.limit else None,
            count=found.count,
            size=info.size,
            largest=found.largest,
            bound=self._above.limit,
        )
