"""WA303: norms outside of an interval that the policy states."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from weightaudit.rule import Example, Severity
from weightaudit_rules._norms import NormRule
from weightaudit_rules._options import require_interval

if TYPE_CHECKING:
    from weightaudit.projections import Projection
    from weightaudit.tensor import TensorInfo


@dataclass(frozen=True)
class MinMaxNorm(NormRule):
    """A norm is outside of the interval that the policy states.

    Why it matters: a lower bound keeps units alive, an upper one keeps them from dominating; what
    was tuned on weights inside does not hold for weights outside.

    What is normal: inside, within 1e-5 plus twice the storage type's epsilon. Keras with a rate
    below 1 only moves towards the interval, and averaged weights (EMA, SWA) may fall below it.

    Known false positives: a wrong `axis`: 0 for Dense kernels, (0, 1, 2) for Conv2D kernels.

    How to mend: scale each group to the nearer bound; a group of zeros must be trained again.

    Attributes:
        tensors: Globs of tensor names to judge; empty: any name.
        roles: Roles to judge; empty: any role.
        layer_classes: Globs of layer classes to judge; empty: any class. Without any of these
            three, kernels and embeddings are judged.
        axis: Axes that are summed over, as in Keras; None for the norm of the whole tensor.
        tolerance: Relative slack; None for the storage type's own.
        min: Smallest norm allowed; the rule is silent without `min` and `max`.
        max: Largest norm allowed.
    """

    min: float | None = None
    max: float | None = None

    code = "WA303"
    name = "min-max-norm"
    severity = Severity.ERROR
    examples = (
        Example(
            title="columns of norm 2 between 1 and 2",
            values=lambda: np.full((64, 32), 0.25, np.float32),
            severity=None,
            options={"min": 1.0, "max": 2.0, "axis": 0},
        ),
        Example(title="zeros without a policy", values=lambda: np.zeros((64, 32), np.float32), severity=None),
        Example(
            title="columns of norm 0.8 below 1",
            values=lambda: np.full((64, 32), 0.1, np.float32),
            severity=Severity.ERROR,
            options={"min": 1.0, "axis": (0,)},
        ),
        Example(
            title="columns of norm 4 above 2",
            values=lambda: np.full((64, 32), 0.5, np.float32),
            severity=Severity.ERROR,
            options={"min": 1.0, "max": 2.0, "axis": (-2,)},
        ),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require_interval(self.min, self.max, smallest=0)

    def is_active(self) -> bool:
        return self.min is not None or self.max is not None

    @property
    def bounds(self) -> tuple[float, float]:
        return self.min or 0.0, inf if self.max is None else self.max

    def projection(self, info: TensorInfo) -> Projection | None:
        from weightaudit.projections import MinMaxNorm as Projected

        lower, upper = self.bounds
        return Projected(lower, upper, axis=self.axis) if self.fits(info) else None
