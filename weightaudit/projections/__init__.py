"""Projections onto sets of tensors that are fit to use: pure functions, and frozen dataclasses for plans.

`max_norm(values, 2.0, axis=0)` and `MaxNorm(2.0, axis=0).project(values)` are the same. The contract
that all of them keep is in `weightaudit.projections.base.Projection`.
"""

from __future__ import annotations

from weightaudit.projections.base import Phase, Projection
from weightaudit.projections.catalogue import load_projections
from weightaudit.projections.donor import RestoreFrom, restore_from
from weightaudit.projections.l1 import L1Ball, l1_ball
from weightaudit.projections.norms import (
    ClipNorm,
    MaxNorm,
    MinMaxNorm,
    UnitNorm,
    clip_norm,
    max_norm,
    min_max_norm,
    unit_norm,
)
from weightaudit.projections.notation import parse_projection
from weightaudit.projections.sparsity import Prune, prune
from weightaudit.projections.spectral import SpectralNorm, spectral_norm
from weightaudit.projections.steps import Shrink, SoftThreshold, shrink, soft_threshold
from weightaudit.projections.values import (
    Clip,
    FitDtype,
    NonNeg,
    ReplaceNonfinite,
    clip,
    fit_dtype,
    non_neg,
    replace_nonfinite,
)

__all__ = [
    "Clip",
    "ClipNorm",
    "FitDtype",
    "L1Ball",
    "MaxNorm",
    "MinMaxNorm",
    "NonNeg",
    "Phase",
    "Projection",
    "Prune",
    "ReplaceNonfinite",
    "RestoreFrom",
    "Shrink",
    "SoftThreshold",
    "SpectralNorm",
    "UnitNorm",
    "clip",
    "clip_norm",
    "fit_dtype",
    "l1_ball",
    "load_projections",
    "max_norm",
    "min_max_norm",
    "non_neg",
    "parse_projection",
    "prune",
    "replace_nonfinite",
    "restore_from",
    "shrink",
    "soft_threshold",
    "spectral_norm",
    "unit_norm",
]
