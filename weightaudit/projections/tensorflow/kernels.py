"""Which projections run on TensorFlow, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from weightaudit.projections import (
    Clip,
    ClipNorm,
    FitDtype,
    L1Ball,
    MaxNorm,
    MinMaxNorm,
    NonNeg,
    Projection,
    Prune,
    ReplaceNonfinite,
    Shrink,
    SoftThreshold,
    SpectralNorm,
    UnitNorm,
)
from weightaudit.projections.tensorflow.norms import l1_ball, max_norm, min_max_norm, unit_norm
from weightaudit.projections.tensorflow.sparsity import prune
from weightaudit.projections.tensorflow.spectral import spectral_norm
from weightaudit.projections.tensorflow.values import replace_nonfinite, shrink, soft_threshold, within

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from weightaudit.projections.tensorflow.layout import Task
    from weightaudit.projections.tensorflow.library import Tensor

    Kernel = Callable[[Task[Any], Tensor], Tensor]
    """Carries a task out on a stack that is arranged for it."""

_KERNELS: Mapping[type[Projection], Kernel] = {
    Clip: within,
    ClipNorm: max_norm,
    FitDtype: within,
    L1Ball: l1_ball,
    MaxNorm: max_norm,
    MinMaxNorm: min_max_norm,
    NonNeg: within,
    Prune: prune,
    ReplaceNonfinite: replace_nonfinite,
    Shrink: shrink,
    SoftThreshold: soft_threshold,
    SpectralNorm: spectral_norm,
    UnitNorm: unit_norm,
}


def kernel_of(projection: Projection) -> Kernel | None:
    """Return how a projection runs on TensorFlow, None if it does not."""
    # A subclass may compute something else, so only the class itself will do.
    return _KERNELS.get(type(projection))
