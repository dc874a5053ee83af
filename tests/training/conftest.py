"""A small model that trains in no time, and ways to break it while it does."""

from __future__ import annotations

import os
import warnings
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

Step = Literal["eager", "graph", "jit"]
"""How Keras runs a training step."""

BATCHES = 2
"""Batches of one epoch."""


@dataclass(frozen=True)
class Lab:
    """Keras, a directory for checkpoints, and everything for a short training."""

    keras: Any
    folder: Path

    def model(self, rate: float = 0.01, constraint: Any = None, step: Step = "eager", **options: Any) -> Any:
        """Return a compiled model of two layers, `first` and `second`; an eager step is the fastest here."""
        dense = self.keras.layers.Dense
        hidden = dense(12, activation="relu", name="first", kernel_constraint=constraint)
        model = self.keras.Sequential([self.keras.Input((8,)), hidden, dense(1, name="second")], name="net")
        optimizer = self.keras.optimizers.SGD(rate, momentum=0.9)
        loss = self.keras.losses.MeanSquaredError()
        model.compile(optimizer, loss, run_eagerly=step == "eager", jit_compile=step == "jit", **options)
        return model

    def guard(self, file: str = "m.keras", **options: Any) -> Any:
        """Return an `AuditCheckpoint` for a file in the directory."""
        from weightaudit.keras import AuditCheckpoint

        return AuditCheckpoint(self.folder / file, **options)

    def fit(self, model: Any, *callbacks: Any, epochs: int = 3, **options: Any) -> dict[str, list[float]]:
        """Train, and return the history."""
        numbers = np.random.default_rng(5).normal(0, 1, (16 * BATCHES, 8)).astype(np.float32)
        with self.quiet():
            done = model.fit(
                numbers,
                numbers.sum(1, keepdims=True),
                batch_size=16,
                epochs=epochs,
                shuffle=False,
                callbacks=list(callbacks),
                **{"verbose": 0, **options},
            )
        history: dict[str, list[float]] = done.history
        return history

    @contextmanager
    def quiet(self) -> Generator[None]:
        """Be silent about Keras, which saves with NumPy's old protocol."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
            yield

    def after_epoch(self, action: Any) -> Any:
        """Return a callback that does something at the end of every epoch."""
        return self.keras.callbacks.LambdaCallback(on_epoch_end=action)

    def poison(self, *epochs: int) -> Any:
        """Return a callback that puts NaN into `first` at the end of some epochs, and takes it out again."""
        healthy: list[Any] = []

        def spoil(epoch: int, _logs: Any) -> None:
            if epoch in epochs:
                kernel = callback.model.get_layer("first").kernel
                healthy.append(kernel.numpy())
                kernel.assign(np.where(np.arange(12) == 7, np.nan, healthy[-1]))

        def heal(_epoch: int, _logs: Any) -> None:
            if healthy:
                callback.model.get_layer("first").kernel.assign(healthy.pop())

        callback = self.keras.callbacks.LambdaCallback(on_epoch_end=spoil, on_epoch_begin=heal)
        return callback

    def scores(self, *values: float) -> Any:
        """Return a callback that reports a metric `score` with these values, an epoch each."""
        return self.after_epoch(lambda epoch, logs: logs.update(score=values[epoch]))

    def bytes_of(self, path: Path) -> tuple[Any, list[bytes]]:
        """Return a callback that notes a file's content after every epoch, and the notes."""
        notes: list[bytes] = []
        return self.after_epoch(lambda *_: notes.append(path.read_bytes())), notes

    def norms(self) -> tuple[Any, list[float]]:
        """Return a callback that notes the largest norm in `first` after every batch, and the notes."""
        notes: list[float] = []

        def note(_batch: int, logs: Any) -> None:  # noqa: ARG001 - Keras gives it by name
            notes.append(largest_norm(callback.model))

        callback = self.keras.callbacks.LambdaCallback(on_train_batch_end=note)
        return callback, notes

    def policy(self, severity: str = "error", limit: float = 1e-3) -> Path:
        """Write a policy that bounds the norms in `first`, by default so that no model complies."""
        path = self.folder / "weightaudit.toml"
        path.write_text(
            f"""select = ["WA301"]
[rules.WA301]
max = {limit}
axis = 0
tensors = ["*first/kernel"]
severity = "{severity}"
"""
        )
        return path

    @property
    def names(self) -> list[str]:
        """What is in the directory, sorted."""
        return sorted(item.name for item in self.folder.iterdir())


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A lab with an empty directory and a seed."""
    keras = pytest.importorskip("keras")
    pytest.importorskip("tensorflow")
    keras.utils.set_random_seed(3)
    yield Lab(keras, tmp_path)
    keras.config.set_dtype_policy("float32")


def largest_norm(model: Any) -> float:
    """Return the largest Euclidean norm of the columns of `first`, in float64."""
    kernel = np.asarray(model.get_layer("first").kernel.numpy(), np.float64)
    return float(np.linalg.norm(kernel, axis=0).max())


def messages(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    """Return what weightaudit logged at a level."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "weightaudit" and record.levelno == level
    ]
