"""The rules about singular values mean what Keras' SpectralNormalization and the literature mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from weightaudit.rule import Finding, Severity
from weightaudit.statistics import SpectralNorm, Spectrum, Stats
from weightaudit.testing import measure, tensor_info
from weightaudit_rules.spectral_norm_bound import SpectralNormBound
from weightaudit_rules.stable_rank import StableRank

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from weightaudit_rules._spectra import SpectralRule


def judge(rule: SpectralRule, values: NDArray[Any]) -> list[Finding]:
    """Run a rule on an array."""
    info = tensor_info(values)
    assert rule.applies(info)
    return list(rule.check(info, measure(values, rule.needs(info), info)))


@pytest.mark.parametrize("shape", [(60, 40), (3, 3, 8, 16), (40, 60)])
def test_the_bound_is_that_of_the_matrix(shape: tuple[int, ...]) -> None:
    """The bound is met just below the largest singular value of the flattened kernel, and broken above."""
    weights = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    largest = float(np.linalg.svd(weights.reshape(-1, shape[-1]), compute_uv=False)[0])
    assert judge(SpectralNormBound(max=largest), weights) == []
    (finding,) = judge(SpectralNormBound(max=largest * 0.999), weights)
    assert finding.severity is Severity.ERROR
    assert finding.values["norm"] == pytest.approx(largest, rel=1e-6)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_rounding_to_the_storage_type_complies(dtype: str) -> None:
    """An orthogonal matrix that was rounded has no singular value above 1 that counts; 2 % more has."""
    exact = np.linalg.qr(np.random.default_rng(2).normal(size=(64, 64)))[0]
    assert judge(SpectralNormBound(max=1.0), exact.astype(dtype)) == []
    assert len(judge(SpectralNormBound(max=1.0), (1.02 * exact).astype(dtype))) == 1
    assert judge(SpectralNormBound(max=1.0, tolerance=0.1), (1.02 * exact).astype(dtype)) == []


def test_stable_rank_counts_directions() -> None:
    """Three directions of one length, out of twenty, have the stable rank 3, and zeros have none."""
    weights = np.zeros((30, 20), np.float32)
    weights[:3, :3] = 7 * np.eye(3)
    assert judge(StableRank(min=2.999), weights) == []
    (finding,) = judge(StableRank(min=3.001), weights)
    assert finding.values["stable_rank"] == pytest.approx(3)
    assert judge(StableRank(min=5.0), np.zeros((30, 20), np.float32)) == []


@pytest.mark.parametrize("rule", [SpectralNormBound(max=1.0), StableRank(min=2.0)], ids=["bound", "rank"])
def test_what_was_not_measured_is_said(rule: SpectralRule) -> None:
    """A tensor that is too large to be measured is a warning, never silence."""
    stats = Stats({SpectralNorm(): Spectrum(float("nan"), float("nan"), "it is too large")})
    (finding,) = rule.check(tensor_info(np.zeros((2, 2))), stats)
    assert finding.severity is Severity.WARNING
    assert finding.message == "Its singular values were not measured, since it is too large."


@pytest.mark.parametrize("options", [{"max": -1.0}, {"max": float("inf")}, {"max": 1.0, "tolerance": -1.0}])
def test_bounds_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    """A bound below zero or without an end is a mistake in the policy."""
    with pytest.raises(ValueError, match=r"^(max|tolerance) must"):
        SpectralNormBound(**options)
    with pytest.raises(ValueError, match="min must be at least 1"):
        StableRank(min=0.5)
