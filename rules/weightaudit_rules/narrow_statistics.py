"""WA215: moving statistics in a type that is too narrow to be updated in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.numerals import numeral
from weightaudit.rule import Example, Finding, Rule, Severity
from weightaudit.tensor import Role
from weightaudit_rules._floats import FORMATS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from weightaudit.rule import Measured
    from weightaudit.tensor import TensorInfo

_STATISTICS = frozenset({Role.MOVING_MEAN, Role.MOVING_VARIANCE})
_STEP = 0.01
_BATCH_NORM = {"layer_class": "BatchNormalization"}


def _statistics(dtype: str) -> NDArray[Any]:
    return np.linspace(0.1, 1, 64).astype(dtype)


@dataclass(frozen=True)
class NarrowStatistics(Rule):
    """Moving means or variances are stored in 16 bits or fewer.

    Why it matters: a moving statistic m takes a hundredth of the distance to the batch's value at
    each step (momentum 0.99). Stored in 16 bits, a change below half of the last digit is lost: in
    float16, m stays where it is once the batch is within 2.4 to 4.9 % of it, in bfloat16 within
    20 to 39 %. A variance above 65504 is infinite in float16, one below 3e-8 is zero.

    Formula: with p binary digits, half of the last one is 2**-(p+1) to 2**-p of a number. A step of 0.01 of
    the distance to the batch's value is less than that if the distance is less than a hundred times as much.

    What is normal: float32, which Keras uses under ``mixed_float16`` and ``mixed_bfloat16`` too. Only
    the policies ``float16`` and ``bfloat16``, and casts of a whole model, make them narrow.

    Known false positives: models that were cast after training, whose statistics only lost digits. The
    file does not tell which it was, so it is a note; raise its severity where models are to be trained on.

    How to mend: train with ``mixed_float16`` or give the normalization layers ``dtype="float32"``;
    statistics that were trained in 16 bits are estimated anew by some hundred batches in float32.
    """

    code = "WA215"
    name = "narrow-statistics"
    severity = Severity.NOTE
    examples = (
        Example(
            title="a moving variance in float32",
            values=lambda: _statistics("float32"),
            severity=None,
            info={"role": "moving_variance", **_BATCH_NORM},
        ),
        Example(
            title="a scale in float16, which is not a statistic",
            values=lambda: _statistics("float16"),
            severity=None,
            info={"role": "norm_scale", **_BATCH_NORM},
        ),
        Example(
            title="a moving variance in float16",
            values=lambda: _statistics("float16"),
            severity=Severity.NOTE,
            info={"role": "moving_variance", **_BATCH_NORM},
        ),
        Example(
            title="a moving mean in float16",
            values=lambda: _statistics("float16"),
            severity=Severity.NOTE,
            info={"role": "moving_mean", **_BATCH_NORM},
        ),
    )

    def goes_by_kind(self) -> bool:
        return True

    def applies(self, info: TensorInfo) -> bool:
        return info.role in _STATISTICS and info.dtype in FORMATS

    def check_model(self, model: Measured) -> Iterator[Finding]:
        narrow = [info for info in model.tensors if info.is_numeric and self.applies(info)]
        if not narrow:
            return
        info = narrow[0]
        digits = next(target.digits for name, target in FORMATS.items() if name == info.dtype)
        stalls = 2.0**-digits / _STEP
        yield self.finding(
            None,
            f"Moving statistics ({len(narrow)}, such as {info.name}) are stored as {info.dtype}, in which "
            f"one stays where it is, with a momentum of 0.99, once batches are within "
            f"{numeral(stalls / 2, 2)} to "
            f"{numeral(stalls, 2)} of its value.",
            count=len(narrow),
            digits=digits,
            stalls=stalls,
        )
