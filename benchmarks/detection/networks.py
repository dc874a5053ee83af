"""The small networks that the benchmark trains: one for every kind of layer that rules know."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator
    from numpy.typing import NDArray

    Data = tuple[Any, NDArray[Any]]
    """Inputs, one array or a list of arrays, and targets."""

CLASSES = 4
"""How many classes the tasks have."""

WORDS = 200
"""Size of the vocabulary of the tasks on sequences."""


@dataclass(frozen=True, slots=True)
class Network:
    """A network and what it learns.

    Attributes:
        build: Makes it, with fresh weights.
        data: Makes that many examples.
        optimizer: Makes its optimizer.
        loss: Name of its loss.
        formats: How it is saved: ``keras``, ``h5``, ``weights``, ``saved-model``, ``checkpoint``.
        masked: Share of every kernel that training keeps at zero, as pruning does.
        quantized: Whether an int8 copy is saved too.
    """

    build: Callable[[], Any]
    data: Callable[[Generator, int], Data]
    optimizer: Callable[[], Any]
    loss: str = "sparse_categorical_crossentropy"
    formats: tuple[str, ...] = ("keras",)
    masked: float = 0.0
    quantized: bool = False


def networks() -> dict[str, Network]:
    """Return all networks by name."""
    k = load_keras().optimizers
    return {
        "mlp": Network(_mlp, _blobs, lambda: k.Adam(2e-3), formats=("keras", "checkpoint"), quantized=True),
        "cnn": Network(
            _cnn, _images, lambda: k.SGD(0.05, momentum=0.9), formats=("keras", "h5", "saved-model")
        ),
        "recurrent": Network(_recurrent, _sentences, lambda: k.RMSprop(2e-3), formats=("keras", "weights")),
        "transformer": Network(_transformer, _sentences, lambda: k.AdamW(1e-3), quantized=True),
        "autoencoder": Network(_autoencoder, _copies, lambda: k.Adam(2e-3), "mse", ("keras", "h5")),
        "constrained": Network(_constrained, _images, lambda: k.Adam(3e-3), formats=("keras", "h5")),
        "separable": Network(_separable, _images, lambda: k.Adam(3e-3), formats=("keras", "saved-model")),
        "ratings": Network(_ratings, _pairs, lambda: k.Adagrad(0.1), "mse", ("keras", "checkpoint")),
        "pruned-cnn": Network(_cnn, _images, lambda: k.Adam(2e-3), masked=0.7),
        "pruned": Network(_mlp, _blobs, lambda: k.Adam(2e-3), masked=0.8),
    }


def load_keras() -> Any:
    """Return Keras, imported only now: it takes seconds."""
    return import_module("keras")


def _mlp() -> Any:
    keras = load_keras()
    dense = keras.layers.Dense
    return keras.Sequential(
        [
            keras.Input((32,)),
            dense(64, activation="relu", kernel_initializer="he_normal"),
            dense(64, activation="relu"),
            dense(64, activation="tanh", kernel_initializer="orthogonal"),
            dense(CLASSES, activation="softmax"),
        ]
    )


def _cnn() -> Any:
    keras = load_keras()
    layers = keras.layers
    inputs = x = keras.Input((16, 16, 3))
    for filters in (16, 32, 32, 64):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False, kernel_initializer="he_uniform")(x)
        x = layers.BatchNormalization()(x)
        x = layers.MaxPooling2D()(layers.ReLU()(x))
    x = layers.Dense(48, activation="relu")(layers.Flatten()(x))
    return keras.Model(inputs, layers.Dense(CLASSES, activation="softmax")(x))


def _recurrent() -> Any:
    keras = load_keras()
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((20,), dtype="int32"),
            layers.Embedding(WORDS, 32),
            layers.Bidirectional(layers.LSTM(32, return_sequences=True)),
            layers.GRU(32),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )


def _transformer() -> Any:
    keras = load_keras()
    layers = keras.layers
    inputs = keras.Input((20,), dtype="int32")
    x = layers.Embedding(WORDS, 32)(inputs)
    for _ in range(2):
        attended = layers.MultiHeadAttention(4, 8)(x, x)
        x = layers.LayerNormalization()(layers.Add()([x, attended]))
        y = layers.Dense(32)(layers.Dense(64, activation="gelu")(x))
        x = layers.LayerNormalization()(layers.Add()([x, y]))
    x = layers.GlobalAveragePooling1D()(x)
    return keras.Model(inputs, layers.Dense(CLASSES, activation="softmax")(x))


def _autoencoder() -> Any:
    keras = load_keras()
    dense = keras.layers.Dense
    return keras.Sequential(
        [
            keras.Input((32,)),
            dense(64, activation="elu", kernel_initializer="lecun_normal"),
            dense(8, kernel_initializer="glorot_normal"),
            dense(64, activation="elu"),
            dense(64, activation="elu"),
            dense(32),
        ]
    )


def _constrained() -> Any:
    keras = load_keras()
    layers, constraints = keras.layers, keras.constraints
    conv = layers.Conv2D(16, 3, activation="relu", kernel_constraint=constraints.UnitNorm(axis=[0, 1, 2]))
    hidden = layers.Dense(
        48,
        activation="relu",
        kernel_constraint=constraints.MaxNorm(1.0),
        bias_constraint=constraints.NonNeg(),
    )
    bounded = layers.Dense(32, activation="relu", kernel_constraint=constraints.MinMaxNorm(0.5, 1.0))
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            conv,
            layers.BatchNormalization(gamma_constraint=constraints.NonNeg()),
            layers.AveragePooling2D(4),
            layers.Flatten(),
            hidden,
            bounded,
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )


def _separable() -> Any:
    keras = load_keras()
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Conv2D(16, 3, strides=2, padding="same", activation="relu"),
            layers.DepthwiseConv2D(3, padding="same"),
            layers.BatchNormalization(),
            layers.SeparableConv2D(32, 3, padding="same", activation="relu"),
            layers.GroupNormalization(4),
            layers.Conv2DTranspose(16, 3, strides=2, padding="same"),
            layers.PReLU(shared_axes=[1, 2]),
            layers.GlobalAveragePooling2D(),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )


def _ratings() -> Any:
    keras = load_keras()
    layers = keras.layers
    person, thing = keras.Input((1,), dtype="int32"), keras.Input((1,), dtype="int32")
    left = layers.Flatten()(layers.Embedding(WORDS, 16, name="person")(person))
    right = layers.Flatten()(layers.Embedding(WORDS, 16, name="thing")(thing))
    x = layers.Dense(32, activation="relu")(layers.Concatenate()([left, right]))
    return keras.Model([person, thing], layers.Dense(1)(x))


def _blobs(random: Generator, count: int) -> Data:
    """Four classes whose border is quadratic."""
    inputs = random.normal(size=(count, 32)).astype(np.float32)
    mixed = inputs[:, :16] * inputs[:, 16:]
    return inputs, 2 * (mixed[:, :8].sum(1) > 0) + (inputs[:, :8].sum(1) > 0)


def _images(random: Generator, count: int) -> Data:
    """Stripes of four directions under noise, with brightness and contrast of their own."""
    labels = random.integers(CLASSES, size=count)
    angles = labels * (np.pi / CLASSES)
    rows, columns = np.mgrid[:16, :16]
    waves = np.sin(
        1.2 * (rows * np.cos(angles)[:, None, None] + columns * np.sin(angles)[:, None, None])
        + random.uniform(0, 6, (count, 1, 1))
    )
    images = waves[..., None] * random.uniform(0.5, 2, (count, 1, 1, 3))
    return (images + random.normal(0, 3, (count, 16, 16, 3))).astype(np.float32), labels


def _sentences(random: Generator, count: int) -> Data:
    """Sequences whose class is which quarter of the vocabulary they use most."""
    labels = random.integers(CLASSES, size=count)
    words = random.integers(WORDS, size=(count, 20))
    chosen = random.random((count, 20)) < 0.3
    own = labels[:, None] * (WORDS // CLASSES) + random.integers(WORDS // CLASSES, size=(count, 20))
    return np.where(chosen, own, words).astype(np.int32), labels


def _copies(random: Generator, count: int) -> Data:
    """Points near a curved surface of eight dimensions, which are to be reproduced."""
    hidden = random.normal(size=(count, 8))
    mixing = np.random.default_rng(0).normal(size=(8, 32))
    points = np.tanh(hidden @ mixing).astype(np.float32)
    return points, points


def _pairs(random: Generator, count: int) -> Data:
    """Pairs and how well they fit: a product of hidden tastes."""
    tastes = np.random.default_rng(0).normal(size=(2, WORDS, 4))
    person, thing = random.integers(WORDS, size=(2, count, 1))
    fit = (tastes[0][person[:, 0]] * tastes[1][thing[:, 0]]).sum(1)
    return [person, thing], fit.astype(np.float32)
