"""Spectral norms are those of an SVD, however a kernel is cut, and what is not measured is said."""

from __future__ import annotations

from itertools import pairwise
from math import inf, isnan, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weightaudit import eigenvalues
from weightaudit.eigenvalues import gram, largest_eigenvalue
from weightaudit.statistics import SpectralNorm, Spectrum, spectral
from weightaudit.testing import blocks, measure, tensor_info

if TYPE_CHECKING:
    from numpy.typing import NDArray


def folded(values: NDArray[Any], cuts: list[int], size: int) -> Spectrum:
    """Fold each stretch between the cuts on its own, in blocks, and merge the stretches in order."""
    info, width = tensor_info(values), values.dtype.itemsize
    raw = np.frombuffer(values.tobytes(), np.uint8)
    edges = [0, *sorted(cut % (values.size + 1) for cut in cuts), values.size]
    folds = []
    for first, last in pairwise(edges):
        fold = SpectralNorm().start(info)
        for block in blocks(raw[first * width : last * width], info, size, first):
            fold.update(block)
        folds.append(fold)
    # Merging is associative: the later ones among themselves first.
    for fold, other in reversed(list(pairwise(folds))):
        fold.merge(other)
    return folds[0].finish()


@settings(deadline=None, max_examples=200)
@given(
    shape=st.lists(st.integers(1, 9), max_size=4).map(tuple),
    cuts=st.lists(st.integers(0, 6561), max_size=3),
    size=st.integers(1, 200),
    seed=st.integers(0, 2**32 - 1),
)
def test_norm_is_that_of_the_svd(shape: tuple[int, ...], cuts: list[int], size: int, seed: int) -> None:
    """A kernel of any shape, its axes but the last flattened, has the norm of the SVD, however it is cut."""
    values = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    matrix = values.reshape(-1, shape[-1] if shape else 1).astype(np.float64)
    singular = np.linalg.svd(matrix, compute_uv=False)
    found = folded(values, cuts, size)
    assert found.norm == pytest.approx(float(singular[0]), rel=1e-12)
    assert found.squares == pytest.approx(float((singular**2).sum()), rel=1e-12)
    assert found.stable_rank == pytest.approx(float((singular**2).sum() / singular[0] ** 2), rel=1e-11)


@settings(deadline=None, max_examples=20)
@given(cuts=st.lists(st.integers(0, 700_000), max_size=4), size=st.integers(999, 90_000))
def test_tall_kernels_are_folded(cuts: list[int], size: int) -> None:
    """Rows that are folded into a Gram matrix, some of them cut, give the norm of the SVD."""
    values = np.random.default_rng(1).normal(size=(20_000, 31)).astype(np.float32)
    exact = float(np.linalg.svd(values.astype(np.float64), compute_uv=False)[0])
    assert folded(values, cuts, size).norm == pytest.approx(exact, rel=1e-12)


def test_tall_kernels_take_little_memory() -> None:
    """Of a kernel of many rows, no more is kept than its Gram matrix and the rows of about a megabyte."""
    info = tensor_info(np.zeros((1, 100), np.float32), shape=(10**9, 100))
    fold = SpectralNorm().start(info)
    for number in range(60):
        for block in blocks(bytes_of(np.ones(50_050, np.float32)), info, 50_050, number * 50_050):
            fold.update(block)
        assert sum(values.nbytes for _, values in fold._kept) <= (1 << 20) + 400 * 400


