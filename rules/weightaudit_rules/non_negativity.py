"""WA305: negative values where the policy forbids them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.numerals import numeral
from weightaudit.rule import Example, Finding, Severity
from weightaudit.statistics import Negative
from weightaudit.tensor import Role
from weightaudit_rules._selection import SelectiveRule
from weightaudit_rules._words import part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from weightaudit.projections import Projection
    from weightaudit.statistics import Statistic, Stats
    from weightaudit.tensor import TensorInfo


@dataclass(frozen=True)
class NonNegativity(SelectiveRule):
    """A value is negative in tensors that the policy selects.

    Why it matters: monotone models, mixture weights and physical rates promise their sign to
    whoever uses them; one negative weight breaks the promise.

    What is normal: no value below zero; there is no tolerance, and -0.0 is not below zero.

    Known false positives: none.

    How to mend: set negative values to zero, and use Keras' NonNeg constraint in training.

    Attributes:
        tensors: Globs of tensor names to judge; empty: any name.
        roles: Roles to judge; empty: any role.
        layer_classes: Globs of layer classes to judge; empty: any class. Without any of these
            three, kernels and embeddings are judged.
            The rule is silent unless at least one of them is given.
    """

    code = "WA305"
    name = "non-negativity"
    severity = Severity.ERROR
    examples = (
        Example(
            title="magnitudes, and the -0.0 that old Keras leaves",
            values=lambda: np.array([[0.5, -0.0], [2, 1e-30]], np.float32),
            severity=None,
            options={"tensors": ("*/kernel",)},
        ),
        Example(
            title="negative weights without a policy",
            values=lambda: np.full((64, 32), -1, np.float32),
            severity=None,
        ),
        Example(
            title="one negative weight, however small",
            values=lambda: np.array([[0.5, -1e-30], [2, 1]], np.float32),
            severity=Severity.ERROR,
            options={"tensors": ("*/kernel",)},
        ),
        Example(
            title="a whole negative bias",
            values=lambda: np.full(32, -0.5, np.float32),
            severity=Severity.ERROR,
            info={"role": "bias"},
            options={"roles": (Role.BIAS,)},
        ),
    )

    def is_active(self) -> bool:
        return self.selects

    def needs(self, info: TensorInfo) -> tuple[Statistic[Any], ...]:
        return (Negative(),)

    def check(self, info: TensorInfo, stats: Stats) -> Iterator[Finding]:
        negative = stats[Negative()]
        if negative.count:
            yield self.finding(
                info,
                f"{part(negative.count, info.size, 'value', 'is', 'are')} negative "
                f"(smallest {numeral(negative.minimum, 6)}).",
                count=negative.count,
                size=info.size,
                minimum=negative.minimum,
            )

    def projection(self, info: TensorInfo) -> Projection | None:
        from weightaudit.projections import NonNeg

        return NonNeg()
