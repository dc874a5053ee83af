"""The network whose weights are written: layers of realistic sizes, up to a number of bytes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import cycle
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

WIDTHS = (4096, 4096, 1024, 1024, 64, 64, 64, 1024)
"""Outputs of one period of layers: float32 kernels from 16 KiB to 64 MiB, 109 MiB in all."""

CONVOLUTION = 3
"""Which layer of a period is a Conv1D; the others are Dense."""

GIANT = (1 << 18, 4096)
"""Shape of the one tensor of 4 GiB (float32) of models whose memory is measured."""

PIECE_ELEMENTS = 1 << 24
"""How much of a tensor is drawn at once, 64 MiB of float32."""

PERIODS = 4
"""How many periods a model has at least; smaller models have narrower layers instead of fewer."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer with weights.

    Attributes:
        name: Its name, which Keras would give it too: ``dense_3``.
        class_name: Its Keras class.
        config: The arguments of its class.
        shapes: Shape of every float32 weight, by name, in Keras' order.
    """

    name: str
    class_name: str
    config: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]

    @property
    def nbytes(self) -> int:
        """Bytes of its weights."""
        return sum(4 * prod(shape) for shape in self.shapes.values())


def layers_of(nbytes: int) -> tuple[Layer, ...]:
    """Return the layers of a model with at least `nbytes` bytes of weights, and at most one layer more."""
    shrink = 1
    while PERIODS * sum(layer.nbytes for layer in _period(shrink)) > nbytes and shrink < WIDTHS[0]:
        shrink *= 2
    layers: list[Layer] = []
    for layer in cycle(_period(shrink)):
        if sum(one.nbytes for one in layers) >= nbytes:
            break
        layers.append(layer)
    return tuple(_named(layers))


def with_giant(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Return the layers behind an embedding of 4 GiB, to measure memory: Keras could not run them."""
    config = {"input_dim": GIANT[0], "output_dim": GIANT[1]}
    return (Layer("embedding", "Embedding", config, {"embeddings": GIANT}), *layers)


def small_layers() -> tuple[Layer, ...]:
    """Return two Dense layers that make a `.keras` file of about 100 KB."""
    config, shapes = {"units": 104}, {"kernel": (104, 104), "bias": (104,)}
    return tuple(Layer(name, "Dense", config, shapes) for name in ("dense", "dense_1"))


def model_config(layers: Sequence[Layer]) -> str:
    """Return the configuration of the Sequential model as Keras 3 stores it, in JSON."""
    width = next(iter(layers[0].shapes.values()))[-2]
    entries = [_serialized("InputLayer", {"name": "input", "batch_shape": [None, 8, width]})]
    entries += [_serialized(layer.class_name, {"name": layer.name, **layer.config}) for layer in layers]
    config = {"name": "sequential", "layers": entries}
    return json.dumps(_serialized("Sequential", config, module="keras"))


def weights_of(layers: Sequence[Layer]) -> Iterator[tuple[Layer, str, NDArray[np.float32]]]:
    """Yield (layer, name of the weight, values) one by one: only one of them is in memory at a time."""
    generator = np.random.default_rng(0)
    for layer in layers:
        for name, shape in layer.shapes.items():
            yield layer, name, np.concatenate(list(_pieces(generator, name, shape)))


def pieces_of(layers: Sequence[Layer]) -> Iterator[tuple[Layer, str, int, NDArray[np.float32]]]:
    """Yield the values of `weights_of` as (layer, name, first row, rows), at most 64 MiB at a time."""
    generator = np.random.default_rng(0)
    for layer in layers:
        for name, shape in layer.shapes.items():
            first = 0
            for piece in _pieces(generator, name, shape):
                yield layer, name, first, piece
                first += len(piece)


def _period(shrink: int) -> list[Layer]:
    widths = [max(1, width // shrink) for width in WIDTHS]
    layers: list[Layer] = []
    for place, width in enumerate(widths):
        before = widths[place - 1]
        if place == CONVOLUTION:
            config = {"filters": width, "kernel_size": [3], "padding": "same"}
            layers.append(Layer("", "Conv1D", config, {"kernel": (3, before, width), "bias": (width,)}))
        else:
            layers.append(Layer("", "Dense", {"units": width}, {"kernel": (before, width), "bias": (width,)}))
        vectors = ("gamma", "beta", "moving_mean", "moving_variance")
        layers.append(Layer("", "BatchNormalization", {}, dict.fromkeys(vectors, (width,))))
    return layers


def _named(layers: Sequence[Layer]) -> Iterator[Layer]:
    stems = {"Dense": "dense", "Conv1D": "conv1d", "BatchNormalization": "batch_normalization"}
    counts = dict.fromkeys(stems, 0)
    for layer in layers:
        number = counts[layer.class_name]
        counts[layer.class_name] += 1
        name = f"{stems[layer.class_name]}_{number}" if number else stems[layer.class_name]
        yield Layer(name, layer.class_name, layer.config, layer.shapes)


def _serialized(class_name: str, config: dict[str, Any], module: str = "keras.layers") -> dict[str, Any]:
    return {"module": module, "class_name": class_name, "config": config, "registered_name": None}


def _pieces(
    generator: np.random.Generator, name: str, shape: tuple[int, ...]
) -> Iterator[NDArray[np.float32]]:
    rows = max(1, PIECE_ELEMENTS // prod(shape[1:]))
    for first in range(0, shape[0], rows):
        yield _values(generator, name, shape, min(rows, shape[0] - first))


def _values(
    generator: np.random.Generator, name: str, shape: tuple[int, ...], rows: int
) -> NDArray[np.float32]:
    values = generator.standard_normal((rows, *shape[1:]), dtype=np.float32)
    if name == "kernel":
        values *= np.float32(prod(shape[:-1]) ** -0.5)
    elif name == "moving_variance":
        np.exp(values, out=values)
    else:
        values *= np.float32(0.1)
        values += np.float32(name == "gamma")
    return values
