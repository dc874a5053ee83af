"""Faults of whole layers: scaled, emptied, set back, or in the wrong place."""

from __future__ import annotations

from math import prod, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.detection.harm import Harm, pick
from weightaudit.tensor import Role

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.random import Generator
    from numpy.typing import NDArray

    from benchmarks.detection.weights import Weights
    from weightaudit.tensor import TensorInfo

_TRUNCATED = 0.87962566103423978
"""Standard deviation of a standard normal distribution that is cut off at 2."""

_VARIANCE_SCALING = {
    "Glorot": (1.0, "fan_avg"),
    "He": (2.0, "fan_in"),
    "Lecun": (1.0, "fan_in"),
}
"""Scale and mode of the shorthands, by the beginning of their name."""


def scale(weights: Weights, random: Generator, *, factor: float) -> Harm | None:
    """Multiply a kernel by a factor."""
    name = pick(random, [one for one in weights.kernels() if weights.arrays[one].any()])
    if name is None:
        return None
    array = weights.arrays[name]
    with np.errstate(over="ignore", under="ignore"):
        return Harm({name: (array * array.dtype.type(factor)).astype(array.dtype)})


def zero_channels(weights: Weights, random: Generator, *, share: float) -> Harm | None:
    """Set output channels of a kernel to zero: that share of them, at least one, chosen at random."""

    def empty(channels: NDArray[Any]) -> None:
        count = max(1, int(share * len(channels)))
        channels[random.choice(len(channels), count, replace=False)] = 0

    return _with_channels(weights, random, empty)


def repeat_channels(weights: Weights, random: Generator, *, share: float) -> Harm | None:
    """Store output channels of a kernel again in the place of others: that share of them, at least one."""

    def repeat(channels: NDArray[Any]) -> None:
        count = max(1, int(share * len(channels)))
        chosen = random.choice(len(channels), 2 * count, replace=False)
        channels[chosen[:count]] = channels[chosen[count:]]

    return _with_channels(weights, random, repeat)


def _with_channels(
    weights: Weights, random: Generator, change: Callable[[NDArray[Any]], None]
) -> Harm | None:
    """Change output channels of some kernel, which are handed over along the first axis."""
    known = [
        one
        for one in weights.named(Role.KERNEL, least=64)
        if _channel_axis(weights.infos[one]) is not None and weights.arrays[one].any()
    ]
    name = pick(random, [one for one in known if _channels(weights, one) >= 4])
    if name is None:
        return None
    axis = _channel_axis(weights.infos[name]) or 0
    array = np.moveaxis(weights.arrays[name].copy(), axis, 0)
    change(array)
    return Harm({name: np.ascontiguousarray(np.moveaxis(array, 0, axis))})


def _channel_axis(info: TensorInfo) -> int | None:
    return info.output_axes[0] if len(info.output_axes) == 1 else None


def _channels(weights: Weights, name: str) -> int:
    axis = _channel_axis(weights.infos[name])
    return 0 if axis is None else weights.arrays[name].shape[axis]


def reinitialise(weights: Weights, random: Generator) -> Harm | None:
    """Give a kernel and the biases of its layer what their initializers would give them."""
    name = pick(random, _trained(weights))
    if name is None:
        return None
    changes = {name: initial(weights.infos[name], weights.arrays[name], random)}
    for other in weights.siblings(name):
        array = weights.arrays[other]
        if weights.infos[other].role is Role.BIAS and array.any():
            changes[other] = np.zeros_like(array)
    return Harm(changes, _declaration(weights.infos[name]))


def reinitialise_kernel(weights: Weights, random: Generator) -> Harm | None:
    """Give a kernel what its initializer would give it, and leave the biases of its layer as they are."""
    name = pick(random, [one for one in _trained(weights) if weights.siblings(one)])
    if name is None:
        return None
    info = weights.infos[name]
    return Harm({name: initial(info, weights.arrays[name], random)}, _declaration(info))


def _trained(weights: Weights) -> list[str]:
    return [one for one in weights.kernels(least=128) if weights.infos[one].trainable is not False]


def _declaration(info: TensorInfo) -> str:
    return f"initializer {info.initializer.name}" if info.initializer else "no initializer declared"


