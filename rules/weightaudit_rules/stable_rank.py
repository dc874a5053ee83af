"""WA307: stable ranks below a bound that the policy states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from weightaudit.numerals import numeral
from weightaudit.rule import Example, Finding, Severity
from weightaudit_rules._options import require
from weightaudit_rules._spectra import SpectralRule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from weightaudit.statistics import Spectrum
    from weightaudit.tensor import TensorInfo


def _noise(common: float) -> NDArray[np.float32]:
    """Return a random kernel plus a constant, which is a matrix of rank 1."""
    return (np.random.default_rng(1).normal(0, 0.1, (64, 32)) + common).astype(np.float32)


@dataclass(frozen=True)
class StableRank(SpectralRule):
    """A tensor acts on few directions: its stable rank is below the bound that the policy states.

    The stable rank is the sum of the squares of all singular values by the largest of these squares
    (Rudelson and Vershynin 2007, Sampling from Large Matrices): from 1, where one direction is all
    there is, to the rank, where all count alike. Unlike the rank, it hardly changes with noise.

    Why it matters: a kernel whose stable rank collapsed gives nearly the same output, up to a
    factor, for every input.

    What is normal: it differs between architectures, so no bound comes with the rule. Compare with
    earlier versions of the same model. A random kernel of a by b has about a * b / (sqrt(a) + sqrt(b))**2.

    Known false positives: kernels with one row or one column, whose stable rank is 1; kernels with a
    large mean, as of layers whose input is never negative.

    How to mend: train again with a smaller learning rate, or with normalization; no projection
    brings back directions that are gone.

    Attributes:
        tensors: Globs of tensor names to judge; empty: any name.
        roles: Roles to judge; empty: any role.
        layer_classes: Globs of layer classes to judge; empty: any class. Without any of these
            three, kernels and embeddings are judged.
        min: Smallest stable rank allowed, at least 1; the rule is silent without it. Tensors of zeros
            have none, and are not judged.
    """

    min: float | None = None

    code = "WA307"
    name = "stable-rank"
    severity = Severity.WARNING
    examples = (
        Example(
            title="a random kernel, which has a stable rank of 11",
            values=lambda: _noise(0.0),
            severity=None,
            options={"min": 8.0},
        ),
        Example(
            title="one direction, without a policy",
            values=lambda: np.full((64, 32), 0.1, np.float32),
            severity=None,
        ),
        Example(
            title="a constant, which is one direction",
            values=lambda: np.full((64, 32), 0.1, np.float32),
            severity=Severity.WARNING,
            options={"min": 1.5},
        ),
        Example(
            title="noise on top of a large mean",
            values=lambda: _noise(1.0),
            severity=Severity.WARNING,
            options={"min": 2.0},
        ),
    )

    def __post_init__(self) -> None:
        require(self.min is None or self.min >= 1, "min must be at least 1")

    def is_active(self) -> bool:
        return self.min is not None

    def judge(self, info: TensorInfo, spectrum: Spectrum) -> Iterator[Finding]:
        bound = 1.0 if self.min is None else self.min
        # Nothing is below it where there is no direction at all: then the stable rank is NaN.
        if spectrum.stable_rank < bound:
            yield self.finding(
                info,
                f"The stable rank is {numeral(spectrum.stable_rank, 4)}, below {numeral(bound, 6)}.",
                stable_rank=spectrum.stable_rank,
                minimum=bound,
                norm=spectrum.norm,
            )
