"""Models that Keras 3 quantizes, in every way that it has."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.zoo.models import Build, registered_in

QUANTIZED: dict[str, Build] = {}
"""The models, by name."""


def _quantized(mode: str) -> Build:
    def build(keras: Any) -> Any:
        layers = keras.layers
        words = keras.Input((6,), dtype="int32")
        x = layers.Embedding(11, 8)(words)
        x = layers.EinsumDense("abc,cd->abd", output_shape=(None, 8), bias_axes="d")(x)
        x = layers.MultiHeadAttention(2, 4)(x, x)
        model = keras.Model(words, layers.Dense(4, use_bias=False)(layers.Dense(8)(x)))
        model.quantize(mode)
        return model

    return build


for _mode in ("int8", "int4", "float8"):
    QUANTIZED[f"quantized_{_mode}"] = _quantized(_mode)


def _untied(keras: Any) -> Any:
    layers = keras.layers
    words = keras.Input((6,), dtype="int32")
    embedding = layers.ReversibleEmbedding(11, 8, tie_weights=False)
    x = layers.Embedding(11, 7)(words)
    x = layers.EinsumDense("abc,cde->abde", output_shape=(None, 3, 5), bias_axes="de")(x)
    x = layers.EinsumDense("abde,def->abf", output_shape=(None, 8))(x)
    return keras.Model(words, embedding(layers.Add()([x, embedding(words)]), reverse=True))


@registered_in(QUANTIZED)
def quantized_untied(keras: Any) -> Any:
    """An embedding with an output matrix of its own, and two kernels of three axes, in int8."""
    model = _untied(keras)
    model.quantize("int8")
    return model


@registered_in(QUANTIZED)
def quantized_groups(keras: Any) -> Any:
    """The same in int4, in groups of three."""
    return _in_blocks(keras, 3)


@registered_in(QUANTIZED)
def quantized_channels(keras: Any) -> Any:
    """The same in int4, with one scale per channel."""
    return _in_blocks(keras, -1)


def _in_blocks(keras: Any, size: int) -> Any:
    model = _untied(keras)
    model.quantize(config=keras.quantizers.Int4QuantizationConfig(block_size=size))
    return model


def calibrated(keras: Any, mode: str, **options: Any) -> Any:
    """Return a model that is quantized with sample data: ``gptq`` or ``awq``.

    Keras quantizes layers in blocks only; others lose their kernels when the model is saved.
    """
    layers = keras.layers
    words, inside = keras.Input((6,), dtype="int32"), keras.Input((6, 8))
    embedding = layers.Embedding(11, 8)
    x = layers.Dense(9)(inside)
    x = layers.EinsumDense("abc,cde->abde", output_shape=(None, 3, 5), bias_axes="de")(x)
    x = layers.EinsumDense("abde,def->abf", output_shape=(None, 16))(x)
    x = layers.MultiHeadAttention(2, 3)(x, x)
    block = keras.Model(inside, layers.Dense(8, use_bias=False)(x), name="block")
    model = keras.Model(words, block(embedding(words)))
    structure = {"pre_block_layers": [embedding], "sequential_blocks": [block]}
    # Given in the configuration instead, the layers would be saved with it, without end.
    model.get_quantization_layer_structure = lambda _: structure
    kind = {"gptq": keras.quantizers.GPTQConfig, "awq": keras.quantizers.AWQConfig}[mode]
    samples = np.arange(220).reshape(20, 11) % 11
    usual = {"dataset": samples, "tokenizer": lambda text: text, "num_samples": 4, "sequence_length": 6}
    model.quantize(mode, config=kind(**{**usual, **options}))
    return model


QUANTIZED["quantized_gptq"] = lambda keras: calibrated(keras, "gptq", group_size=4, activation_order=True)
QUANTIZED["quantized_gptq_bytes"] = lambda keras: calibrated(keras, "gptq", weight_bits=8, group_size=-1)
QUANTIZED["quantized_awq"] = lambda keras: calibrated(keras, "awq", group_size=4)
