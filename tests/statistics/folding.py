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

SPLITS = {"cuts": st.lists(st.integers(0, 5000), max_size=3), "size": st.integers(5, 3000)}


def merged(values: NDArray[Any], statistic: Statistic[Any], cuts: Sequence[int], size: int) -> Any:
    """Return what a statistic gives of stretches, in blocks of a size; it is compiled if that is odd."""
    info = tensor_info(values)
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
