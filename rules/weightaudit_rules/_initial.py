"""How a tensor began: the distributions, constants and matrices that the initializers of Keras give."""

from __future__ import annotations

from math import inf, nan, prod, sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

from weightaudit.identity.config import as_list
from weightaudit.tensor import Declared, Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from weightaudit.tensor import TensorInfo

_TRUNCATED = 0.87962566103423978
"""Standard deviation of a standard normal distribution cut at two standard deviations."""
_CONSTANTS = {"Zeros": 0.0, "Ones": 1.0}
_FAMILIES = {"Glorot": (1.0, "fan_avg"), "He": (2.0, "fan_in"), "Lecun": (1.0, "fan_in")}
"""Scale and mode of the relatives of VarianceScaling."""
_SCALINGS = {
    f"{family}{kind}": (scale, mode, distribution)
    for family, (scale, mode) in _FAMILIES.items()
    for kind, distribution in (("Uniform", "uniform"), ("Normal", "truncated_normal"))
}
_CUSTOMARY = {
    Role.KERNEL: Declared("GlorotUniform"),
    Role.RECURRENT_KERNEL: Declared("Orthogonal"),
    Role.EMBEDDING: Declared("RandomUniform"),
    Role.BIAS: Declared("Zeros"),
    Role.NORM_OFFSET: Declared("Zeros"),
    Role.NORM_SCALE: Declared("Ones"),
}
"""What the layers of Keras begin with unless they are told otherwise."""


class Law(NamedTuple):
    """A distribution that an initializer draws from.

    Attributes:
        center: Mean.
        std: Standard deviation.
        bound: Largest distance from the mean, Inf without one.
        spread: Standard deviation of the squared distance, relative to its mean.
        edge: Probability density of the distance at the bound, times the bound.
    """

    center: float
    std: float
    bound: float
    spread: float
    edge: float


def uniform(low: float, high: float) -> Law:
    """Return the uniform distribution: the squared distance of one on [-1, 1] has the variance 4/45."""
    half = (high - low) / 2
    return Law((low + high) / 2, half / sqrt(3), half, sqrt(4 / 45) * 3, 1.0)


def truncated(mean: float, sigma: float) -> Law:
    """Return the normal distribution that Keras draws again beyond two `sigma`.

    With phi(2) = 0.05399 and P(|x| < 2) = 0.9545 its second moment is 0.7737, its fourth 1.4162; the density
    of the distance at the bound is 2 * phi(2) / 0.9545, here times the bound.
    """
    return Law(mean, _TRUNCATED * sigma, 2 * sigma, 1.169, 0.2263)


def normal(mean: float, sigma: float) -> Law:
    """Return the normal distribution. It has no bound, so little tells a drifted one from it."""
    return Law(mean, sigma, inf, sqrt(2), 0.0)


class Start(NamedTuple):
    """How a tensor began, as far as its configuration says.

    Attributes:
        laws: Distributions that it may have been drawn from, if it was; the likeliest first.
        value: The constant that all its elements had, if they had.
        square: Sum of squares that an orthogonal matrix has, if it was one.
        name: Name of the initializer.
        is_declared: Whether the model says so; else it is what Keras does by default.
    """

    laws: tuple[Law, ...] = ()
    value: float | None = None
    square: float | None = None
    name: str = ""
    is_declared: bool = True

    @property
    def is_random(self) -> bool:
        """Whether the numbers were drawn, so that agreeing with them says something."""
        return self.value is None

    @property
    def is_sharp(self) -> bool:
        """Whether a small change shows, since the distribution has a bound."""
        return bool(self.laws) and all(law.bound < inf for law in self.laws)


def start_of(info: TensorInfo) -> Start | None:
    """Return how a tensor began: as the model declares, else as Keras does by default; None if not known."""
    initializer = info.initializer or _CUSTOMARY.get(info.role)
    if initializer is None or not initializer.builtin:
        return None
    return _start(info, initializer, is_declared=info.initializer is not None)


def declared_constant(info: TensorInfo) -> float:
    """Return the magnitude of the constant that a model declares a tensor to start at; 0 if it does not."""
    declared = info.initializer
    if declared is None or declared.name != "Constant":
        return 0.0
    start = start_of(info)
    return abs(start.value or 0.0) if start is not None else 0.0


