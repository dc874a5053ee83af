"""WA301: norms above a bound that the policy states."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from weightaudit.rule import Example, Severity
from weightaudit.tensor import Role
from weightaudit_rules._norms import NormRule
from weightaudit_rules._options import require

if TYPE_CHECKING:
    from weightaudit.projections import Projection
    from weightaudit.tensor import TensorInfo


@dataclass(frozen=True)
class NormBound(NormRule):
    """A norm is above the bound that the policy states.

    Why it matters: bounded norms bound how much a layer amplifies (Lipschitz bounds, robustness,
    quantization ranges). Keras applies a constraint only after an optimizer's step: not to
    initial, loaded, frozen or averaged weights.

    What is normal: after a float32 projection by Keras, at most 2e-7 above the bound. The
    tolerance is 1e-5 plus twice the storage type's epsilon unless it is stated.

    Known false positives: a wrong `axis`. Keras' MaxNorm takes the axes that are summed over: 0
    for Dense kernels, (0, 1, 2) for Conv2D kernels, 1 for embeddings.

    How to mend: project the tensor onto the bound, or train on with the constraint.

    Attributes:
        tensors: Globs of tensor names to judge; empty: any name.
        roles: Roles to judge; empty: any role.
        layer_classes: Globs of layer classes to judge; empty: any class. Without any of these
            three, kernels and embeddings are judged.
        axis: Axes that are summed over, as in Keras; None for the norm of the whole tensor.
        tolerance: Relative slack; None for the storage type's own.
        max: Largest norm allowed; the rule is silent without it.
        order: 1 (sum of magnitudes), 2 (Euclidean) or inf (largest magnitude).
    """

    max: float | None = None
    order: float = 2.0

    code = "WA301"
    name = "norm-bound"
    severity = Severity.ERROR
    examples = (
        Example(
            title="columns of norm 2 under a bound of 2",
            values=lambda: np.full((64, 32), 0.25, np.float32),
            severity=None,
            options={"max": 2.0, "axis": 0},
        ),
        Example(
            title="large weights without a policy",
            values=lambda: np.full((64, 32), 100, np.float32),
            severity=None,
        ),
        Example(
            title="columns of norm 2.08",
            values=lambda: np.full((64, 32), 0.26, np.float32),
            severity=Severity.ERROR,
            options={"max": 2.0, "axis": 0},
        ),
        Example(
            title="a sum of magnitudes of 512",
            values=lambda: np.full((64, 32), -0.25, np.float32),
            severity=Severity.ERROR,
            options={"max": 511.0, "order": 1.0},
        ),
        Example(
            title="a bound along an axis that the bias does not have",
            values=lambda: np.zeros(32, np.float32),
            severity=Severity.WARNING,
            info={"role": "bias"},
            options={"max": 2.0, "axis": (1,), "roles": (Role.BIAS,)},
        ),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.max is None or 0 <= self.max < inf, "max must be a finite number of at least 0")
        require(self.order in {1, 2, inf}, "order must be 1, 2 or inf")

    def is_active(self) -> bool:
        return self.max is not None

    @property
    def norm_order(self) -> float:
        return self.order

    @property
    def bounds(self) -> tuple[float, float]:
        return 0.0, inf if self.max is None else self.max

    def projection(self, info: TensorInfo) -> Projection | None:
        from weightaudit.projections import Clip, ClipNorm, L1Ball, MaxNorm

        if self.max is None or not self.fits(info):
            return None
        if self.order == 1:
            return L1Ball(self.max, axis=self.axis)
        if self.order == inf:
            return Clip(-self.max, self.max)
        return ClipNorm(self.max) if self.axis is None else MaxNorm(self.max, axis=self.axis)
