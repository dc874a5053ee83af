"""WA401: a share of zeros outside of what the policy states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.rule import Example, Finding, Severity
from weightaudit.statistics import Zeros
from weightaudit_rules._options import require_interval
from weightaudit_rules._selection import SelectiveRule
from weightaudit_rules._words import part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from weightaudit.projections import Projection
    from weightaudit.statistics import Statistic, Stats
    from weightaudit.tensor import TensorInfo


def _pruned(share: float) -> NDArray[np.float32]:
    kernel = np.random.default_rng(1).normal(0, 0.1, 2048)
    kernel[: round(share * kernel.size)] = 0
    return kernel.reshape(64, 32).astype(np.float32)


@dataclass(frozen=True)
class Sparsity(SelectiveRule):
    """The share of zeros is outside of what the policy states.

    Why it matters: a pruned model that lost its zeros (fine-tuned without its masks, or saved
    before they were applied) is larger and slower than promised; a dense one with many zeros
    has lost weights.

    What is normal: below 0.1 percent in kernels that were not pruned; embeddings of rare
    words and linear models trained with FTRL have many. Pruned models have their target.

    Known false positives: small kernels, where a few zeros are a large share.

    How to mend: strip the pruning wrappers after the masks are applied; train again with masks.

    Attributes:
        tensors: Globs of tensor names to judge; empty: any name.
        roles: Roles to judge; empty: any role.
        layer_classes: Globs of layer classes to judge; empty: any class. Without any of these
            three, kernels and embeddings are judged.
        min: Smallest share of exact zeros, 0 to 1; the rule is silent without `min` and `max`.
        max: Largest share of exact zeros, 0 to 1.
    """

    min: float | None = None
    max: float | None = None

    code = "WA401"
    name = "sparsity"
    severity = Severity.ERROR
    examples = (
        Example(
            title="half of the weights pruned, as demanded",
            values=lambda: _pruned(0.5),
            severity=None,
            options={"min": 0.5},
        ),
        Example(title="many zeros without a policy", values=lambda: _pruned(0.9), severity=None),
        Example(
            title="a kernel that lost its zeros",
            values=lambda: _pruned(0),
            severity=Severity.ERROR,
            options={"min": 0.5},
        ),
        Example(
            title="a kernel with too many zeros",
            values=lambda: _pruned(0.9),
            severity=Severity.ERROR,
            options={"max": 0.75, "layer_classes": ("Dense",)},
        ),
    )

    def __post_init__(self) -> None:
        require_interval(self.min, self.max, smallest=0, largest=1)

    def is_active(self) -> bool:
        return self.min is not None or self.max is not None

    def needs(self, info: TensorInfo) -> tuple[Statistic[Any], ...]:
        return (Zeros(),)

    def check(self, info: TensorInfo, stats: Stats) -> Iterator[Finding]:
        if not info.size:
            return
        zeros = stats[Zeros()]
        share = zeros / info.size
        for bound, breaks, side in (
            (self.min, self.min is not None and share < self.min, "below"),
            (self.max, self.max is not None and share > self.max, "above"),
        ):
            if bound is not None and breaks:
                yield self.finding(
                    info,
                    f"{part(zeros, info.size, 'value', 'is', 'are')} zero, {share:.2%}, {side} {bound:.2%}.",
                    zeros=zeros,
                    size=info.size,
                    share=share,
                    bound=bound,
                )

    def projection(self, info: TensorInfo) -> Projection | None:
        from weightaudit.projections import Prune

        # Zeros that are too many cannot be undone: what stood there is lost.
        return None if self.min is None else Prune(self.min)