def bytes_of(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the bytes of an array."""
    return values.view(np.uint8)


@pytest.mark.parametrize("gap", [0.0, 1e-9, 1e-4, 0.5])
def test_large_kernels_are_within_the_tolerance(gap: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the Lanczos method the norm is right also where two singular values are equal, or nearly so."""
    monkeypatch.setattr(eigenvalues, "SMALL", 10)
    rng = np.random.default_rng(2)
    left, right = (np.linalg.qr(rng.normal(size=(300, 300)))[0] for _ in range(2))
    singular = np.concatenate([[1.0, 1.0 - gap], rng.uniform(0, 0.999 - 0.5 * gap, 298)])
    found = spectral.spectrum_of(left * singular @ right)
    assert 1 - 5e-7 <= found.norm <= 1 + 1e-12


def test_values_that_lanczos_misses_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the method ends at a smaller eigenvalue, the proof fails and all eigenvalues are computed."""
    monkeypatch.setattr(eigenvalues, "SMALL", 10)
    matrix = np.diag(np.linspace(1, 4, 50))
    for missed in (1.0, 3.9, 4 / (1 + 2e-6)):
        monkeypatch.setattr(eigenvalues, "lanczos", lambda *_, value=missed: (value, 0.0))
        assert largest_eigenvalue(matrix) == pytest.approx(4, rel=1e-12)
    monkeypatch.setattr(eigenvalues, "lanczos", lambda *_: (4 / (1 + 1e-7), 0.0))
    assert largest_eigenvalue(matrix) < 4


def test_gram_matrix_is_the_smaller_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tall and wide matrices have Gram matrices of one size, also where they are multiplied in pieces."""
    monkeypatch.setattr(eigenvalues, "_ELEMENTS", 20)
    tall = np.random.default_rng(3).normal(size=(17, 4))
    np.testing.assert_allclose(gram(tall), tall.T @ tall, rtol=1e-12)
    np.testing.assert_allclose(gram(tall.T), tall.T @ tall, rtol=1e-12)


def test_keras_normalizes_by_the_same_norm() -> None:
    """A layer that Keras has normalized with many steps of power iteration has the spectral norm 1."""
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(0)  # power iteration is slow where two singular values are close
    layer = keras.layers.SpectralNormalization(keras.layers.Conv2D(6, 3), power_iterations=200)
    layer.build((None, 8, 8, 4))
    kernel = np.asarray(layer.normalized_weights()[1])
    assert kernel.shape == (3, 3, 4, 6)
    assert measure(kernel, [SpectralNorm()])[SpectralNorm()].norm == pytest.approx(1, rel=1e-5)


def test_not_finite_elements_count_as_zero() -> None:
    """NaN and Inf are left out, as everywhere."""
    values = np.array([[3.0, np.nan], [-np.inf, 4.0]])
    assert measure(values, [SpectralNorm()])[SpectralNorm()].norm == pytest.approx(4)


def test_degenerate_kernels_have_a_norm() -> None:
    """Empty kernels and zeros have the norm 0 and no stable rank; squares beyond float64 make it infinite."""
    for values in (np.zeros((0, 4)), np.zeros((4, 4)), np.zeros((4, 0))):
        found = measure(values, [SpectralNorm()])[SpectralNorm()]
        assert (found.norm, found.squares, found.reason) == (0, 0, "")
        assert isnan(found.stable_rank)
    assert measure(np.full((3, 3), 1e200), [SpectralNorm()])[SpectralNorm()].norm == inf
    assert isnan(Spectrum(1e-200, 0.0).stable_rank)


@pytest.mark.parametrize(
    ("dtype", "shape", "reason"),
    [
        ("complex64", (4, 4), "it holds complex numbers"),
        ("float32", (8192, 16_384), "as a matrix of 8192 by 16384 it does not fit"),
        ("float32", (100_000, 5000), "as a matrix of 100000 by 5000 it does not fit"),
    ],
)
def test_what_is_not_measured_is_said(dtype: str, shape: tuple[int, ...], reason: str) -> None:
    """Complex and too large kernels have a reason instead of a norm, and nothing is kept of them."""
    info = tensor_info(np.zeros((1, 1), dtype), shape=shape)
    fold = SpectralNorm().start(info)
    for block in blocks(bytes_of(np.ones(64, np.float32)), tensor_info(np.zeros(64, np.float32)), 64):
        fold.update(block)
    assert not fold._kept
    found = fold.finish()
    assert isnan(found.norm)
    assert found.reason.startswith(reason)


@pytest.mark.parametrize("shape", [(10_000_000, 8), (4096, 16_384), (30_000, 4096)])
def test_usual_large_kernels_are_measured(shape: tuple[int, ...]) -> None:
    """Embeddings and heads of large models are not refused."""
    assert not spectral.reason_against(tensor_info(np.zeros((1, 1), np.float32), shape=shape))


def test_vector_is_a_row() -> None:
    """A vector's norm is its length."""
    values = np.array([1.0, 2.0, 2.0], np.float32)
    assert measure(values, [SpectralNorm()])[SpectralNorm()].norm == pytest.approx(3)
    assert measure(np.array(-2.0), [SpectralNorm()])[SpectralNorm()].norm == pytest.approx(sqrt(4))
