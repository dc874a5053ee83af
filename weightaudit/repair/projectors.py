"""Who computes projections: numpy, or TensorFlow in batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from weightaudit.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from weightaudit.projections.base import Projection


class Projector(Protocol):
    """Who computes projections of blocks that are in memory."""

    @property
    def batch_bytes(self) -> int:
        """Bytes of tensors of one shape that are worth handing over together; 0: one at a time."""
        ...

    def project(
        self, projection: Projection, blocks: Sequence[NDArray[Any]], dtype: str
    ) -> list[NDArray[Any]]:
        """Project blocks of one shape, each on its own; see `Projection.project`."""
        ...


class NumpyProjector:
    """Computes with numpy, one block after the other."""

    batch_bytes = 0

    def project(
        self, projection: Projection, blocks: Sequence[NDArray[Any]], dtype: str
    ) -> list[NDArray[Any]]:
        return [projection.project(block, dtype=dtype) for block in blocks]


def projector_of(name: str) -> Projector:
    """Return who computes projections by the name of an engine, ``numpy`` or ``tensorflow``.

    Raises:
        UsageError: No such engine projects, or TensorFlow is not installed.
    """
    if name == "numpy":
        return NumpyProjector()
    if name == "tensorflow":
        from weightaudit.repair.tensorflow_projector import TensorFlowProjector

        return TensorFlowProjector()
    raise UsageError(f"There is no engine {name!r} for projections; name one of numpy, tensorflow.")