def initial_rms(info: TensorInfo) -> float:
    """Return the root mean square that a tensor begins with; 0 if it is not known.

    Where what the model declares is no class of Keras, or its arguments make no sense, it is that of
    Keras' default for the role.

    Args:
        info: A tensor that begins with random values.
    """
    start = start_of(info)
    if start is None and info.role in _CUSTOMARY:
        start = _start(info, _CUSTOMARY[info.role], is_declared=False)
    if start is None or start.value is not None or not info.size:
        return 0.0
    if start.square is not None:
        return sqrt(start.square / info.size)
    return sqrt(start.laws[0].center ** 2 + start.laws[0].std ** 2)


def _start(info: TensorInfo, initializer: Declared, *, is_declared: bool) -> Start | None:
    name, config = initializer.name, initializer.config
    if name in _CONSTANTS:
        return Start(value=_CONSTANTS[name], name=name, is_declared=is_declared)
    if name == "Constant":
        value = _number(config, "value", 0.0)
        return Start(value=value, name=name) if value == value else None  # noqa: PLR0124 - NaN
    if name in {"Orthogonal", "OrthogonalInitializer"}:
        square = _number(config, "gain", 1.0) ** 2
        if len(info.shape) < 2 or not 0 < square < inf:
            return None
        square *= min(prod(info.shape[:-1]), info.shape[-1])
        return Start(square=square, name=name, is_declared=is_declared)
    laws = tuple(_laws(info, name, config))
    return Start(laws=laws, name=name, is_declared=is_declared) if laws else None


def _laws(info: TensorInfo, name: str, config: Mapping[str, Any]) -> Iterator[Law]:
    if name == "RandomUniform":
        low, high = _number(config, "minval", -0.05), _number(config, "maxval", 0.05)
        if low < high:
            yield uniform(low, high)
    elif name in {"RandomNormal", "TruncatedNormal"}:
        mean, sigma = _number(config, "mean", 0.0), _number(config, "stddev", 0.05)
        if sigma > 0 and abs(mean) < inf:
            yield (normal if name == "RandomNormal" else truncated)(mean, sigma)
    else:
        scale, mode, distribution = _scaling(name, config)
        for fan_in, fan_out in _fans(info, config):
            fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}.get(mode, 0)
            if fan > 0 and scale > 0:
                yield from _scaled(distribution, sqrt(scale / fan))


def _scaled(distribution: str, std: float) -> Iterator[Law]:
    if distribution == "uniform":
        yield uniform(-sqrt(3) * std, sqrt(3) * std)
    elif distribution == "untruncated_normal":
        yield normal(0.0, std)
    elif distribution in {"normal", "truncated_normal"}:
        yield truncated(0.0, std / _TRUNCATED)
        if distribution == "normal":
            # Keras before 2.2 did not make up for what the truncation takes away.
            yield truncated(0.0, std)


def _scaling(name: str, config: Mapping[str, Any]) -> tuple[float, str, str]:
    """Return scale, mode and distribution of Keras' family of variance scaling initializers."""
    if name == "VarianceScaling":
        mode, distribution = config.get("mode", "fan_in"), config.get("distribution", "truncated_normal")
        return _number(config, "scale", 1.0), str(mode), str(distribution)
    return _SCALINGS.get(name, (0.0, "", ""))


def _fans(info: TensorInfo, config: Mapping[str, Any]) -> Iterable[tuple[int, int]]:
    """Return the fans that Keras may have computed (`keras.initializers.compute_fans`), each once.

    Before 3.15 it took every kernel for a convolution's; since then the config of an EinsumDense tells its
    axes, but not that of an attention layer around it. Keras 1 could store kernels with the outputs first.
    """
    shape, rank = info.shape, len(info.shape)
    if not rank:
        return ()
    found: list[tuple[int, int]] = []
    axes = _axes(config, "input_axes", rank), _axes(config, "output_axes", rank)
    if all(axes):
        found.append((prod(shape[axis] for axis in axes[0]), prod(shape[axis] for axis in axes[1])))
    field, inputs, outputs = prod(shape[:-2]), shape[max(rank - 2, 0)], shape[rank - 1]
    found.append((field * inputs, field * outputs))
    if info.fan_in and info.fan_out:
        found.append((info.fan_in, info.fan_out))
    return dict.fromkeys(found)


def _axes(config: Mapping[str, Any], key: str, rank: int) -> list[int]:
    """Return axes that a config lists; nothing if a tensor of this rank does not have them all."""
    axes: object = config.get(key)
    listed = [axis for axis in as_list(axes) if isinstance(axis, int) and 0 <= axis < rank]
    return listed if len(listed) == len(as_list(axes)) else []


def _number(config: Mapping[str, Any], key: str, default: float) -> float:
    """Return an argument of an initializer; NaN, which agrees with nothing, if it is no usable number."""
    value = config.get(key, default)
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e150
    return float(value) if is_number else nan
