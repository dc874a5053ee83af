"""Folds stretches of a tensor apart and merges them, as workers do."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from hypothesis import strategies as st

from weightaudit.dtypes import itemsize
from weightaudit.testing import blocks, tensor_info

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from weightaudit.statistics import Fold, Statistic
    from weightaudit.tensor import TensorInfo

SPLITS = {"cuts": st.lists(st.integers(0, 5000), max_size=3), "size": st.integers(5, 3000)}


def merged(
    values: NDArray[Any],
    statistic: Statistic[Any],
    cuts: Sequence[int],
    size: int,
    info: TensorInfo | None = None,
) -> Any:
    """Fold each stretch between the cuts on its own, in blocks, and merge the stretches in order.

    Blocks of odd sizes are summed up by compiled kernels, so that every test proves both ways.
    """
    info = info or tensor_info(values)
    width = itemsize(info.dtype)
    raw = np.frombuffer(values.tobytes(), np.uint8)
    folds: list[Fold[Any]] = []
    for first, last in pairwise([0, *sorted(cut % (values.size + 1) for cut in cuts), values.size]):
        fold = statistic.start(info)
        with np.errstate(all="ignore"):
            for block in blocks(raw[first * width : last * width], info, size, first, compiled=size % 2 == 1):
                fold.update(block)
        folds.append(fold)
    for fold in folds[1:]:
        folds[0].merge(fold)
    return folds[0].finish()
