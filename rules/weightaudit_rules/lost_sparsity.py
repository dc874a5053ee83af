"""WA604: zeros of a pruned tensor that are gone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from weightaudit.rule import Example, Severity
from weightaudit.tensor import MATRIX_ROLES
from weightaudit_rules._examples import trained_kernel
from weightaudit_rules._options import require
from weightaudit_rules._reference import ReferenceRule, evidence, moved_weights, trained_on

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from weightaudit.comparison import Comparison
    from weightaudit.rule import Finding


def _pruned(values: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    """Return a kernel of which the smallest values of the example's kernel are zero."""
    mask = np.abs(trained_kernel()) >= np.quantile(np.abs(trained_kernel()), share)
    return np.where(mask, values, np.float32(0))


@dataclass(frozen=True)
class LostSparsity(ReferenceRule):
    """A tensor that is pruned in the reference has lost most of its zeros.

    Why it matters: fine-tuning without masks, or averaging two checkpoints, fills the zeros again.
    The model still works, and is larger and slower than was promised.

    Formula: with n elements, z0 zeros in the reference and z now, z0 / n of at least `pruned` and
    z / z0 below `kept`. Zeros are exact ones, of either sign.

    What is normal: fewer than 0.1 percent of zeros in kernels that were not pruned, and the same
    zeros after every epoch in those that were. A tensor that is all zeros in the reference was not
    pruned but not yet trained, and is left alone.

    Known false positives: embeddings, or kernels of linear models trained with FTRL, whose rows are
    zero until they are seen; small kernels, where a few zeros are a large share.

    How to mend: apply the masks again (`weightaudit repair --project 'prune(0.5)'` prunes by
    magnitude), and train with them.

    Attributes:
        pruned: Share of zeros in the reference from which on a tensor counts as pruned, 0 to 1.
        kept: Share of those zeros of which as many must be left, 0 to 1.
        min_size: Elements that a tensor has at least to be judged.
    """

    pruned: float = 0.1
    kept: float = 0.5
    min_size: int = 64

    code = "WA604"
    name = "lost-sparsity"
    severity = Severity.WARNING
    examples = (
        Example(
            title="a pruned kernel that was trained on with its mask",
            values=lambda: _pruned(trained_on(), 0.5),
            severity=None,
            reference=lambda: _pruned(trained_kernel(), 0.5),
        ),
        Example(
            title="a dense kernel that was trained on",
            values=trained_on,
            severity=None,
            reference=trained_kernel,
        ),
        Example(
            title="a kernel that was all zeros, and was trained",
            values=trained_kernel,
            severity=None,
            reference=lambda: np.zeros((64, 32), np.float32),
        ),
        Example(
            title="a pruned kernel that was trained on without its mask",
            values=trained_on,
            severity=Severity.WARNING,
            reference=lambda: _pruned(trained_kernel(), 0.5),
        ),
        Example(
            title="a fifth of zeros, of which a quarter is left",
            values=lambda: _pruned(trained_on(), 0.05),
            severity=Severity.WARNING,
            reference=lambda: _pruned(trained_kernel(), 0.2),
        ),
    )

    def __post_init__(self) -> None:
        require(0 < self.pruned <= 1 and 0 < self.kept <= 1, "pruned and kept must be above 0, and at most 1")
        require(self.min_size >= 1, "min_size must be at least 1")

    def check_reference(self, comparison: Comparison) -> Iterator[Finding]:
        for _, info, found in moved_weights(comparison):
            before, after = found.zeros_before, found.zeros_after
            if info.role not in MATRIX_ROLES or found.size < self.min_size or before == found.size:
                continue
            if before >= self.pruned * found.size and after < self.kept * before:
                yield self.finding(
                    info,
                    f"{before / found.size:.1%} of its values are zero in the reference, "
                    f"and {after / found.size:.1%} are now.",
                    **evidence(found),
                )
