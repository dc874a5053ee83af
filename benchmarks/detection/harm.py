"""What a fault does to a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.random import Generator
    from numpy.typing import NDArray

    from benchmarks.detection.weights import Weights


@dataclass(frozen=True)
class Harm:
    """New numbers for some tensors.

    Attributes:
        changes: The numbers by name, of the stored shape and type.
        detail: What is worth knowing when it is not found.
    """

    changes: Mapping[str, NDArray[Any]]
    detail: str = ""

    @property
    def hurt(self) -> tuple[str, ...]:
        """Names of what was changed."""
        return tuple(self.changes)


def pick(random: Generator, names: Sequence[str]) -> str | None:
    """Choose one of some names; None if there is none."""
    return names[int(random.integers(len(names)))] if names else None


def is_changed(weights: Weights, harm: Harm) -> bool:
    """Say whether each tensor that is said to be hurt has other bytes than before."""
    return all(array.tobytes() != weights.arrays[name].tobytes() for name, array in harm.changes.items())


def largest(array: NDArray[Any]) -> float:
    """Return the largest finite magnitude of an array, 0.0 if there is none."""
    finite = np.abs(array[np.isfinite(array)])
    return float(finite.max()) if finite.size else 0.0
