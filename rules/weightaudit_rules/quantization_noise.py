"""WA212: weights that a narrower type would drown in noise."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from weightaudit.numerals import numeral
from weightaudit.rule import Example, Finding, Measured, Rule, Severity
from weightaudit_rules._casts import (
    PEAK,
    Format,
    advice,
    best,
    factor,
    is_cast,
    is_judged,
    needed,
    overflows,
    usual,
)
from weightaudit_rules._examples import trained_kernel
from weightaudit_rules._options import require
from weightaudit_rules._words import part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from weightaudit.statistics import Statistic, Stats
    from weightaudit.tensor import TensorInfo

_BOUNDS: dict[Format, float] = {
    "float16": 60.0,
    "bfloat16": 45.0,
    "float8_e4m3fn": 25.0,
    "float8_e5m2": 19.0,
    "int8": 30.0,
    "int8_per_tensor": 30.0,
}
_NAMED = 5


def _with_outlier() -> NDArray[np.float32]:
    kernel = trained_kernel()
    kernel[3, 5] = 30
    return kernel


@dataclass(frozen=True)
class QuantizationNoise(Rule):
    """Rounding to the formats that are named would leave too little of a tensor's signal.

    Why it matters: a cast adds an error to every weight. Where its energy is not far below that of
    the weights, the layer computes something else. Whether a model bears a cast to 8 bits is mostly
    a matter of few tensors, with outliers or with channels of very different scale; those that
    must stay in a wider type are listed in a note about the model.

    Formula: the signal-to-quantization-noise ratio is 10 log10(S / N) in dB, with S the sum of
    squares. For floating point formats, N follows from how many values have each exponent: a value
    that is rounded to a grid of step s adds s**2 / 12 (Widrow and Kollar, Quantization Noise, 2008),
    and one that becomes zero its own square. For int8 the step is the largest magnitude of the
    output channel (or, for int8_per_tensor, of the tensor) divided by 127, as in Keras and in
    TensorFlow Lite. docs/precision.md compares it with real casts.

    What is normal: rounding alone leaves 73.7 dB in float16, 55.6 in bfloat16, 31.5 in float8_e4m3fn
    and 25.5 in float8_e5m2; int8 leaves 52.9 dB less 20 log10(peak / rms), which is 36 to 42 dB for
    trained kernels. The bounds lie 6 to 14 dB below. In 8 bits only kernels, embeddings and
    constants with two axes or more are judged, since all else stays wider; in 16 bits, scales of
    normalizations too.

    Known false positives: some layers bear much noise, and a ratio does not tell which; quantization
    that was trained (QAT, GPTQ) compensates what is counted here. What it misses: the energy of a
    tensor is that of its largest channels, so weak ones may be lost where the ratio is high; and
    weights cannot show what becomes of activations.

    How to mend: leave the listed tensors in their type, quantize per channel, clip single outliers
    (`clip` in `weightaudit explain clip`), or scale the tensor by the power of two that the finding
    names and divide its layer's output by it.

    Attributes:
        formats: Formats to judge: float16, bfloat16, float8_e4m3fn, float8_e5m2, int8 (a step for
            each output channel) and int8_per_tensor. The rule is silent without any.
        min_sqnr: Smallest ratio in dB for all of them; None for each format's own: 60 for float16, 45
            for bfloat16, 25 for float8_e4m3fn, 19 for float8_e5m2, 30 for int8.
        scaled: Whether a cast to float8 scales each tensor by a power of two, so that its largest
            value just fits, as Keras and Transformer Engine do. Casts to 16 bits are never scaled.
    """

    formats: tuple[Format, ...] = ()
    min_sqnr: float | None = None
    scaled: bool = True

    code = "WA212"
    name = "quantization-noise"
    severity = Severity.WARNING
    examples = (
        Example(
            title="a kernel, in every format",
            values=trained_kernel,
            severity=None,
            options={"formats": get_args(Format)},
        ),
        Example(title="an outlier, without a policy", values=_with_outlier, severity=None),
        Example(
            title="an outlier of 300 times the rest, with a step for each channel",
            values=_with_outlier,
            severity=None,
            options={"formats": ("int8",)},
        ),
        Example(
            title="an outlier of 300 times the rest, with one step for all",
            values=_with_outlier,
            severity=Severity.WARNING,
            options={"formats": ("int8_per_tensor",)},
        ),
        Example(
            title="an outlier, with a step for each channel and a higher bound",
            values=_with_outlier,
            severity=Severity.WARNING,
            options={"formats": ("int8",), "min_sqnr": 40.0},
        ),
        Example(
            title="weights of 5e-6 in float16, where they are subnormal",
            values=lambda: trained_kernel() * np.float32(5e-5),
            severity=Severity.WARNING,
            options={"formats": ("float16",)},
        ),
        Example(
            title="weights of 5e-6 in float8_e4m3fn, scaled",
            values=lambda: trained_kernel() * np.float32(5e-5),
            severity=None,
            options={"formats": ("float8_e4m3fn",)},
        ),
        Example(
            title="weights of 0.001 in float8_e4m3fn, not scaled",
            values=lambda: trained_kernel() * np.float32(0.01),
            severity=Severity.WARNING,
            options={"formats": ("float8_e4m3fn",), "scaled": False},
        ),
        Example(
            title="a moving variance that float16 does not hold, told in the note about the model",
            values=lambda: np.array([0.1, 1e6], np.float32),
            severity=Severity.NOTE,
            info={"role": "moving_variance"},
            options={"formats": ("float16",)},
        ),
    )

    def __post_init__(self) -> None:
        require(self.min_sqnr is None or isfinite(self.min_sqnr), "min_sqnr must be a number of decibels")

    def is_active(self) -> bool:
        return bool(self.formats)

    def goes_by_kind(self) -> bool:
        return True

    def applies(self, info: TensorInfo) -> bool:
        return any(is_cast(info, target) for target in self.formats)

    def needs(self, info: TensorInfo) -> tuple[Statistic[Any], ...]:
        return needed(info, self.formats)

    def check(self, info: TensorInfo, stats: Stats) -> Iterator[Finding]:
        for target in self.formats:
            cast = usual(info, stats, target, scaled=self.scaled) if is_judged(info, target) else None
            bound = self._bound(target)
            # Values that overflow are what low-precision-overflow is about.
            if cast is None or cast.overflows or cast.sqnr >= bound:
                continue
            better = best(info, stats, target)
            scale = f" with a scale of 2**{cast.shift}" if cast.shift else ""
            yield self.finding(
                info,
                f"Cast to {target}{scale}, a signal-to-noise ratio of {cast.sqnr:.1f} dB is expected, below "
                f"{numeral(bound, 6)}; {advice(info, target, better, bound)}.",
                format=target,
                sqnr=cast.sqnr,
                bound=bound,
                scale=factor(stats[PEAK], target),
                scaled_sqnr=better.sqnr if better else None,
            )

    def check_model(self, model: Measured) -> Iterator[Finding]:
        for target in self.formats:
            chosen = [info for info in model.tensors if info.name in model.stats and is_cast(info, target)]
            wider = [info for info in chosen if self._stays(info, model.stats[info.name], target)]
            if wider:
                yield self._summary(model, target, chosen, wider)

    def _summary(
        self, model: Measured, target: Format, chosen: list[TensorInfo], wider: list[TensorInfo]
    ) -> Finding:
        named = ", ".join(info.name for info in wider[:_NAMED])
        more = f" and {len(wider) - _NAMED} more" if len(wider) > _NAMED else ""
        share = sum(info.size for info in wider) / sum(info.size for info in chosen)
        return self.finding(
            None,
            f"If the model is cast to {target}, {part(len(wider), len(chosen), 'tensor', 'must', 'must')} "
            f"stay in a wider type ({share:.2%} of the weights): {named}{more}.",
            Severity.NOTE,
            format=target,
            count=len(wider),
            share=share,
            tensors=", ".join(info.name for info in wider),
            scales=", ".join(f"{factor(model.stats[info.name][PEAK], target):.6g}" for info in wider),
        )

    def _stays(self, info: TensorInfo, stats: Stats, target: Format) -> bool:
        """Say whether the tensor is lost in a format, because of noise or of values that overflow."""
        # A policy can give some tensors other options, and then this was not measured for them.
        if any(one not in stats for one in self.needs(info)):
            return False
        if not is_judged(info, target):
            return overflows(stats[PEAK], target)
        cast = usual(info, stats, target, scaled=self.scaled)
        return cast is not None and (cast.overflows or cast.sqnr < self._bound(target))

    def _bound(self, target: Format) -> float:
        return _BOUNDS[target] if self.min_sqnr is None else self.min_sqnr
