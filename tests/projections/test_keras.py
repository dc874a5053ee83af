"""What Keras and TensorFlow compute under the same names, and where they differ on purpose."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from weightaudit import projections

keras = pytest.importorskip("keras")
tensorflow = pytest.importorskip("tensorflow")

AXES: tuple[Any, ...] = (0, 1, (0, 1, 2))


def kernel(axis: Any) -> Any:
    """Return a Dense kernel, or a Conv2D kernel for three axes."""
    shape = (3, 3, 16, 32) if isinstance(axis, tuple) else (64, 32)
    scales = np.logspace(-1, 1, shape[-1])
    return (np.random.default_rng(1).normal(0, 0.3, shape) * scales).astype(np.float32)


def applied(constraint: Any, values: Any) -> Any:
    """Return what a Keras constraint makes of an array."""
    return keras.ops.convert_to_numpy(constraint(keras.ops.convert_to_tensor(values)))


def keras_axis(axis: Any) -> Any:
    """Return axes as Keras takes them."""
    return list(axis) if isinstance(axis, tuple) else axis


@pytest.mark.parametrize("axis", AXES)
def test_max_norm(axis: Any) -> None:
    """Within float32 rounding and Keras' epsilon, the result is that of keras.constraints.MaxNorm."""
    values = kernel(axis)
    expected = applied(keras.constraints.MaxNorm(2.0, keras_axis(axis)), values)
    np.testing.assert_allclose(projections.max_norm(values, 2.0, axis), expected, rtol=1e-6)


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("rate", [1.0, 0.3])
def test_min_max_norm(axis: Any, rate: float) -> None:
    """The same for keras.constraints.MinMaxNorm, with its rate."""
    values = kernel(axis)
    expected = applied(keras.constraints.MinMaxNorm(1.0, 3.0, rate, keras_axis(axis)), values)
    np.testing.assert_allclose(projections.min_max_norm(values, 1.0, 3.0, rate, axis), expected, rtol=1e-6)


@pytest.mark.parametrize("axis", AXES)
def test_unit_norm(axis: Any) -> None:
    """The same for keras.constraints.UnitNorm."""
    values = kernel(axis)
    expected = applied(keras.constraints.UnitNorm(keras_axis(axis)), values)
    np.testing.assert_allclose(projections.unit_norm(values, axis), expected, rtol=2e-6)


def test_non_neg() -> None:
    """keras.constraints.NonNeg gives the same bits."""
    values = kernel(0)
    np.testing.assert_array_equal(projections.non_neg(values), applied(keras.constraints.NonNeg(), values))


@pytest.mark.parametrize("bound", [0.5, 1e4])
def test_clip_norm(bound: float) -> None:
    """tf.clip_by_norm gives the same within float32 rounding."""
    values = kernel(0)
    expected = tensorflow.clip_by_norm(values, bound).numpy()
    np.testing.assert_allclose(projections.clip_norm(values, bound), expected, rtol=1e-6)


def test_clip() -> None:
    """tf.clip_by_value gives the same where float32 has the bounds."""
    values = kernel(0)
    expected = tensorflow.clip_by_value(values, -0.5, 0.25).numpy()
    np.testing.assert_array_equal(projections.clip(values, -0.5, 0.25), expected)


def test_spectral_norm() -> None:
    """keras.layers.SpectralNormalization converges to the kernel that the projection gives."""
    values = kernel((0, 1, 2))
    layer = keras.layers.Conv2D(32, 3, use_bias=False)
    wrapped = keras.layers.SpectralNormalization(layer, power_iterations=200)
    images = np.zeros((1, 8, 8, 16), np.float32)
    wrapped(images)
    layer.kernel.assign(values)
    wrapped(images, training=True)
    expected = layer.kernel.numpy()
    np.testing.assert_allclose(projections.spectral_norm(values, 1.0), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (projections.MaxNorm(2.0), lambda: keras.constraints.MaxNorm(2.0)),
        (projections.MinMaxNorm(0.5, 2.0), lambda: keras.constraints.MinMaxNorm(0.5, 2.0)),
        (projections.UnitNorm(), keras.constraints.UnitNorm),
    ],
    ids=["max_norm", "min_max_norm", "unit_norm"],
)
def test_keras_changes_what_complies(ours: projections.Projection, theirs: Any) -> None:
    """On columns of norm 1, Keras changes elements and keeps changing them; the projection changes none."""
    values = projections.unit_norm(kernel(0))
    once = applied(theirs(), values)
    assert (once != values).mean() > 0.1
    assert (applied(theirs(), once) != once).any()
    assert ours.project(values) is values


def test_keras_leaves_columns_above_the_bound() -> None:
    """Measured in float64, some columns that Keras projected are above the bound, and none of ours."""
    values = kernel(0) * 100
    theirs = applied(keras.constraints.MaxNorm(2.0), values).astype(np.float64)
    ours = projections.max_norm(values, 2.0).astype(np.float64)
    assert (np.linalg.norm(theirs, axis=0) > 2).any()
    assert not (np.linalg.norm(ours, axis=0) > 2).any()
