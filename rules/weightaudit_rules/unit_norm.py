"""WA302: norms that are not 1 where the policy demands it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from weightaudit.rule import Example, Severity
from weightaudit_rules._norms import NormRule

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from weightaudit.projections import Projection
    from weightaudit.tensor import TensorInfo


def _unit_columns(scale: float = 1.0) -> NDArray[np.float32]:
    kernel = np.random.default_rng(1).normal(0, 0.1, (64, 32))
    kernel *= scale / np.linalg.norm(kernel, axis=0)
    return kernel.astype(np.float32)


@dataclass(frozen=True)
class UnitNorm(NormRule):
    """A norm is not 1 in tensors that the policy selects.

    Why it matters: weights on the unit sphere turn products into cosines (metric learning, face
    recognition, normalized filters); thresholds behind them are wrong by the norm.

    What is normal: after a float32 projection by Keras, within 2.2e-7 of 1. Averaged weights
    (EMA, SWA) leave the sphere, and an all-zero group cannot be on it.

    Known false positives: a wrong `axis`: 0 for Dense kernels, (0, 1, 2) for Conv2D kernels.

    How to mend: divide each group by its norm; set the constraint before the layer is built.

    Attributes:
        tensors: Globs of tensor names to judge; empty: any name.
        roles: Roles to judge; empty: any role.
        layer_classes: Globs of layer classes to judge; empty: any class. Without any of these
            three, kernels and embeddings are judged.
            The rule is silent unless at least one of them is given.
        axis: Axes that are summed over, as in Keras; None for the norm of the whole tensor.
        tolerance: Relative slack; None for 1e-5 plus twice the storage type's epsilon.
    """

    code = "WA302"
    name = "unit-norm"
    severity = Severity.ERROR
    examples = (
        Example(
            title="unit columns",
            values=_unit_columns,
            severity=None,
            options={"layer_classes": ("Dense",), "axis": 0},
        ),
        Example(title="other norms without a policy", values=lambda: _unit_columns(3), severity=None),
        Example(
            title="columns of norm 1.001",
            values=lambda: _unit_columns(1.001),
            severity=Severity.ERROR,
            options={"layer_classes": ("Dense",), "axis": 0},
        ),
        Example(
            title="columns of zeros, which have no direction",
            values=lambda: _unit_columns(0),
            severity=Severity.ERROR,
            options={"tensors": ("*/kernel",), "axis": (0,)},
        ),
    )

    def is_active(self) -> bool:
        return self.selects

    @property
    def bounds(self) -> tuple[float, float]:
        return 1.0, 1.0

    def projection(self, info: TensorInfo) -> Projection | None:
        from weightaudit.projections import UnitNorm as Projected

        return Projected(axis=self.axis) if self.fits(info) else None
