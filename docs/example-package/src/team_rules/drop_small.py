"""The projection ``drop_small``: weights that do next to nothing become nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from weightaudit.projections import Phase, Projection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class DropSmall(Projection):
    """Each value of a magnitude below `limit` becomes zero.

    Attributes:
        limit: Smallest magnitude that stays.
    """

    name: ClassVar[str] = "drop_small"
    phase: ClassVar[Phase] = Phase.SPARSITY

    limit: float = 0.001

    def project(self, values: NDArray[Any], *, dtype: str | None = None) -> NDArray[Any]:
        """Return `values` itself where there is nothing to do, as every projection must."""
        del dtype  # zero is a number of every type
        small = (np.abs(values) < self.limit) & (values != 0)
        return np.where(small, np.zeros_like(values), values) if small.any() else values

    def splits(self, shape: Sequence[int]) -> bool:
        """Each value is projected for itself, so any slice can be."""
        return len(shape) > 0
