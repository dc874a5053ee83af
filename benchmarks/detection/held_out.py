"""Other networks for other tasks, trained in other ways: on these no bound was chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.detection.networks import CLASSES, Network, load_keras

if TYPE_CHECKING:
    from numpy.random import Generator

    from benchmarks.detection.networks import Data

SIDE = 16
"""Rows and columns of images."""

LENGTH = 24
"""Steps of a sequence."""

SYMBOLS = 40
"""Size of the vocabulary of the tasks on sequences."""

ARCHITECTURES = ("MobileNet", "EfficientNetV2B0", "NASNetMobile")
"""Those of `keras.applications` that are saved with fresh weights."""


def held_out_networks() -> dict[str, Network]:
    """Return all networks by name."""
    k = load_keras().optimizers
    return {
        "unet": Network(_unet, _masks, lambda: k.Nadam(2e-3), "binary_crossentropy", ("keras", "h5")),
        "inverted": Network(
            _inverted, _counts, lambda: k.SGD(0.2, momentum=0.9, weight_decay=1e-3), formats=("keras", "h5")
        ),
        "residual": Network(_residual, _counts, lambda: k.SGD(0.3, momentum=0.9, nesterov=True)),
        "pruned-residual": Network(_residual, _counts, lambda: k.Adam(5e-3), masked=0.9),
        "seq2seq": Network(
            _seq2seq, _reversed, lambda: k.Adam(5e-3, clipnorm=1), formats=("keras", "weights")
        ),
        "mixer": Network(
            _mixer, _patches, lambda: k.AdamW(3e-3, weight_decay=0.1), formats=("keras", "checkpoint")
        ),
        "vit": Network(_vit, _placed_patches, lambda: k.AdamW(1e-3, weight_decay=0.05), quantized=True),
        "tabular": Network(_tabular, _columns, lambda: k.RMSprop(5e-3), "mse", ("keras", "saved-model")),
        "vae": Network(_vae, _discs, lambda: k.Adam(1e-3), "mse", ("keras", "saved-model")),
        "waves": Network(_waves, _tones, lambda: k.Adamax(5e-3), formats=("keras", "h5")),
        "dilated": Network(_dilated, _tones, lambda: k.Lion(3e-4, weight_decay=0.1)),
        "deep": Network(_deep, _columns, lambda: k.Adam(1e-2), "mse", ("keras", "checkpoint")),
        "pruned-mixer": Network(_mixer, _patches, lambda: k.Adam(3e-3), masked=0.5),
    }


def _unet() -> Any:
    keras = load_keras()
    layers = keras.layers
    inputs = x = keras.Input((SIDE, SIDE, 1))
    skipped: list[Any] = []
    for filters in (12, 24):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        skipped.append(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Conv2D(48, 3, padding="same", activation="relu")(x)
    for filters in (24, 12):
        x = layers.Conv2DTranspose(filters, 2, strides=2, padding="same")(x)
        x = layers.Concatenate()([x, skipped.pop()])
        x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
    return keras.Model(inputs, layers.Conv2D(1, 1, activation="sigmoid")(x))


def _inverted() -> Any:
    keras = load_keras()
    layers = keras.layers
    inputs = keras.Input((SIDE, SIDE, 3))
    x = layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False)(inputs)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    for filters, strides in ((16, 1), (24, 2), (24, 1)):
        y = layers.Conv2D(4 * x.shape[-1], 1, use_bias=False)(x)
        y = layers.ReLU(6.0)(layers.BatchNormalization()(y))
        y = layers.DepthwiseConv2D(3, strides, padding="same", use_bias=False)(y)
        y = layers.ReLU(6.0)(layers.BatchNormalization()(y))
        y = layers.BatchNormalization()(layers.Conv2D(filters, 1, use_bias=False)(y))
        x = layers.Add()([x, y]) if x.shape == y.shape else y
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(CLASSES, activation="softmax")(x))


def _residual() -> Any:
    keras = load_keras()
    layers = keras.layers
    decay = keras.regularizers.L2(1e-3)
    inputs = keras.Input((SIDE, SIDE, 3))
    x = layers.Conv2D(24, 3, padding="same", kernel_regularizer=decay)(inputs)
    for strides in (1, 2, 2):
        y = layers.ReLU()(layers.BatchNormalization()(x))
        y = layers.Conv2D(24, 3, strides, padding="same", use_bias=False, kernel_regularizer=decay)(y)
        y = layers.ReLU()(layers.BatchNormalization()(y))
        y = layers.Conv2D(24, 3, padding="same", use_bias=False, kernel_regularizer=decay)(y)
        x = layers.Add()([layers.AveragePooling2D(strides)(x) if strides > 1 else x, y])
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
    return keras.Model(inputs, layers.Dense(CLASSES, activation="softmax")(x))


def _seq2seq() -> Any:
    keras = load_keras()
    layers = keras.layers
    bounded = keras.constraints.MaxNorm(3.0)
    inputs = keras.Input((LENGTH,), dtype="int32")
    x = layers.Embedding(SYMBOLS, 24)(inputs)
    sequence, state = layers.GRU(48, return_sequences=True, return_state=True)(x)
    asked = layers.Embedding(SYMBOLS, 24)(inputs)
    y = layers.GRU(48, return_sequences=True, recurrent_constraint=bounded)(asked, initial_state=state)
    y = layers.Concatenate()([y, layers.Attention()([y, sequence])])
    return keras.Model(inputs, layers.Dense(SYMBOLS, activation="softmax")(y))


def _mixer() -> Any:
    keras = load_keras()
    layers = keras.layers
    inputs = keras.Input((16, 48))
    x = layers.Dense(32)(inputs)
    for _ in range(3):
        y = layers.Permute((2, 1))(layers.LayerNormalization()(x))
        y = layers.Dense(16)(layers.Dense(32, activation="gelu")(y))
        x = layers.Add()([x, layers.Permute((2, 1))(y)])
        y = layers.Dense(64, activation="gelu")(layers.LayerNormalization()(x))
        x = layers.Add()([x, layers.Dense(32)(y)])
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(x))
    return keras.Model(inputs, layers.Dense(CLASSES, activation="softmax")(x))


def _vit() -> Any:
    keras = load_keras()
    layers = keras.layers
    patches, places = keras.Input((16, 48)), keras.Input((16,), dtype="int32")
    x = layers.Add()([layers.Dense(32)(patches), layers.Embedding(16, 32)(places)])
    for _ in range(3):
        y = layers.LayerNormalization()(x)
        x = layers.Add()([x, layers.MultiHeadAttention(2, 16)(y, y)])
        y = layers.Dense(96, activation="gelu")(layers.LayerNormalization()(x))
        x = layers.Add()([x, layers.Dense(32)(y)])
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(x))
    return keras.Model([patches, places], layers.Dense(CLASSES, activation="softmax")(x))


def _tabular() -> Any:
    keras = load_keras()
    layers = keras.layers
    inputs = keras.Input((20,))
    x = layers.BatchNormalization()(inputs)
    for units in (96, 48):
        x = layers.Dense(units, use_bias=False)(x)
        x = layers.Dropout(0.2)(layers.Activation("swish")(layers.BatchNormalization()(x)))
    return keras.Model(inputs, layers.Dense(1)(x))


def _vae() -> Any:
    keras = load_keras()
    layers = keras.layers

    def sample(parts: Any) -> Any:
        mean, spread = parts
        return mean + keras.ops.exp(spread / 2) * keras.random.normal(keras.ops.shape(mean))

    inputs = keras.Input((SIDE, SIDE, 1))
    x = layers.Dense(96, activation="relu")(layers.Flatten()(inputs))
    mean = layers.Dense(6, activity_regularizer=keras.regularizers.L2(1e-3))(x)
    spread = layers.Dense(6, kernel_initializer="zeros")(x)
    x = layers.Dense(96, activation="relu")(layers.Lambda(sample, output_shape=(6,))([mean, spread]))
    x = layers.Dense(SIDE * SIDE, activation="sigmoid")(x)
    return keras.Model(inputs, layers.Reshape((SIDE, SIDE, 1))(x))


def _waves() -> Any:
    keras = load_keras()
    layers = keras.layers
    inputs = keras.Input((64, 2))
    x = layers.Conv1D(24, 5, strides=2, activation="relu")(inputs)
    x = layers.Bidirectional(layers.LSTM(20, return_sequences=True))(x)
    x = layers.LSTM(32)(layers.LayerNormalization()(x))
    return keras.Model(inputs, layers.Dense(CLASSES, activation="softmax")(x))


def _dilated() -> Any:
    keras = load_keras()
    layers = keras.layers
    inputs = keras.Input((64, 2))
    x = layers.Conv1D(24, 1)(inputs)
    for rate in (1, 2, 4, 8):
        y = layers.Conv1D(24, 3, padding="causal", dilation_rate=rate)(layers.GroupNormalization(4)(x))
        x = layers.Add()([x, layers.Activation("silu")(y)])
    x = layers.GlobalMaxPooling1D()(x)
    return keras.Model(inputs, layers.Dense(CLASSES, activation="softmax")(x))


def _deep() -> Any:
    keras = load_keras()
    layers = keras.layers
    start = keras.initializers.RandomNormal(stddev=0.2)
    normal = [layers.Dense(40, activation="selu", kernel_initializer="lecun_normal") for _ in range(5)]
    first = layers.Dense(40, activation="tanh", kernel_initializer=start)
    return keras.Sequential(
        [keras.Input((20,)), layers.BatchNormalization(), first, *normal, layers.Dense(1)]
    )


def _discs(random: Generator, count: int) -> Data:
    """Images of one disc each, which are to be reproduced."""
    images = _disc(random, count)
    return images, images


def _disc(random: Generator, count: int) -> Any:
    rows, columns = np.mgrid[:SIDE, :SIDE]
    top, left = random.uniform(3, SIDE - 3, (2, count, 1, 1))
    radius = random.uniform(1.5, 4, (count, 1, 1))
    inside = (rows - top) ** 2 + (columns - left) ** 2 < radius**2
    return inside[..., None].astype(np.float32)


def _masks(random: Generator, count: int) -> Data:
    """Discs under noise, and where they are."""
    masks = _disc(random, count)
    noise = random.normal(0, 0.7, (count, SIDE, SIDE, 1))
    return (masks + noise).astype(np.float32), masks


def _counts(random: Generator, count: int) -> Data:
    """Images of one to four discs, and how many they are."""
    labels = random.integers(CLASSES, size=count)
    images = np.zeros((count, SIDE, SIDE, 3), np.float32)
    for number in range(CLASSES):
        colours = random.uniform(0.3, 1, (count, 1, 1, 3)) * (labels >= number)[:, None, None, None]
        images += (_disc(random, count) * colours).astype(np.float32)
    return images + random.normal(0, 0.3, images.shape).astype(np.float32), labels


def _patches(random: Generator, count: int) -> Data:
    """The same, cut into sixteen patches."""
    images, labels = _counts(random, count)
    cut = images.reshape(count, 4, 4, 4, 4, 3).transpose(0, 1, 3, 2, 4, 5)
    return cut.reshape(count, 16, 48), labels


def _placed_patches(random: Generator, count: int) -> Data:
    """The same, with the place of each patch."""
    patches, labels = _patches(random, count)
    places = np.broadcast_to(np.arange(16, dtype=np.int32), (count, 16))
    return [patches, places], labels


def _reversed(random: Generator, count: int) -> Data:
    """Sequences, of which few symbols are common, to be told backwards."""
    shares = 1 / np.arange(1, SYMBOLS + 1)
    words = random.choice(SYMBOLS, (count, LENGTH), p=shares / shares.sum()).astype(np.int32)
    return words, words[:, ::-1]


def _columns(random: Generator, count: int) -> Data:
    """Columns of very different units, some of them heavy-tailed, and a number that depends on some."""
    hidden = random.standard_t(4, (count, 20))
    target = np.tanh(hidden[:, 0]) + hidden[:, 1] * (hidden[:, 2] > 0) + 0.3 * hidden[:, 3] ** 2
    units = 10.0 ** np.random.default_rng(0).uniform(-2, 2, 20)
    return (hidden * units + 3 * units).astype(np.float32), target.astype(np.float32)


def _tones(random: Generator, count: int) -> Data:
    """Two channels of tones under noise; the class is which of four pitches they share."""
    labels = random.integers(CLASSES, size=count)
    pitch = (0.2 * 1.5**labels)[:, None, None] * random.uniform(0.95, 1.05, (count, 1, 1))
    phase = random.uniform(0, 6, (count, 1, 2))
    tones = np.sin(pitch * np.arange(64)[:, None] + phase)
    return (tones + random.normal(0, 1, (count, 64, 2))).astype(np.float32), labels
