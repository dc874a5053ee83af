"""WA201: weights that are far too large as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from weightaudit.numerals import numeral
from weightaudit.rule import Example, Finding, Severity
from weightaudit_rules._gain import GainRule, gain_of, label_of
from weightaudit_rules._options import require

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from weightaudit.statistics import Stats
    from weightaudit.tensor import TensorInfo


def _normal(scale: float) -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(0, scale, (64, 32)).astype(np.float32)


@dataclass(frozen=True)
class ExplodingScale(GainRule):
    """The weights as a whole are far too large for their fan-in.

    Why it matters: a layer multiplies the typical size of its inputs by the gain,
    sqrt(fan_in) * rms. A gain of 1000 saturates every sigmoid and softmax behind it and
    overflows float16 within two layers.

    Formula: of a kernel, the gain sqrt(fan_in) * rms, by which it multiplies the rms of inputs that
    are independent of each other (He et al. 2015, equation 7). Where the fan-in is not known, and for
    embeddings and norm scales, the rms alone. Tensors below 16 elements are not judged.

    What is normal: about 1 when training starts (Glorot, LeCun and orthogonal initializers 1, He
    1.41); 0.04 to 40 in trained networks that work, and up to 190 in the last layer of some
    classifiers. Where the rms alone is judged, nothing but custom ties it to 1, so the bounds are
    100 times wider.

    A linear regression, a single layer of up to four outputs, is not judged: its weights have units of data.

    Known false positives: layers whose inputs are tiny by design, such as unscaled physical
    quantities. A fault of a factor 10 is not seen: healthy networks spread wider than that.

    How to mend: go back to a checkpoint before the loss rose; train with gradient clipping,
    weight decay, a max-norm constraint or a smaller learning rate.

    Attributes:
        warning: Gain above which a finding is a warning.
        error: Gain above which it is an error.
    """

    warning: float = 3e2
    error: float = 1e3

    code = "WA201"
    name = "exploding-scale"
    severity = Severity.ERROR
    examples = (
        Example(title="a Dense kernel after training", values=lambda: _normal(0.2), severity=None),
        Example(
            title="a character model with gain 40, as real ones have",
            values=lambda: _normal(5),
            severity=None,
        ),
        Example(
            title="an embedding with values around 3",
            values=lambda: _normal(3),
            severity=None,
            info={"role": "embedding", "layer_class": "Embedding"},
        ),
        Example(title="gain 480", values=lambda: _normal(60), severity=Severity.WARNING),
        Example(title="gain 80,000", values=lambda: _normal(1e4), severity=Severity.ERROR),
    )

    def __post_init__(self) -> None:
        require(0 < self.warning <= self.error, "warning must be above 0 and not above error")

    def judge(self, info: TensorInfo, stats: Stats) -> Iterator[Finding]:
        gain, wider = gain_of(info, stats)
        if not gain > self.warning * wider:
            return
        for bound, severity in ((self.error, Severity.ERROR), (self.warning, Severity.WARNING)):
            if gain > bound * wider:
                yield self.finding(
                    info,
                    f"The {label_of(info)} is {numeral(gain)}, above {numeral(bound * wider, 6)}; "
                    "what passes through grows until it saturates or overflows.",
                    severity,
                    gain=gain,
                    bound=bound * wider,
                )
                return
