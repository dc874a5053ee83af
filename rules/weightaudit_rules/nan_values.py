"""WA101: values that are not a number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.rule import Example, Finding, Rule, Severity
from weightaudit.statistics import NonFinite
from weightaudit_rules._examples import trained_kernel
from weightaudit_rules._roles import is_reset, is_surely_unused
from weightaudit_rules._words import part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from weightaudit.statistics import Statistic, Stats
    from weightaudit.tensor import TensorInfo


_COUNT = NonFinite()


def _lstm_bias_with_broken_gate() -> NDArray[np.float32]:
    bias = np.random.default_rng(2).normal(0, 0.1, 400).astype(np.float32)
    bias[100:200] = np.nan
    return bias


def _kernel_with_one_nan() -> NDArray[np.float32]:
    kernel = trained_kernel()
    kernel[3, 5] = np.nan
    return kernel


@dataclass(frozen=True)
class NanValues(Rule):
    """The tensor holds NaN.

    Why it matters: every output that a NaN weight takes part in is NaN, and a comparison with
    NaN is always false, so a classifier goes on to answer with one class and no error.

    What is normal: no NaN at all. They come from diverged training (a too large learning rate,
    a logarithm or a division of zero, float16 without loss scaling) or from damaged files.

    Known false positives: none in weights. In what inference is known not to read (optimizer
    slots, states) the finding is a warning: training cannot be resumed from it. In a metric it is a
    note: it tells of the last run, and the next one sets it to zero first.

    How to mend: go back to the last checkpoint without NaN; train on with gradient clipping
    or a smaller learning rate. Zeros in place of NaN give a model that nobody has trained.
    """

    code = "WA101"
    name = "nan-values"
    severity = Severity.ERROR
    relies_on_role = False
    supersedes = ("WA402",)
    examples = (
        Example(title="a trained kernel", values=trained_kernel, severity=None),
        Example(
            title="a bias of zeros",
            values=lambda: np.zeros(32, np.float32),
            severity=None,
            info={"role": "bias"},
        ),
        Example(title="one NaN among 2048 weights", values=_kernel_with_one_nan, severity=Severity.ERROR),
        Example(
            title="one gate of an LSTM's bias is NaN",
            values=_lstm_bias_with_broken_gate,
            severity=Severity.ERROR,
            info={"role": "bias", "layer_class": "LSTM"},
        ),
        Example(
            title="NaN in an optimizer slot, which inference never reads",
            values=_kernel_with_one_nan,
            severity=Severity.WARNING,
            info={"role": "optimizer_slot"},
        ),
        Example(
            title="a loss that was NaN in the last run",
            values=lambda: np.array([np.nan], np.float32),
            severity=Severity.NOTE,
            info={"role": "metric"},
        ),
    )

    def goes_by_kind(self) -> bool:
        return True

    def applies(self, info: TensorInfo) -> bool:
        return info.is_floating

    def needs(self, info: TensorInfo) -> tuple[Statistic[Any], ...]:
        return (_COUNT,)

    def check(self, info: TensorInfo, stats: Stats) -> Iterator[Finding]:
        count = stats[_COUNT]
        if count.nan:
            consequence, severity = _consequence(info)
            yield self.finding(
                info,
                f"{part(count.nan, info.size, 'value', 'is', 'are')} NaN, {consequence}.",
                severity,
                nan=count.nan,
                size=info.size,
                first=count.first,
            )


def _consequence(info: TensorInfo) -> tuple[str, Severity | None]:
    """Return what NaN in a tensor leads to, and how bad that is, None for what is usual."""
    if is_reset(info):
        return "as the last run measured it; the next one starts anew", Severity.NOTE
    if is_surely_unused(info):
        return "so training cannot be resumed", Severity.WARNING
    return "which spreads to every output that is computed with it", None
