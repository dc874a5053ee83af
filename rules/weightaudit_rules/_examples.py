"""Tensors that the examples of many rules begin with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def trained_kernel() -> NDArray[np.float32]:
    """Return a new array of 64 by 32 normal numbers of standard deviation 0.1: as a healthy kernel is."""
    return np.random.default_rng(1).normal(0, 0.1, (64, 32)).astype(np.float32)
