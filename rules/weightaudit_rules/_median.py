"""The median, as numpy's own: that one imports masked arrays when it is first used, which takes 9 ms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def median(values: ArrayLike) -> Any:
    """Return the median over the first axis, in float64.

    Args:
        values: At least one number, or one row of numbers; none is NaN.
    """
    ordered = np.sort(np.asarray(values, np.float64), axis=0)
    count = len(ordered)
    return (ordered[(count - 1) // 2] + ordered[count // 2]) / 2