def initial(info: TensorInfo, array: NDArray[Any], random: Generator) -> NDArray[Any]:
    """Return what the declared initializer of a tensor would make; without one, Keras' default.

    Formulas are those of `keras.initializers`, fans those of its `compute_fans`.
    """
    declared = info.initializer
    name = declared.name if declared else _usual(info)
    config: Mapping[str, Any] = declared.config if declared else {}
    fan_in, fan_out = compute_fans(array.shape)
    if name.startswith("Orthogonal"):
        values = orthogonal(array.shape, random) * float(config.get("gain", 1.0))
    elif name == "RandomUniform":
        values = random.uniform(config.get("minval", -0.05), config.get("maxval", 0.05), array.shape)
    elif name in {"RandomNormal", "TruncatedNormal"}:
        values = random.normal(config.get("mean", 0.0), config.get("stddev", 0.05), array.shape)
    else:
        size, mode = next(
            (one for start, one in _VARIANCE_SCALING.items() if name.startswith(start)),
            (float(config.get("scale", 1.0)), str(config.get("mode", "fan_avg"))),
        )
        fan = {"fan_in": fan_in, "fan_out": fan_out}.get(mode, (fan_in + fan_out) / 2)
        is_uniform = name.endswith("Uniform") or config.get("distribution") == "uniform"
        values = _spread(size / max(1.0, fan), array.shape, random, is_uniform=is_uniform)
    return np.asarray(values).astype(array.dtype)


def _usual(info: TensorInfo) -> str:
    usual = {Role.EMBEDDING: "RandomUniform", Role.RECURRENT_KERNEL: "Orthogonal"}
    return usual.get(info.role, "GlorotUniform")


def _spread(variance: float, shape: tuple[int, ...], random: Generator, *, is_uniform: bool) -> NDArray[Any]:
    """Return numbers of mean 0 and that variance: uniform, or normal and cut off at two deviations."""
    if is_uniform:
        return random.uniform(-sqrt(3 * variance), sqrt(3 * variance), shape)
    values = random.normal(size=shape)
    while (outside := np.abs(values) > 2).any():
        values[outside] = random.normal(size=int(outside.sum()))
    return values * (sqrt(variance) / _TRUNCATED)


def orthogonal(shape: tuple[int, ...], random: Generator) -> NDArray[Any]:
    """Return a tensor whose rows, or columns, are orthonormal once it is made a matrix."""
    rows, columns = prod(shape[:-1]), shape[-1]
    matrix = random.normal(size=(max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(matrix)
    q = q * np.sign(np.diag(r))
    return (q.T if rows < columns else q).reshape(shape)


def compute_fans(shape: tuple[int, ...]) -> tuple[float, float]:
    """Return fan-in and fan-out as `keras.initializers.compute_fans` does.

    A receptive field times the last two axes; a vector counts as both.
    """
    if len(shape) < 2:
        return float(prod(shape)), float(prod(shape))
    field = prod(shape[:-2])
    return float(field * shape[-2]), float(field * shape[-1])


def stale(weights: Weights, random: Generator) -> Harm | None:
    """Give all tensors of a layer the numbers that they had earlier in the training."""
    moved = [
        one
        for one in weights.kernels()
        if one in weights.early and weights.early[one].shape == weights.arrays[one].shape
    ]
    name = pick(random, moved)
    if name is None:
        return None
    changes = {
        one: weights.early[one].astype(weights.arrays[one].dtype)
        for one in (name, *weights.siblings(name))
        if one in weights.early and not np.array_equal(weights.early[one], weights.arrays[one])
    }
    return Harm(changes) if changes else None


def swap(weights: Weights, random: Generator) -> Harm | None:
    """Put two kernels of one shape into each other's place."""
    pairs = weights.pairs()
    if not pairs:
        return None
    one, other = pairs[int(random.integers(len(pairs)))]
    return Harm({one: weights.arrays[other], other: weights.arrays[one]})


def duplicate(weights: Weights, random: Generator) -> Harm | None:
    """Store a kernel in the place of another one of its shape, too."""
    pairs = weights.pairs()
    if not pairs:
        return None
    one, other = pairs[int(random.integers(len(pairs)))]
    return Harm({other: weights.arrays[one]}, f"a copy of {one}")


def transpose(weights: Weights, random: Generator) -> Harm | None:
    """Exchange the axes of a square kernel."""
    square = [
        one
        for one in weights.kernels()
        if weights.arrays[one].ndim == 2 and len(set(weights.arrays[one].shape)) == 1
    ]
    name = pick(random, square)
    return None if name is None else Harm({name: np.ascontiguousarray(weights.arrays[name].T)})
