"""Frameworks load what `repair_model` wrote, and compute with it what the projection promises."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from weightaudit import Request, Selector, UsageError, repair_model
from weightaudit.projections import MaxNorm, NonNeg, max_norm

STEM = Request((MaxNorm(0.4, axis=(0, 1, 2)),), Selector(tensors=("stem/kernel",)))


@pytest.mark.parametrize("name", ["healthy.keras", "deflated.keras", "legacy.h5", "gzip.h5"])
def test_keras_computes_with_the_mended_model(fixtures_dir: Path, tmp_path: Path, name: str) -> None:
    """A model repaired in place gives what the original gives with the same projection in memory."""
    keras: Any = pytest.importorskip("keras")
    path = tmp_path / name
    shutil.copy(fixtures_dir / name, path)
    repair_model(path, requests=[STEM], in_place=True, max_change=1)
    original = keras.models.load_model(fixtures_dir / name, compile=False)
    kernel = original.get_layer("stem").kernel
    kernel.assign(max_norm(kernel.numpy(), 0.4, axis=(0, 1, 2)))
    mended = keras.models.load_model(path, compile=False)
    images = np.random.default_rng(0).standard_normal((2, *original.input_shape[1:])).astype(np.float32)
    np.testing.assert_array_equal(mended.predict(images, verbose=0), original.predict(images, verbose=0))


def test_tensorflow_restores_the_mended_checkpoint(tmp_path: Path) -> None:
    """A checkpoint repaired in place is restored into a module, which computes with the mended kernel."""
    tf: Any = pytest.importorskip("tensorflow")
    root = tf.Module()
    root.kernel = tf.Variable(np.array([[1, -2], [-3, 4]], np.float32), name="kernel")
    root.bias = tf.Variable(np.array([-1, 1], np.float32), name="bias")
    path = tf.train.Checkpoint(root=root).save(str(tmp_path / "ckpt"))
    repair_model(
        path, requests=[Request((NonNeg(),), Selector(tensors=("*kernel",)))], in_place=True, max_change=1
    )
    fresh = tf.Module()
    fresh.kernel, fresh.bias = tf.Variable(tf.zeros((2, 2))), tf.Variable(tf.zeros(2))
    tf.train.Checkpoint(root=fresh).restore(path).assert_existing_objects_matched()
    product = tf.linalg.matvec(fresh.kernel, tf.constant([1.0, 1.0])) + fresh.bias
    assert product.numpy().tolist() == [0.0, 5.0]


def test_tensorflow_computes_with_the_mended_saved_model(tmp_path: Path) -> None:
    """A SavedModel repaired in place is loaded, and its function uses the mended variable."""
    tf: Any = pytest.importorskip("tensorflow")
    root = tf.Module()
    root.kernel = tf.Variable(np.array([[1, -2], [-3, 4]], np.float32), name="kernel")
    signature = [tf.TensorSpec((2,), tf.float32)]
    root.apply = tf.function(lambda values: tf.linalg.matvec(root.kernel, values), input_signature=signature)
    path = tmp_path / "saved"
    tf.saved_model.save(root, str(path))
    repair_model(
        path, requests=[Request((NonNeg(),), Selector(tensors=("*kernel",)))], in_place=True, max_change=1
    )
    assert tf.saved_model.load(str(path)).apply(tf.constant([1.0, 1.0])).numpy().tolist() == [1.0, 4.0]


@pytest.mark.parametrize("share", [-0.1, float("nan")])
def test_a_budget_without_sense_is_refused(fixtures_dir: Path, share: float) -> None:
    """NaN, too, which no change exceeds, so that any would have been allowed."""
    with pytest.raises(UsageError, match=r"max_change must be 0 or more, not (-0\.1|nan);"):
        repair_model(fixtures_dir / "healthy.keras", requests=[STEM], max_change=share, dry_run=True)
