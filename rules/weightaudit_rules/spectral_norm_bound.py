"""WA306: spectral norms above a bound that the policy states."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from weightaudit.numerals import numeral
from weightaudit.rule import Example, Finding, Severity
from weightaudit_rules._options import require
from weightaudit_rules._spectra import SpectralRule
from weightaudit_rules._tolerance import relative_tolerance

if TYPE_CHECKING:
    from collections.abc import Iterator

    from weightaudit.projections import Projection
    from weightaudit.statistics import Spectrum
    from weightaudit.tensor import TensorInfo


@dataclass(frozen=True)
class SpectralNormBound(SpectralRule):
    """The largest singular value of a tensor is above the bound that the policy states.

    Why it matters: it is the most by which a dense layer can lengthen its input. The product
    over the layers bounds how much the model reacts to a small change of its input (Lipschitz bounds,
    robustness, critics of generative models).

    What is normal: a layer under Keras' SpectralNormalization has a value near 1, not exactly 1:
    it estimates the value by one step of power iteration at a time, and its kernel is that of the
    last step. For a kernel as it is drawn, about the standard deviation of its elements times
    (sqrt(rows) + sqrt(columns)).

    Known false positives: none for dense kernels. A convolution is judged as the matrix that
    SpectralNormalization takes, all axes but the last flattened into one; with stride 1 it can
    lengthen its input by up to sqrt(number of taps of the filter) times more. Embeddings are looked up,
    not multiplied with: select roles if you do not mean them.

    How to mend: project the tensor onto the bound, or train on with SpectralNormalization.

    Attributes:
        tensors: Globs of tensor names to judge; empty: any name.
        roles: Roles to judge; empty: any role.
        layer_classes: Globs of layer classes to judge; empty: any class. Without any of these
            three, kernels and embeddings are judged.
        max: Largest singular value allowed; the rule is silent without it.
        tolerance: Relative slack; None for the storage type's own, 1e-5 plus twice its epsilon.
    """

    max: float | None = None
    tolerance: float | None = None

    code = "WA306"
    name = "spectral-norm-bound"
    severity = Severity.ERROR
    examples = (
        Example(
            title="a matrix that turns and does not lengthen, under a bound of 1",
            values=lambda: np.linalg.qr(np.random.default_rng(1).normal(size=(32, 32)))[0].astype(np.float32),
            severity=None,
            options={"max": 1.0},
        ),
        Example(
            title="large weights without a policy",
            values=lambda: np.full((64, 32), 100, np.float32),
            severity=None,
        ),
        Example(
            title="columns of norm 2 that all point one way",
            values=lambda: np.full((64, 32), 0.25, np.float32),
            severity=Severity.ERROR,
            options={"max": 2.0},
        ),
        Example(
            title="a convolution with one large direction",
            values=lambda: np.full((3, 3, 4, 8), 0.1, np.float32),
            severity=Severity.ERROR,
            options={"max": 1.6},
        ),
        Example(
            title="complex numbers, whose singular values are not measured",
            values=lambda: np.ones((4, 4), np.complex64),
            severity=Severity.WARNING,
            options={"max": 2.0},
        ),
    )

    def __post_init__(self) -> None:
        require(self.max is None or 0 <= self.max < inf, "max must be a finite number of at least 0")
        require(self.tolerance is None or self.tolerance >= 0, "tolerance must not be negative")

    def is_active(self) -> bool:
        return self.max is not None

    def judge(self, info: TensorInfo, spectrum: Spectrum) -> Iterator[Finding]:
        bound = inf if self.max is None else self.max
        if spectrum.norm > bound * (1 + relative_tolerance(info.dtype, self.tolerance)):
            yield self.finding(
                info,
                f"The largest singular value is {numeral(spectrum.norm, 6)}, above {numeral(bound, 6)}.",
                norm=spectrum.norm,
                maximum=bound,
                stable_rank=spectrum.stable_rank,
            )

    def projection(self, info: TensorInfo) -> Projection | None:
        from weightaudit.dtypes import kind_of
        from weightaudit.projections import SpectralNorm

        return None if self.max is None or kind_of(info.dtype) == "complex" else SpectralNorm(self.max)
