"""Faults of what a layer keeps beside its weights, and of what its configuration promises about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.detection.harm import Harm, largest, pick
from weightaudit.identity.optimizer import is_second_moment
from weightaudit.tensor import Role

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

    from benchmarks.detection.weights import Weights
    from weightaudit.tensor import Declared


def negative_variance(weights: Weights, random: Generator, *, every: bool) -> Harm | None:
    """Change the sign of one moving variance of a layer, or of all."""
    name = pick(random, _variances(weights))
    if name is None:
        return None
    array = weights.arrays[name].copy()
    chosen = slice(None) if every else int(random.choice(np.flatnonzero(array)))
    array[chosen] = -np.abs(array[chosen])
    return Harm({name: array})


def zero_variance(weights: Weights, random: Generator, *, every: bool) -> Harm | None:
    """Set one moving variance of a layer to zero, or all."""
    name = pick(random, _variances(weights))
    if name is None:
        return None
    array = weights.arrays[name].copy()
    array[slice(None) if every else int(random.choice(np.flatnonzero(array)))] = 0
    return Harm({name: array})


def _variances(weights: Weights) -> list[str]:
    return [
        one
        for one in weights.named(Role.MOVING_VARIANCE)
        if weights.arrays[one].ndim == 1 and weights.arrays[one].any()
    ]


def reset_statistics(weights: Weights, random: Generator) -> Harm | None:
    """Set the moving mean and variance of a layer back to what they are before training."""
    name = pick(random, _variances(weights))
    if name is None:
        return None
    changes = {name: np.ones_like(weights.arrays[name])}
    for other in weights.siblings(name):
        if weights.infos[other].role is Role.MOVING_MEAN and weights.arrays[other].any():
            changes[other] = np.zeros_like(weights.arrays[other])
    return Harm(changes)


def break_constraint(weights: Weights, random: Generator, *, excess: float) -> Harm | None:
    """Scale one vector of a constrained tensor, or move one element, beyond what is declared.

    Args:
        weights: The model.
        random: Chooses.
        excess: How far beyond, as a share of the bound; for `NonNeg`, of the tensor's largest magnitude.
    """
    constrained = {
        name: info.constraint
        for name, info in weights.infos.items()
        if info.constraint is not None and name in weights.arrays and not info.is_bookkeeping
    }
    for name in random.permutation(list(constrained)):
        changed = _broken(weights.arrays[str(name)], constrained[str(name)], random, excess)
        if changed is not None:
            return Harm({str(name): changed}, constrained[str(name)].name)
    return None


def _broken(array: NDArray[Any], declared: Declared, random: Generator, excess: float) -> NDArray[Any] | None:
    """Return an array that breaks the constraint, None if the constraint is not known."""
    if declared.name == "NonNeg":
        changed = array.copy()
        changed.reshape(-1)[int(random.integers(array.size))] = -(largest(array) or 1.0) * excess
        return changed
    bound = {"UnitNorm": 1.0}.get(declared.name, declared.config.get("max_value"))
    if declared.name not in {"MaxNorm", "MinMaxNorm", "UnitNorm"} or not bound:
        return None
    axis = declared.config.get("axis", 0)
    axes = (axis,) if isinstance(axis, int) else tuple(axis)
    norms = np.sqrt(np.square(array.astype(np.float64)).sum(axes, keepdims=True))
    if not norms.max() > 0:
        return None
    factor = np.ones_like(norms)
    chosen = int(random.choice(np.flatnonzero(norms)))
    factor.reshape(-1)[chosen] = bound * (1 + excess) / norms.reshape(-1)[chosen]
    scaled: NDArray[Any] = (array * factor).astype(array.dtype)
    return scaled


def fill_zeros(weights: Weights, random: Generator) -> Harm | None:
    """Give the zeros of a pruned kernel small values, as training without its mask does."""
    pruned = [
        one
        for one in weights.kernels()
        if np.mean(weights.arrays[one] == 0) >= 0.5 and weights.arrays[one].any()
    ]
    name = pick(random, pruned)
    if name is None:
        return None
    array = weights.arrays[name].copy()
    zeros = array == 0
    array[zeros] = random.normal(0, 0.1 * float(array[~zeros].std()), int(zeros.sum()))
    return Harm({name: array})


def negative_slots(weights: Weights, random: Generator) -> Harm | None:
    """Change the sign of a tenth of an optimizer's second moments."""
    name = pick(random, [one for one in _slots(weights) if is_second_moment(one)])
    if name is None:
        return None
    array = weights.arrays[name].copy()
    flat = array.reshape(-1)
    filled = np.flatnonzero(flat)
    chosen = random.choice(filled, max(1, len(filled) // 10), replace=False)
    flat[chosen] *= -1
    return Harm({name: array})


def nan_slots(weights: Weights, random: Generator) -> Harm | None:
    """Set one number of an optimizer slot to NaN."""
    name = pick(random, _slots(weights))
    if name is None:
        return None
    array = weights.arrays[name].copy()
    array.reshape(-1)[int(random.integers(array.size))] = np.nan
    return Harm({name: array})


def exploded_slots(weights: Weights, random: Generator) -> Harm | None:
    """Multiply an optimizer slot so that its largest number is 1e12."""
    name = pick(random, _slots(weights))
    if name is None:
        return None
    array = weights.arrays[name]
    return Harm({name: (array * (1e12 / largest(array))).astype(array.dtype)})


def _slots(weights: Weights) -> list[str]:
    return [
        one for one in weights.named(Role.OPTIMIZER_SLOT, least=8) if largest(weights.arrays[one]) > 1e-30
    ]


def quantization_scale(weights: Weights, random: Generator, *, every: bool) -> Harm | None:
    """Multiply one scale of a quantized layer by 100, or all."""
    name = pick(random, weights.named(Role.QUANTIZATION))
    if name is None:
        return None
    array = weights.arrays[name].copy()
    flat = array.reshape(-1)
    flat[slice(None) if every else int(random.integers(flat.size))] *= 100
    return Harm({name: array})
