"""WA606: updates that are too small or too large for their weights, by the policy's bounds."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from weightaudit.globs import matches
from weightaudit.numerals import numeral
from weightaudit.rule import Example, Severity
from weightaudit.tensor import MATRIX_ROLES, Role
from weightaudit_rules._examples import trained_kernel
from weightaudit_rules._options import require, require_interval
from weightaudit_rules._reference import (
    ReferenceRule,
    adapted,
    counterparts,
    is_frozen,
    trained_on,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from weightaudit.comparison import Comparison
    from weightaudit.rule import Finding
    from weightaudit.tensor import TensorInfo


@dataclass(frozen=True)
class UpdateRatio(ReferenceRule):
    """The update since the reference, relative to the weights, is outside of the policy's bounds.

    Why it matters: an update that is small beside its weights teaches nothing, and one that is
    large forgets what was learned. It is the learning rate as each tensor feels it.

    Formula: ||w - w0|| / ||w0||, divided by `steps`, the optimizer's steps between both checkpoints
    (of which the files need not tell). A tensor that has not moved has 0; one that is zero in the
    reference has an infinite ratio, and is judged by `max` alone. Weights that both models declare as not
    trained, and those with low-rank adapters beside them, take no steps: they are judged only where
    `tensors` names them.

    What is normal: it depends on the steps between, so the rule is silent until it is told `min` or
    `max`. Per step, TheDeepChecker expects 1e-4 to 1e-1; SageMaker Debugger's WeightUpdateRatio
    tells ratios above 10 and below 1e-8. Updates do not add up in one direction: over n steps, expect
    between sqrt(n) and n times the ratio of one.

    Known false positives: biases that started at zero, where they are asked for.

    How to mend: change the learning rate, of this layer or of all; warm it up; clip gradients.

    Attributes:
        tensors: Globs of tensor names to judge; empty: any name.
        roles: Roles to judge; empty: kernels, recurrent kernels and embeddings, or any where
            `tensors` is given.
        min: Smallest ratio per step; the rule is silent without `min` and `max`.
        max: Largest ratio per step.
        steps: Steps between the reference and the model.
    """

    tensors: tuple[str, ...] = ()
    roles: tuple[Role, ...] = ()
    min: float | None = None
    max: float | None = None
    steps: float = 1.0

    relies_on_role = False
    code = "WA606"
    name = "update-ratio"
    severity = Severity.ERROR
    examples = (
        Example(
            title="a change of a fifth in 100 steps",
            values=trained_on,
            severity=None,
            options={"min": 1e-4, "max": 1e-1, "steps": 100.0},
            reference=trained_kernel,
        ),
        Example(
            title="another kernel, without a policy",
            values=lambda: trained_kernel() * 50,
            severity=None,
            reference=trained_kernel,
        ),
        Example(
            title="a change of a fifth in one step",
            values=trained_on,
            severity=Severity.ERROR,
            options={"max": 1e-1},
            reference=trained_kernel,
        ),
        Example(
            title="no change at all",
            values=trained_kernel,
            severity=Severity.ERROR,
            options={"min": 1e-8, "tensors": ("*/kernel",)},
            reference=trained_kernel,
        ),
        Example(
            title="a kernel that was all zeros",
            values=trained_kernel,
            severity=Severity.ERROR,
            options={"max": 10.0, "roles": (Role.KERNEL,)},
            reference=lambda: np.zeros((64, 32), np.float32),
        ),
    )

    def __post_init__(self) -> None:
        require_interval(self.min, self.max, smallest=0)
        require(0 < self.steps < inf, "steps must be above 0")

    def is_active(self) -> bool:
        return self.min is not None or self.max is not None

    def check_reference(self, comparison: Comparison) -> Iterator[Finding]:
        lower, upper = self.min or 0.0, inf if self.max is None else self.max
        resting = adapted(comparison).resting
        for one in counterparts(comparison):
            if one.second is None or not self._is_judged(one.second):
                continue
            if not self.tensors and (is_frozen(one) or one.second.name in resting):
                continue
            ratio = (one.difference.relative if one.difference is not None else 0.0) / self.steps
            if not lower <= ratio <= upper:
                side = f"below {numeral(lower, 6)}" if ratio < lower else f"above {numeral(upper, 6)}"
                yield self.finding(
                    one.second,
                    f"Its update is {numeral(ratio)} of its norm per step, {side}.",
                    ratio=ratio,
                    steps=self.steps,
                    minimum=lower,
                    maximum=upper,
                )

    def _is_judged(self, info: TensorInfo) -> bool:
        if not (self.tensors or self.roles):
            return info.role in MATRIX_ROLES
        return (not self.tensors or matches(info.name, self.tensors)) and (
            not self.roles or info.role in self.roles
        )
