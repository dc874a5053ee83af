"""WA102: values that are infinite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.rule import Example, Finding, Rule, Severity
from weightaudit.statistics import NonFinite
from weightaudit.tensor import Role
from weightaudit_rules._examples import trained_kernel
from weightaudit_rules._roles import is_reset, is_surely_unused
from weightaudit_rules._words import part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from weightaudit.statistics import Statistic, Stats
    from weightaudit.tensor import TensorInfo


_COUNT = NonFinite()


def _variance_after_float16() -> NDArray[np.float16]:
    # What a cast of 3.1e5 and 1.2e5, two real moving variances, leaves in float16.
    variance = np.random.default_rng(2).uniform(0.5, 900, 64).astype(np.float16)
    variance[[3, 17]] = np.inf
    return variance


def _kernel_with_minus_inf() -> NDArray[np.float32]:
    kernel = trained_kernel()
    kernel[0, 0] = -np.inf
    return kernel


@dataclass(frozen=True)
class InfiniteValues(Rule):
    """The tensor holds infinite values.

    Why it matters: infinity times zero and infinity minus infinity are NaN, so one infinite
    weight is enough to turn outputs into NaN for some inputs and not for others.

    What is normal: none. They come from a cast to float16 of values beyond 65504, or from
    training that diverged and stopped one step before NaN.

    Known false positives: attention masks stored as constants of minus infinity. In constants of a
    graph, and in what inference is known not to read (optimizer slots, states), the finding is a
    warning, in a metric a note: it tells of the last run, and the next one sets it to zero first.

    How to mend: convert again from the float32 original (moving variances kept in float32), or
    go back to the last checkpoint without infinities.
    """

    code = "WA102"
    name = "infinite-values"
    severity = Severity.ERROR
    relies_on_role = False
    supersedes = ("WA402",)
    examples = (
        Example(title="a trained kernel", values=trained_kernel, severity=None),
        Example(
            title="large values that are still finite",
            values=lambda: np.full(64, 65504, np.float16),
            severity=None,
            info={"role": "moving_variance"},
        ),
        Example(
            title="minus infinity in a constant of a graph, which may be a mask",
            values=_kernel_with_minus_inf,
            severity=Severity.WARNING,
            info={"role": "constant"},
        ),
        Example(title="minus infinity in a kernel", values=_kernel_with_minus_inf, severity=Severity.ERROR),
        Example(
            title="moving variances that overflowed in a cast to float16",
            values=_variance_after_float16,
            severity=Severity.ERROR,
            info={"role": "moving_variance", "layer_class": "BatchNormalization"},
        ),
        Example(
            title="an infinite loss in a metric",
            values=lambda: np.array([np.inf], np.float32),
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
        if count.infinite:
            consequence, severity = _consequence(info)
            yield self.finding(
                info,
                f"{part(count.infinite, info.size, 'value', 'is', 'are')} infinite, {consequence}.",
                severity,
                positive=count.positive,
                negative=count.negative,
                size=info.size,
                first=count.first,
            )


def _consequence(info: TensorInfo) -> tuple[str, Severity | None]:
    """Return what infinities in a tensor lead to, and how bad that is, None for what is usual."""
    if is_reset(info):
        return "as the last run measured it; the next one starts anew", Severity.NOTE
    if is_surely_unused(info):
        return "so training cannot be resumed from it", Severity.WARNING
    # Constants are masks, too, in which minus infinity is what is meant.
    return "which turns outputs into NaN", Severity.WARNING if info.role is Role.CONSTANT else None
