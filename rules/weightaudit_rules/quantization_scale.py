"""WA126: a scale of a quantized layer that no quantizer gives, or that stands alone among its sisters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.numerals import numeral
from weightaudit.rule import Example, Finding, Measured, Rule, Severity
from weightaudit.statistics import AxisSum, Extremes
from weightaudit.tensor import Quantization, Role
from weightaudit_rules._options import require
from weightaudit_rules._words import part

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from weightaudit.statistics import Statistic, Stats
    from weightaudit.tensor import TensorInfo

_VALUES, _EXTREMES = AxisSum(()), Extremes()
_JUDGED = {"int8": 127.0, "int4": 7.0}
"""Largest integer of each mode that is judged."""
_FEWEST = 4
_MOST_ALONE = 3
_CROWD = 8
"""Scales for each one that may stand alone."""
_DEAD = 2e-7
"""Keras adds 1e-7 to the largest magnitude of a channel, so that is what one of zeros seems to have."""


def _scales(factor: float = 1.0) -> NDArray[np.float32]:
    scales = 127 / np.random.default_rng(1).uniform(0.2, 0.5, 32)
    scales[7] *= factor
    return scales.astype(np.float32)


def _example(title: str, severity: Severity | None, factor: float) -> Example:
    info: dict[str, Any] = {"name": "dense/kernel_scale", "key": "dense/1", "role": "quantization"}
    kernel = Example(
        title="its kernel",
        values=lambda: np.random.default_rng(2).integers(-127, 127, (16, 32)).astype(np.int8),
        severity=None,
        info={"name": "dense/kernel", "quantization": Quantization("int8", "dense/1")},
    )
    return Example(
        title=title, values=lambda: _scales(factor), severity=severity, info=info, beside=(kernel,)
    )


@dataclass(frozen=True)
class QuantizationScale(Rule):
    """A scale of a quantized layer is impossible, or stands alone among those of its layer.

    Why it matters: one damaged scale multiplies a whole output channel, or a row of an embedding, and the
    integers beside it look as they always did.

    What is judged: of layers in int8 and int4, the largest weight that each scale allows: 127 or 7 over a
    scale that weights are divided by, the scale itself where there are zero points. Scales below 0, and
    scales of 0 that are divided by, are errors, since Keras' quantizers take magnitudes and add 1e-7. Up to
    three scales (one for each eight; at least four are needed) that differ from all others by more than
    `above` or `below`, in one direction, are warnings. That a row of an embedding has nearly vanished is a
    note: regularizers drive rows there that are never used, such as that for padding. Channels of zeros
    are left out.

    What is normal: a quantizer gives each channel its largest magnitude, so these were measured, in 738
    float matrices and embeddings of real models and of the small ones of the detection benchmark, trained
    and fresh. Those of up to three channels were at most 2.7 times those of all others; the smallest were at
    most 11.3 times smaller, but for one channel of 16 in one kernel, with a factor of 102.

    Known false positives: single channels that were never used, in kernels with a strong regularizer: one
    of the 738, if it were quantized.
    Two layers' scales that were swapped, or a factor below the bounds, are not seen; nor are GPTQ and AWQ,
    whose quantizers give groups of zeros a scale of their own.

    How to mend: quantize the model again, or take the scale from the last good file.

    Attributes:
        above: How many times larger than all others the weights of a scale may be.
        below: How many times smaller they may be.
    """

    above: float = 10.0
    below: float = 20.0

    code = "WA126"
    name = "quantization-scale"
    severity = Severity.WARNING
    examples = (
        _example("scales of an int8 kernel", None, 1),
        _example("one of a channel five times weaker than the others", None, 5),
        _example("one of a channel of zeros, which Keras gives 1.27e9", None, 127e7 / _scales()[7]),
        _example("one of 32 multiplied by 100", Severity.WARNING, 100),
        _example("one of 32 divided by 100", Severity.WARNING, 0.01),
        _example("one of 32 negative", Severity.ERROR, -1),
        _example("one of 32 zero", Severity.ERROR, 0),
    )

    def __post_init__(self) -> None:
        require(self.above > 1 and self.below > 1, "above and below must be above 1")

    def goes_by_kind(self) -> bool:
        return True

    def applies(self, info: TensorInfo) -> bool:
        return info.role is Role.QUANTIZATION and info.is_floating

    def needs(self, info: TensorInfo) -> tuple[Statistic[Any], ...]:
        return (_VALUES, _EXTREMES)

    def check_model(self, model: Measured) -> Iterator[Finding]:
        by_key = {info.key: info for info in model.tensors if self.applies(info)}
        for weights in model.tensors:
            quantization = weights.quantization
            if quantization is None or quantization.mode not in _JUDGED:
                continue
            scale = by_key.get(quantization.scale)
            stats = model.stats.get(scale.name) if scale else None
            if scale and stats and _VALUES in stats and _EXTREMES in stats:
                yield from self._scale(scale, stats, weights, quantization)

    def _scale(
        self, scale: TensorInfo, stats: Stats, weights: TensorInfo, quantization: Quantization
    ) -> Iterator[Finding]:
        smallest, divides = stats[_EXTREMES].minimum, quantization.zero is None
        if smallest < 0 or (divides and smallest == 0):
            message = f"Its smallest value is {numeral(smallest)}, which no quantizer gives: it is damaged."
            yield self.finding(scale, message, Severity.ERROR, smallest=smallest)
            return
        values = stats[_VALUES].ravel()
        # What is not finite is told by WA101 and WA102, and counts as zero here.
        positive = values[values > 0]
        sizes = np.sort(_JUDGED[quantization.mode] / positive if divides else positive)
        sizes = sizes[sizes > _DEAD]
        for word, bound, ordered in (("larger", self.above, sizes[::-1]), ("smaller", self.below, sizes)):
            count, factor = _alone(ordered)
            if factor > bound:
                vanished = word == "smaller" and weights.role is Role.EMBEDDING
                yield self.finding(
                    scale,
                    f"{part(count, len(values), 'scale', 'makes', 'make')} weights {numeral(factor)} times "
                    f"{word} than all others do, beyond {numeral(bound, 6)}: largest weight "
                    f"{numeral(ordered[count - 1])}, elsewhere {numeral(ordered[count])}.",
                    Severity.NOTE if vanished else None,
                    count=count,
                    factor=factor,
                )


def _alone(sizes: NDArray[np.float64]) -> tuple[int, float]:
    """Return how many of the first sizes stand furthest from those behind them, and by which factor.

    Args:
        sizes: Positive numbers in order, float64 of shape (n,).
    """
    if len(sizes) < _FEWEST:
        return 0, 1.0
    most = min(_MOST_ALONE, max(1, len(sizes) // _CROWD))
    steps = np.abs(np.log2(sizes[: most + 1][:-1] / sizes[1 : most + 1]))
    count = int(steps.argmax())
    return count + 1, float(2.0 ** steps[count])
