"""Computes projections with TensorFlow, many tensors of one shape in a call; numpy has the last word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.projections.grid import bits
from weightaudit.projections.tensorflow import project_stack, supports

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from weightaudit.projections.base import Projection


class TensorFlowProjector:
    """Computes with TensorFlow, on a GPU if it finds one.

    Where there is one, operations are made deterministic for the whole process: the plan of a
    repair and the pass that writes it project the same tensors, and have to get the same bits. On
    a CPU they do so without.

    Raises:
        UsageError: TensorFlow is not installed.
    """

    batch_bytes = 48 << 20

    def __init__(self) -> None:
        from weightaudit.projections.tensorflow.library import tf

        if tf.config.list_physical_devices("GPU"):
            tf.config.experimental.enable_op_determinism()

    def project(
        self, projection: Projection, blocks: Sequence[NDArray[Any]], dtype: str
    ) -> list[NDArray[Any]]:
        if not supports(projection):
            return [projection.project(block, dtype=dtype) for block in blocks]
        # What is stored in a byte comes as float32, so a batch of tensors may be more than that in memory.
        many = max(1, self.batch_bytes // max(1, blocks[0].nbytes)) if blocks else 1
        batches = (blocks[first : first + many] for first in range(0, len(blocks), many))
        return [block for batch in batches for block in _projected(projection, batch, dtype)]


def _projected(projection: Projection, blocks: Sequence[NDArray[Any]], dtype: str) -> Iterator[NDArray[Any]]:
    """Yield what TensorFlow makes of each block, or numpy, where that is not right.

    Nothing tells whether the result of a step is right, so what TensorFlow takes for zero is not
    left to it.
    """
    result = project_stack(projection, np.stack(blocks), dtype=dtype).numpy()
    for before, after in zip(blocks, result, strict=True):
        new = before if np.array_equal(bits(before), bits(after)) else after
        is_right = not _has_subnormal(before) if projection.is_step else projection.complies(new, dtype=dtype)
        yield new if is_right else projection.project(before, dtype=dtype)


def _has_subnormal(values: NDArray[Any]) -> bool:
    magnitudes = np.abs(values)
    return bool(((magnitudes > 0) & (magnitudes < np.finfo(values.dtype).tiny)).any())
