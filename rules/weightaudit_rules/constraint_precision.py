"""WA312: norm constraints on float16 weights, which Keras computes in float16."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.numerals import numeral
from weightaudit.rule import Example, Finding, Rule, Severity
from weightaudit.tensor import Declared
from weightaudit_rules._declared import NORMS, axes_of, group_size, is_known, shown, upper_bound
from weightaudit_rules._words import number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from weightaudit.rule import Measured
    from weightaudit.tensor import TensorInfo

_VANISHES = 2.0**-12.5
"""Below this magnitude, 1.73e-4, the square is at most half of the smallest float16 and becomes 0."""

_OVERFLOWS = sqrt(65520)
"""From this norm on, 255.97, the sum of squares rounds to Inf in float16."""


def _kernel(dtype: str = "float16") -> NDArray[Any]:
    return np.full((64, 32), 0.1, dtype)


def _declares(name: str, **config: Any) -> dict[str, Any]:
    return {"constraint": Declared(name, config), "trainable": True}


@dataclass(frozen=True)
class ConstraintPrecision(Rule):
    """A norm constraint is declared for float16 weights, where Keras computes it wrongly.

    Why it matters: under the policy ``float16`` Keras squares weights in float16. The square of a weight
    below 1.73e-4 is 0 there, and the sum of squares of a group whose norm is 256 or more is Inf. With
    Keras 3.15 a step then turns such groups into zeros (MaxNorm), multiplies them by 8e6 or sets
    them to zero (UnitNorm), or makes Inf and NaN of them (MinMaxNorm). Sums of many squares lose as well: on
    TensorFlow's CPU, columns of 8,192 weights were measured to end up 11 % too long.

    What is normal: constraints on float32 variables (``mixed_float16``, which keeps them) or on
    bfloat16, which has the exponents of float32. Unsafe for every bound are groups of small weights, such as
    those that start at zero. A bound is itself unsafe if it is 256 or more, since groups are
    destroyed before they reach it, and if a group of m weights at the bound b has a typical weight
    b / sqrt(m) below 1.73e-4. Judged is a trainable tensor that is stored as float16 by its declared
    constraint; its values do not matter.

    Known false positives: weights that were cast to float16 after training, and are not trained on.

    How to mend: train with ``mixed_float16`` or ``bfloat16``, or drop the constraint and project the saved
    model with `weightaudit repair`, which computes in float64.
    """

    code = "WA312"
    name = "constraint-precision"
    severity = Severity.WARNING
    examples = (
        Example(
            title="MaxNorm on float32 weights",
            values=lambda: _kernel("float32"),
            severity=None,
            info=_declares("MaxNorm", max_value=2.0),
        ),
        Example(
            title="NonNeg on float16 weights, which squares nothing",
            values=_kernel,
            severity=None,
            info=_declares("NonNeg"),
        ),
        Example(
            title="MaxNorm on float16 weights",
            values=_kernel,
            severity=Severity.WARNING,
            info=_declares("MaxNorm", max_value=2.0),
        ),
        Example(
            title="a bound that no float16 norm reaches",
            values=_kernel,
            severity=Severity.WARNING,
            info=_declares("MinMaxNorm", min_value=1.0, max_value=300.0),
        ),
    )

    def goes_by_kind(self) -> bool:
        return True

    def applies(self, info: TensorInfo) -> bool:
        return False

    def check_model(self, model: Measured) -> Iterator[Finding]:
        for info in model.tensors:
            declared = info.constraint
            if declared is None or info.dtype != "float16" or info.trainable is False:
                continue
            if is_known(declared) and declared.name in NORMS:
                yield from self._judged(info, declared)

    def _judged(self, info: TensorInfo, declared: Declared) -> Iterator[Finding]:
        try:
            bound, size = upper_bound(declared), group_size(info, axes_of(info, declared))
        except ValueError:
            # The rule declared-constraint says so.
            return
        yield self.finding(
            info,
            f"{shown(declared)} is declared for float16 weights: Keras destroys groups whose weights are all "
            f"below {numeral(_VANISHES)} or whose norm is above {numeral(_OVERFLOWS, 4)}; "
            f"{_unsafe(bound, size)}.",
            bound=bound,
            group=size,
            vanishing=_VANISHES,
            overflowing=_OVERFLOWS,
        )


def _unsafe(bound: float, size: int) -> str:
    """Say whether groups at the upper bound are among those, as the end of a sentence."""
    if bound >= _OVERFLOWS:
        return f"the bound {numeral(bound, 6)} itself is above that, so no group ever reaches it"
    typical = bound / sqrt(max(1, size))
    if typical < _VANISHES:
        group = number(size, "weight")
        typically = numeral(typical, 2)
        return (
            f"groups of {group} at the bound {numeral(bound, 6)} hold {typically} on average, so they vanish"
        )
    return f"the bound {numeral(bound, 6)} itself is safe"
