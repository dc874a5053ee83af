"""WA214: weights so small that arithmetic with them is slow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.numerals import numeral
from weightaudit.rule import Example, Finding, Rule, Severity
from weightaudit.statistics import Tiny
from weightaudit.tensor import Role
from weightaudit_rules._examples import trained_kernel
from weightaudit_rules._options import require
from weightaudit_rules._roles import is_matrix
from weightaudit_rules._words import part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from weightaudit.statistics import Statistic, Stats
    from weightaudit.tensor import TensorInfo

_SUBNORMAL = 2.0**-126 - 2.0**-149
_TINY = Tiny(_SUBNORMAL, 2.0**-100)


def _decayed(share: float, factor: float) -> NDArray[np.float32]:
    kernel = trained_kernel()
    kernel[: round(share * 64)] *= np.float32(factor)
    return kernel


@dataclass(frozen=True)
class DenormalValues(Rule):
    """Many weights are subnormal in float32, or so small that products with them are.

    Why it matters: most CPUs compute with subnormal numbers ten to a hundred times slower, so that
    such a layer can take most of the time of a model, and adds nothing to the result. ENet became
    1.65 times faster when its tiny weights were set to zero (opencv#17259).

    What is normal: none in most models. Weight decay without a floor leaves such values in channels
    that are no longer used.

    Formula: of kernels, embeddings and constants, the share of the elements other than zero below 2**-100
    (7.9e-31), of which those below 2**-126 (1.2e-38) are subnormal themselves. A product with an
    activation below 1e-8 is subnormal then.

    Known false positives: TensorFlow on a CPU, and GPUs, take subnormal numbers for zero, at no cost; so
    the rule is silent unless a policy asks for it, for models that other programs run (OpenCV, ONNX
    Runtime, MNN, own code).

    How to mend: set what is so small to zero, with `soft_threshold` or `prune` (`weightaudit explain
    prune`), or switch subnormal numbers off where the model runs.

    Attributes:
        max_share: Share of a tensor's elements that may be so small, such as 0.001; the rule is silent
            without it.
    """

    max_share: float | None = None

    code = "WA214"
    name = "denormal-values"
    severity = Severity.WARNING
    relies_on_role = False
    examples = (
        Example(
            title="a trained kernel",
            values=lambda: _decayed(0, 1),
            severity=None,
            options={"max_share": 0.001},
        ),
        Example(
            title="a pruned kernel",
            values=lambda: _decayed(0.5, 0),
            severity=None,
            options={"max_share": 0.0},
        ),
        Example(
            title="half of the weights are subnormal, without a policy",
            values=lambda: _decayed(0.5, 1e-38),
            severity=None,
        ),
        Example(
            title="half of the weights are subnormal",
            values=lambda: _decayed(0.5, 1e-38),
            severity=Severity.WARNING,
            options={"max_share": 0.001},
        ),
        Example(
            title="half of the weights have decayed to 1e-31",
            values=lambda: _decayed(0.5, 1e-30),
            severity=Severity.WARNING,
            options={"max_share": 0.001},
        ),
    )

    def __post_init__(self) -> None:
        require(self.max_share is None or 0 <= self.max_share < 1, "max_share must lie between 0 and 1")

    def is_active(self) -> bool:
        return self.max_share is not None

    def goes_by_kind(self) -> bool:
        return True

    def applies(self, info: TensorInfo) -> bool:
        is_multiplied = is_matrix(info) or info.role is Role.CONSTANT
        return is_multiplied and info.dtype in {"float32", "float64"}

    def needs(self, info: TensorInfo) -> tuple[Statistic[Any], ...]:
        return (_TINY,)

    def check(self, info: TensorInfo, stats: Stats) -> Iterator[Finding]:
        tiny = stats[_TINY]
        count = tiny.flushed + tiny.subnormal
        if self.max_share is not None and count > self.max_share * info.size:
            yield self.finding(
                info,
                f"{part(count, info.size, 'weight', 'is', 'are')} below 7.9e-31 and not zero (subnormal: "
                f"{tiny.flushed}), above a share of {numeral(self.max_share, 6)}; that may slow the "
                f"model down.",
                count=count,
                subnormal=tiny.flushed,
                size=info.size,
                bound=self.max_share,
            )
