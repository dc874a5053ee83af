"""Who computes projections: numpy, or TensorFlow in batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from weightaudit.projections.base import Projection


class Engine(Protocol):
    """Who computes projections."""

    @property
    def batch_bytes(self) -> int:
        """Bytes of tensors of one shape that are worth handing over together; 0: one at a time."""
        ...

    def project(
        self, projection: Projection, blocks: Sequence[NDArray[Any]], dtype: str
    ) -> list[NDArray[Any]]:
        """Project blocks of one shape, each on its own; see `Projection.project`."""
        ...


class NumpyEngine:
    """Computes with numpy, one block after the other."""

    batch_bytes = 0

    def project(
        self, projection: Projection, blocks: Sequence[NDArray[Any]], dtype: str
    ) -> list[NDArray[Any]]:
        return [projection.project(block, dtype=dtype) for block in blocks]


def engine_of(name: str) -> Engine:
    """Return the engine of that name, ``numpy`` or ``tensorflow``.

    Raises:
        UsageError: TensorFlow is not installed.
    """
    if name == "numpy":
        return NumpyEngine()
    from weightaudit.repair.tensorflow_engine import TensorFlowEngine

    return TensorFlowEngine()
