"""WA605: weights of which too many changed their sign."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from weightaudit.rule import Example, Severity
from weightaudit.tensor import MATRIX_ROLES
from weightaudit_rules._examples import trained_kernel
from weightaudit_rules._options import require
from weightaudit_rules._reference import ReferenceRule, evidence, has_grown, moved_weights, trained_on
from weightaudit_rules._words import part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from weightaudit.comparison import Comparison
    from weightaudit.rule import Finding


@dataclass(frozen=True)
class ChangedSigns(ReferenceRule):
    """Too many weights have another sign than in the reference.

    Why it matters: a weight that changes its sign does the opposite of what it did. A sign bit that
    was lost in a conversion, or a tensor that was negated, changes nothing in any norm, histogram or
    sparsity.

    Formula: numbers that are positive in one model and negative in the other, over all numbers. For
    weights that are normally distributed around zero it is the angle between both tensors over 180
    degrees: 0.35 is a cosine of 0.45, 0.5 no relation at all, 1 a tensor that was negated.

    What is normal: at most 0.29 from one checkpoint to the next in the 142 kernels and embeddings
    that WA601 tells of, in the first epoch of a training whose learning rate is ten times too high;
    so `share` is 0.35. Kernels, recurrent kernels and embeddings are judged.

    Where WA601 (drift) says no worse of the same tensor, it takes the place of this finding. What is left
    are signs that changed in weights too small to turn the whole.

    Known false positives: a reference from long before; layers that were exchanged on purpose; two
    networks that differ in the order or sign of their units and compute the same.

    How to mend: take the tensor from the reference (`weightaudit repair --donor`), or convert again
    and compare the file with its source (`weightaudit diff`).

    Attributes:
        share: Largest share of numbers that may have changed their sign, 0 to 1.
        min_size: Elements that a tensor has at least to be judged.
    """

    share: float = 0.35
    min_size: int = 64

    code = "WA605"
    name = "changed-signs"
    severity = Severity.WARNING
    examples = (
        Example(
            title="a kernel that was trained on", values=trained_on, severity=None, reference=trained_kernel
        ),
        Example(
            title="a small kernel of eight weights",
            values=lambda: np.full((2, 4), -0.1, np.float32),
            severity=None,
            reference=lambda: np.full((2, 4), 0.1, np.float32),
        ),
        Example(
            title="a kernel that was negated",
            values=lambda: -trained_kernel(),
            severity=Severity.WARNING,
            reference=trained_kernel,
        ),
        Example(
            title="a kernel that lost its sign bits",
            values=lambda: np.abs(trained_kernel()),
            severity=Severity.WARNING,
            reference=trained_kernel,
        ),
    )

    def __post_init__(self) -> None:
        require(0 <= self.share <= 1, "share must lie between 0 and 1")
        require(self.min_size >= 1, "min_size must be at least 1")

    def check_reference(self, comparison: Comparison) -> Iterator[Finding]:
        for _, info, found in moved_weights(comparison):
            if info.role not in MATRIX_ROLES or found.size < self.min_size:
                continue
            if found.sign_flips > self.share * found.size and not has_grown(info, found):
                yield self.finding(
                    info,
                    f"{part(found.sign_flips, found.size, 'number', 'has', 'have')} another sign than in the "
                    f"reference ({found.sign_flips / found.size:.1%}), above {self.share:.0%}.",
                    **evidence(found),
                )
