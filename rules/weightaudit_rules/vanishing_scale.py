"""WA202: weights that are far too small as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.numerals import numeral
from weightaudit.rule import Example, Finding, Severity
from weightaudit.tensor import Role
from weightaudit_rules._gain import EXTREMES, GainRule, gain_of, gain_of_largest, label_of
from weightaudit_rules._options import require
from weightaudit_rules._regularized import shrunk_by

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from weightaudit.statistics import Statistic, Stats
    from weightaudit.tensor import TensorInfo


_RESIDUAL = 100.0
"""How much wider than those of embeddings the bounds of norm scales are, for those of residual branches."""


def _normal(scale: float) -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(0, scale, (64, 32)).astype(np.float32)


@dataclass(frozen=True)
class VanishingScale(GainRule):
    """The weights as a whole are far too small for their fan-in.

    Why it matters: a layer multiplies the typical size of its inputs by the gain,
    sqrt(fan_in) * rms. With a gain of 0.001 its outputs are the biases, whatever goes in.

    Formula: of a kernel, the gain sqrt(fan_in) * rms, by which it multiplies the rms of inputs that
    are independent of each other (He et al. 2015, equation 7). Where the fan-in is not known, and for
    embeddings and norm scales, the rms alone. Tensors below 16 elements are not judged.

    What is normal: about 1 when training starts, 0.04 to 40 in trained networks that work; the
    heads of policies (PPO) start at 0.01, from an orthogonal initializer with that gain. Where
    the rms alone is judged, nothing but custom ties it to 1, so the bounds are 100 times wider, and those of
    norm scales 10,000 times: LayerScale (Touvron et al. 2021) starts residual branches at 1e-6. A tensor of
    zeros is left to WA204. Where all squares are below float64 (values below 1.5e-162), the largest magnitude
    stands for the root mean square, which it is never below.

    A linear regression, a single layer of up to four outputs, is not judged: its weights have units of data.

    Known false positives: residual branches and adapters that start at almost nothing, layers
    whose inputs are huge by design, and kernels followed by a normalization, which rescales.
    A declared regularizer that is strong (L1 of at least 0.001, L2 of at least 0.01) can do it, which
    is a warning that says so. Norm scales are at most a warning.

    How to mend: look for a dead branch, too much weight decay, or a scale factor that was
    applied twice in a conversion; train the layer again, or remove it.

    Attributes:
        warning: Gain below which a finding is a warning.
        error: Gain below which it is an error.
    """

    warning: float = 5e-3
    error: float = 1e-3

    code = "WA202"
    name = "vanishing-scale"
    severity = Severity.ERROR
    examples = (
        Example(title="a Dense kernel after training", values=lambda: _normal(0.2), severity=None),
        Example(title="the head of a policy, gain 0.01", values=lambda: _normal(1.24e-3), severity=None),
        Example(
            title="an embedding with small values",
            values=lambda: _normal(0.005),
            severity=None,
            info={"role": "embedding", "layer_class": "Embedding"},
        ),
        Example(
            title="zeros, which are another rule's business",
            values=lambda: np.zeros((64, 32), np.float32),
            severity=None,
        ),
        Example(
            title="the scale of a residual branch, as LayerScale makes it",
            values=lambda: np.full(64, 1e-6, np.float32),
            severity=None,
            info={"role": "norm_scale", "layer_class": "LayerScale"},
        ),
        Example(
            title="the scale of a normalization, divided by 10**8",
            values=lambda: np.full(64, 1e-8, np.float32),
            severity=Severity.WARNING,
            info={"role": "norm_scale"},
        ),
        Example(title="gain 0.004", values=lambda: _normal(5e-4), severity=Severity.WARNING),
        Example(
            title="float64 weights whose squares are below float64",
            values=lambda: _normal(1).astype(np.float64) * 1e-300,
            severity=Severity.ERROR,
        ),
        Example(title="gain 8e-10", values=lambda: _normal(1e-10), severity=Severity.ERROR),
    )

    def __post_init__(self) -> None:
        require(0 <= self.error <= self.warning, "error must not be negative, nor above warning")

    def needs(self, info: TensorInfo) -> tuple[Statistic[Any], ...]:
        return (*super().needs(info), EXTREMES)

    def judge(self, info: TensorInfo, stats: Stats) -> Iterator[Finding]:
        gain, wider = gain_of(info, stats)
        if info.role is Role.NORM_SCALE:
            wider *= _RESIDUAL
        at_most = ""
        if gain == 0:
            gain, at_most = gain_of_largest(info, stats), "at most "
        if not 0 < gain < self.warning / wider:
            return
        shrunk = shrunk_by(info)
        reason = f"; its declared regularizer, {shrunk}, may have driven it there" if shrunk else ""
        for bound, severity in ((self.error, Severity.ERROR), (self.warning, Severity.WARNING)):
            if gain < bound / wider:
                yield self.finding(
                    info,
                    f"The {label_of(info)} is {at_most}{numeral(gain)}, below {numeral(bound / wider, 6)}; "
                    f"next to nothing passes through{reason}.",
                    Severity.WARNING if info.role is Role.NORM_SCALE or shrunk else severity,
                    gain=gain,
                    bound=bound / wider,
                )
                return
