"""Bounds on singular values, against numpy's singular value decomposition."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.projections.tensors import DTYPES, stored
from weightaudit import eigenvalues
from weightaudit.eigenvalues import lanczos
from weightaudit.projections import spectral_norm
from weightaudit.projections.grid import GRIDS

if TYPE_CHECKING:
    from numpy.typing import NDArray


def sigma(values: NDArray[Any]) -> float:
    """Return the largest singular value of a kernel, its last axis being the output."""
    matrix = values.astype(np.float64).reshape(-1, values.shape[-1])
    return float(np.linalg.svd(matrix, compute_uv=False)[0])


@pytest.fixture
def iterative(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat every kernel as too large for all eigenvalues, so that small ones test the iteration."""
    monkeypatch.setattr(eigenvalues, "SMALL", 0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(40, 30), (30, 40), (3, 3, 8, 16), (50,), (1, 1)])
@pytest.mark.parametrize("method", ["exact", "iterative"])
def test_sigma_is_within_the_bound_and_close_to_it(
    dtype: str, shape: tuple[int, ...], method: str, request: pytest.FixtureRequest
) -> None:
    """In every storage type the largest singular value ends just below the bound."""
    if method == "iterative":
        request.getfixturevalue("iterative")
    values = stored(np.random.default_rng(1).normal(0, 1, shape), dtype)
    bound = 0.7 * sigma(values)
    after = spectral_norm(values, bound, dtype=dtype)
    assert sigma(after) <= bound * (1 + 1e-14)
    assert sigma(after) >= bound * (1 - 2 * GRIDS[dtype].epsilon - 1e-8)
    assert spectral_norm(after, bound, dtype=dtype) is after


@pytest.mark.usefixtures("iterative")
@pytest.mark.parametrize("gap", [0.5, 1e-3, 1e-9, 0.0])
def test_close_singular_values(gap: float) -> None:
    """However close the second singular value is to the first, the bound is certified and nearly reached."""
    rng = np.random.default_rng(2)
    left, right = (np.linalg.qr(rng.normal(0, 1, (90, 90)))[0] for _ in range(2))
    kernel = left * np.concatenate([[3.0, 3.0 * (1 - gap)], rng.random(88)]) @ right
    after = spectral_norm(kernel, 1.0)
    assert 1 - 1e-8 <= sigma(after) <= 1
    np.testing.assert_allclose(after, kernel / 3, rtol=1e-7)


@pytest.mark.usefixtures("iterative")
@pytest.mark.parametrize("rank", [1, 2])
def test_few_singular_values(rank: int) -> None:
    """A kernel of rank one, for which the iteration has nowhere to go after a step, is no special case."""
    rng = np.random.default_rng(3)
    kernel = rng.normal(0, 1, (60, rank)) @ rng.normal(0, 1, (rank, 50))
    assert sigma(spectral_norm(kernel, 1.0)) == pytest.approx(1, abs=1e-8)


@pytest.mark.usefixtures("iterative")
def test_an_iteration_that_ends_too_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the iteration is cut off below the largest value, the certificate makes up for it."""
    monkeypatch.setattr(eigenvalues, "_STEPS", 10)
    kernel = np.random.default_rng(5).normal(0, 1, (300, 300))
    gram = kernel.T @ kernel
    assert lanczos(gram, 1e-9)[0] < sigma(kernel) ** 2 * 0.999
    assert 0.5 <= sigma(spectral_norm(kernel, 1.0)) <= 1


def test_one_step_above_and_below() -> None:
    """An orthogonal kernel is left alone at its bound, and one a little larger is not."""
    identity = np.eye(20)
    assert spectral_norm(identity, 1.0) is identity
    assert sigma(spectral_norm(identity * (1 + 1e-12), 1.0)) <= 1


def test_kernels_with_nan_stay() -> None:
    """A kernel whose largest singular value is no number is returned as it is."""
    values = np.full((3, 3), 5.0)
    values[1, 1] = np.nan
    assert spectral_norm(values, 1.0) is values


def test_a_kernel_beyond_the_exact_method() -> None:
    """A real size for the iterative method: 1100 by 1500 in float32."""
    values = np.random.default_rng(4).normal(0, 1, (1500, 1100)).astype(np.float32)
    after = spectral_norm(values, 2.0)
    assert 2 * (1 - 1e-6) <= sigma(after) <= 2


def test_a_scalar_is_refused() -> None:
    """A scalar is no matrix."""
    with pytest.raises(ValueError, match="has no axis -1"):
        spectral_norm(np.ones(()))
