"""WA211: values that a narrower floating point format loses."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.numerals import numeral
from weightaudit.rule import Example, Finding, Rule, Severity
from weightaudit.statistics import Moments, Tiny
from weightaudit.tensor import MATRIX_ROLES, Role
from weightaudit_rules._floats import FORMATS, Target
from weightaudit_rules._options import require
from weightaudit_rules._roles import is_weight
from weightaudit_rules._words import part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from weightaudit.statistics import Statistic, Stats
    from weightaudit.tensor import TensorInfo

_MOMENTS = Moments()
_JUDGED = MATRIX_ROLES | {Role.NORM_SCALE}
_LOSS_OF_SCALES = 1e-3
"""Share that scales may lose: each multiplies a channel by itself, which rounding changes by 3 % then."""


def _normal(scale: float) -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(0, scale, (64, 32)).astype(np.float32)


def _half_decayed() -> NDArray[np.float32]:
    kernel = _normal(0.1)
    kernel[:, ::2] *= np.float32(1e-30)
    return kernel


@dataclass(frozen=True)
class LowPrecisionUnderflow(Rule):
    """Weights are lost below the range of float16 (or of another format) when the model is cast.

    Why it matters: float16 rounds magnitudes up to 3e-8 to zero and keeps only some digits of
    those below 6.1e-5. A layer whose weights all lie there changes what it computes.

    Formula: the squares of all weights that become zero, and step**2 / 12 for each that is rounded to the
    grid of subnormal numbers (uniform error), over the sum of squares. What may be lost by default
    leaves a signal-to-noise ratio of 60 dB in float16, 45 in bfloat16, 25 and 19 in the two float8,
    which is 6 to 14 dB less than rounding alone leaves.

    What is normal: many real models hold decayed weights that become zero, and lose nothing
    by it. So what is judged is the share of the tensor's energy (sum of squares) that
    underflow takes, and the share of weights is only told. Of scales of normalizations and of residual
    branches 1e-3 may be lost, at least: LayerScale starts at 1e-5 or 1e-6, and what rounding takes from a
    scale changes the size of one channel by 3 %.

    Known false positives: models that are never cast. Ignore the rule, or set `dtype` to the
    format that is served.

    How to mend: scale the layer up and its input or the next layer down, fold the scale
    into a normalization, keep the layer in float32, or serve in bfloat16.

    Attributes:
        dtype: Format to cast to: float16, bfloat16, float8_e4m3fn or float8_e5m2.
        max_loss: Share of the energy that may be lost; None for the format's own: 1e-6 for
            float16, 3.2e-5 for bfloat16, 3.2e-3 for float8_e4m3fn, 1.3e-2 for float8_e5m2.
    """

    dtype: Target = "float16"
    max_loss: float | None = None

    code = "WA211"
    name = "low-precision-underflow"
    severity = Severity.WARNING
    examples = (
        Example(title="a trained kernel", values=lambda: _normal(0.1), severity=None),
        Example(title="half of the weights have decayed to 1e-31", values=_half_decayed, severity=None),
        Example(
            title="weights of 1e-6 in bfloat16, which has float32's range",
            values=lambda: _normal(1e-6),
            severity=None,
            options={"dtype": "bfloat16"},
        ),
        Example(title="a kernel of 1e-9", values=lambda: _normal(1e-9), severity=Severity.WARNING),
        Example(
            title="a kernel of 5e-6, subnormal in float16",
            values=lambda: _normal(5e-6),
            severity=Severity.WARNING,
        ),
        Example(
            title="the scale of a residual branch that starts at 1e-6",
            values=lambda: np.full(64, 1e-6, np.float32),
            severity=None,
            info={"role": "norm_scale"},
        ),
        Example(
            title="a scale of 1e-9",
            values=lambda: np.full(64, 1e-9, np.float32),
            severity=Severity.WARNING,
            info={"role": "norm_scale"},
        ),
        Example(
            title="a kernel of 0.004 in float8_e4m3fn, without a scale of its own",
            values=lambda: _normal(4e-3),
            severity=Severity.WARNING,
            options={"dtype": "float8_e4m3fn"},
        ),
    )

    def __post_init__(self) -> None:
        require(self.max_loss is None or 0 <= self.max_loss <= 1, "max_loss must lie between 0 and 1")

    def goes_by_kind(self) -> bool:
        return True

    def applies(self, info: TensorInfo) -> bool:
        return is_weight(info) and info.role in _JUDGED and info.dtype in FORMATS[self.dtype].narrower_than

    def needs(self, info: TensorInfo) -> tuple[Statistic[Any], ...]:
        return (_MOMENTS, self._tiny)

    @cached_property
    def _bound(self) -> float:
        return FORMATS[self.dtype].loss if self.max_loss is None else self.max_loss

    @cached_property
    def _tiny(self) -> Tiny:
        # Rounding costs a subnormal value less than flushing costs the largest value that is flushed.
        target = FORMATS[self.dtype]
        return Tiny(target.flush, target.normal, self._bound / 2)

    def check(self, info: TensorInfo, stats: Stats) -> Iterator[Finding]:
        tiny = stats[self._tiny]
        if not tiny.flushed and not tiny.subnormal:
            return
        energy = stats[_MOMENTS].squares
        target, bound = FORMATS[self.dtype], self._bound
        if info.role is Role.NORM_SCALE:
            bound = max(bound, _LOSS_OF_SCALES)
        # Rounding to a grid of step s adds noise of s**2 / 12 per value (uniform error).
        lost = tiny.flushed_energy + tiny.subnormal * target.step**2 / 12
        # Squares of float64 below 1e-162 vanish: then every weight is lost that is there.
        share = lost / energy if energy > 0 else float(tiny.flushed > 0)
        if share > bound:
            yield self.finding(
                info,
                f"Cast to {self.dtype}, {part(tiny.flushed, info.size, 'weight', 'becomes', 'become')} zero "
                f"(subnormal: {tiny.subnormal}); {_energy(share)} of the tensor's energy is lost, "
                f"above {numeral(bound, 2)}.",
                flushed=tiny.flushed,
                subnormal=tiny.subnormal,
                size=info.size,
                loss=share,
                bound=bound,
            )


def _energy(share: float) -> str:
    return "all" if share == 1 else f"a share of {numeral(share, 2)}"
