"""WA601: weights that moved further from the reference than training moves them."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from weightaudit.rule import Example, Severity
from weightaudit.tensor import MATRIX_ROLES, Role
from weightaudit_rules._options import require
from weightaudit_rules._reference import ReferenceRule, evidence, moved_weights, trained, trained_on

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from weightaudit.comparison import Comparison, Difference
    from weightaudit.rule import Finding
    from weightaudit.tensor import TensorInfo

_LEAST_SCALE = 0.1
"""Root mean square from which on a norm scale is judged: LayerScale starts at 1e-6, and grows."""


def _other() -> NDArray[np.float32]:
    return np.random.default_rng(3).normal(0, 0.1, (64, 32)).astype(np.float32)


@dataclass(frozen=True)
class Drift(ReferenceRule):
    """The weights have moved further from the reference than training moves them.

    Why it matters: a layer that was initialized again, loaded into the wrong place, scaled, or blown
    up by one bad step looks like any other layer on its own. Beside a checkpoint of the same training
    it does not: its direction or its size has changed at once.

    Formula: with w0 from the reference and w from the model, in float64 over the numbers that are
    finite in both, the relative change ||w - w0|| / ||w0||, the cosine w.w0 / (||w|| ||w0||), and
    the gain ratio ||w|| / ||w0||, which is that of the layer's gain, since the shape is the same.

    What is normal: from one checkpoint to the next (after epochs 0, 1, 2, 4 and 8) of six small
    networks trained with Adam and SGD, one with a learning rate ten times too high, 142 kernels
    and embeddings had a relative change of at most 1.14, a cosine of at least 0.57 and a gain
    ratio from 0.97 to 1.70; norm scales 0.25, 0.99 and 1.24. So `relative` is 2, and not the 1 that
    is often taken, which three of these kernels exceed. A layer that was initialized again, or
    swapped with another one, has a cosine near 0. Judged are kernels, embeddings and norm scales;
    biases, norm offsets and moving statistics start at zero or one, and had relative changes up
    to 7.1 and cosines down to -1, so of those only one that became all zeros is told.

    Known false positives: a reference from long before, as a network may leave its start behind;
    a kernel in front of a normalization, whose size means nothing and may grow; layers that were
    exchanged on purpose, as the head in transfer learning. Not seen: a layer scaled by less than a
    factor of 3 up or 8 down, and one that was replaced by that of a nearby checkpoint (WA602 tells
    it if the reference is that checkpoint).

    How to mend: take the tensor from the reference (`weightaudit repair --donor`), or load the
    weights again; if it was training, lower the learning rate or clip gradients. If the change is
    meant, compare with a later reference, or ignore the rule for these tensors.

    Attributes:
        relative: Largest relative change.
        cosine: Smallest cosine.
        ratio: Largest factor between both norms, in either direction.
        min_size: Elements that a tensor has at least to be judged.
    """

    relative: float = 2.0
    cosine: float = 0.5
    ratio: float = 8.0
    min_size: int = 16

    code = "WA601"
    name = "drift"
    severity = Severity.WARNING
    examples = (
        Example(title="a kernel that was trained on", values=trained_on, severity=None, reference=trained),
        Example(title="without a reference", values=_other, severity=None),
        Example(
            title="a bias that left its zeros",
            values=lambda: np.linspace(-1, 1, 32, dtype=np.float32),
            severity=None,
            info={"role": "bias"},
            reference=lambda: np.zeros(32, np.float32),
        ),
        Example(
            title="a kernel that was initialized again",
            values=_other,
            severity=Severity.WARNING,
            reference=trained,
        ),
        Example(
            title="a kernel that was scaled by 10",
            values=lambda: trained() * 10,
            severity=Severity.WARNING,
            reference=trained,
        ),
        Example(
            title="a kernel that was scaled by a tenth",
            values=lambda: trained() / 10,
            severity=Severity.WARNING,
            reference=trained,
        ),
        Example(
            title="a bias that was reset",
            values=lambda: np.zeros(32, np.float32),
            severity=Severity.WARNING,
            info={"role": "bias"},
            reference=lambda: np.linspace(-1, 1, 32, dtype=np.float32),
        ),
    )

    def __post_init__(self) -> None:
        require(self.relative > 0, "relative must be above 0")
        require(-1 <= self.cosine <= 1, "cosine must lie between -1 and 1")
        require(self.ratio >= 1, "ratio must be at least 1")
        require(self.min_size >= 1, "min_size must be at least 1")

    def check_reference(self, comparison: Comparison) -> Iterator[Finding]:
        for _, info, found in moved_weights(comparison):
            reasons = list(self._reasons(info, found))
            if reasons and info.size >= self.min_size:
                message = f"It has drifted from the reference: {', '.join(reasons)}."
                yield self.finding(info, message, **evidence(found))

    def _reasons(self, info: TensorInfo, found: Difference) -> Iterator[str]:
        if not found.norm_before:
            return
        if not found.norm_after:
            yield "all of its values are zero now, and were not there"
        elif _is_judged(info, found):
            if found.relative > self.relative:
                yield f"its relative change is {found.relative:.3g}, above {self.relative:g}"
            if found.cosine < self.cosine:
                yield f"its cosine is {found.cosine:.3g}, below {self.cosine:g}"
            if not 1 / self.ratio <= found.gain_ratio <= self.ratio:
                yield f"its norm is {found.gain_ratio:.3g} times as large"


def _is_judged(info: TensorInfo, found: Difference) -> bool:
    if info.role is Role.NORM_SCALE:
        return found.norm_before >= _LEAST_SCALE * sqrt(found.size)
    return info.role in MATRIX_ROLES
