"""WA206: kernels that are not those whose outputs the batch normalization behind them has seen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf, log2, prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from weightaudit.numerals import numeral
from weightaudit.rule import Example, Finding, Measured, Rule, Severity
from weightaudit.statistics import AxisSum, Moments
from weightaudit.tensor import Role
from weightaudit_rules._feeding import Fed, Tensors, fed
from weightaudit_rules._options import require

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from weightaudit.statistics import MomentSums, Statistic
    from weightaudit.tensor import TensorInfo

_MOMENTS = Moments()
_VALUES = AxisSum(())
_MIN_CHANNELS = 16
_MIN_WITNESSES = 2
_LEAST_LEFT = 0.3
"""Share of the initial variance from which it hides what was measured."""
_ALIKE = 0.1
"""Deviation of variances, over their mean, below which they are too much alike to be measured ones."""
_HALF_PASSES = 0.5
"""Share of the mean square of a normalized signal that a rectifier lets through."""


class Fit(NamedTuple):
    """How well a kernel fits the statistics of the normalization behind it.

    Attributes:
        place: The kernel and the normalization.
        correlation: Between sums of the kernel and moving means, over the channels.
        scale: Size of the outputs that the moving variance tells over the size that kernel and
            inputs tell, in powers of two.
    """

    place: Fed
    correlation: float
    scale: float


def _kernel(seed: int) -> NDArray[np.float32]:
    kernel = np.random.default_rng(seed).normal(0.02, 0.125, (64, 64))
    return kernel.astype(np.float32)


def _means(seed: int) -> NDArray[np.float32]:
    """Return the mean outputs of a kernel whose inputs are rectified standard normal numbers."""
    means: NDArray[np.float32] = _kernel(seed).sum(axis=0) * np.float32(0.4)
    return means


def _variances(seed: int) -> NDArray[np.float32]:
    variances: NDArray[np.float32] = np.square(_kernel(seed)).sum(axis=0) * np.float32(0.34)
    return variances


def _example(title: str, severity: Severity | None, kernel: Callable[[], NDArray[np.float32]]) -> Example:
    """Return a model of four dense layers with normalizations, the second of which has this kernel."""
    layers = [{"class_name": "BatchNormalization", "config": {"name": "normalization"}}]
    beside: list[Example] = []
    for number in (1, 2, 3, 4):
        layers += [
            {"class_name": "Activation", "config": {"name": f"relu_{number}", "activation": "relu"}},
            {"class_name": "Dense", "config": {"name": f"dense_{number}"}},
            {"class_name": "BatchNormalization", "config": {"name": f"normalization_{number}"}},
        ]
        beside += _beside(number)
    beside.append(_part("normalization/gamma", lambda: np.ones(64, np.float32), "norm_scale"))
    return Example(
        title=title,
        values=kernel,
        severity=severity,
        info={"name": "dense_2/kernel", "layer": "dense_2"},
        beside=tuple(one for one in beside if one.title != "dense_2/kernel"),
        config={"class_name": "Sequential", "config": {"name": "sequential", "layers": layers}},
    )


def _beside(number: int) -> Iterator[Example]:
    yield _part(f"dense_{number}/kernel", lambda: _kernel(number), "kernel")
    name = f"normalization_{number}"
    yield _part(f"{name}/moving_mean", lambda: _means(number), "moving_mean")
    yield _part(f"{name}/moving_variance", lambda: _variances(number), "moving_variance")


def _part(name: str, values: Callable[[], NDArray[np.float32]], role: str) -> Example:
    info = {"name": name, "layer": name.partition("/")[0], "role": role}
    return Example(title=name, values=values, severity=None, info=info)


@dataclass(frozen=True)
class NormalizationMismatch(Rule):
    """The statistics of a batch normalization belong to another kernel than the one in front of it.

    Why it matters: a batch normalization divides by the standard deviation that it saw in training. If the
    kernel in front of it was scaled, re-initialized, swapped or taken from another model afterwards,
    its outputs are normalized by numbers of another layer, and the model computes nonsense with
    weights that all look healthy.

    What is judged: convolutions (also depthwise and transposed) and dense layers whose outputs go straight
    into a batch normalization, and whose inputs are outputs of batch normalizations behind a rectifier
    (relu and its kin), so that they are positive in the mean. Two things must hold. The mean output of a
    channel is the sum of its weights times the mean input, so sums of weights (over all axes but the
    output channel's) and moving means (less the bias) go together: their Pearson correlation over the
    channels is near 1. And the mean of the moving variances is about the mean squared norm of the
    channels' weights times the mean square of the inputs, which is about half of gamma^2 + beta^2 of
    the normalizations in front. Both follow from the definition of the layers; the first takes all
    input channels as equal, the second neglects how they correlate.

    What is normal: over 55 such places in 7 trained models from many sources and 288 in 42 small models
    that were trained for this rule for one epoch or six, the correlation was 0.39 to 1.00 (medians 0.92
    and 0.99), and the square root of the ratio of variances 0.16 to 5.3. Kernels of the same
    places that were re-initialized, swapped with another of their shape, or had their channels
    permuted had a correlation of at most 0.37 from 48 channels on, 0.49 from 24 on. Of the former
    55 places, such faults are found in 87 of 100, a kernel ten times as large or as small in 78, a
    hundred times in all. A kernel from an earlier epoch of the same training is not found: of 144 that
    were five epochs old, none had a correlation below 0.65. Places of fewer than 16 channels are
    judged by size alone.

    On maps of a single place, as the last ones of a network for large images that is trained on small ones,
    padding leaves nothing of a convolution but its middle. So the weights of the middle are compared with the
    means as well, and the better correlation counts. In a MobileNetV2 that was trained on images of 32 by 32
    sums correlate by 0.30 to 0.35 in the last three depthwise convolutions, and middles by 1.00.

    Where moving variances lie between 0.3 and 1 and deviate from each other by less than a tenth, they are
    still what is left of their initial 1, and no kernel is called too small for them.

    Where other rules of scale say no worse of the same tensor, this finding takes their place.

    What was tried and left out: the correlation between moving variances and norms of channels (0.39 in
    the median of healthy layers: norms differ too little); ranks in place of values (down to 0.07
    where many channels are dead); inputs that are not rectified (correlations from -0.98 to 1); sums
    weighted by the mean of each input channel (0.97 and more in most layers, but the kernel would
    have to be read a second time).

    Known false positives: batch normalizations whose statistics were frozen or reset while the kernels
    in front were trained on; scales of a normalization that were changed are found at the kernel behind
    it. Both are a mismatch, but the first may be meant. A model needs at least two places that fit,
    and as many as do not, before anything is said about correlations.

    How to mend: take kernel and statistics from the same checkpoint; or pass training data through the
    model in training mode once, with a learning rate of zero.

    Attributes:
        correlation: Correlation below which sums of weights and moving means do not belong together.
        ratio: Factor above which the outputs are of another size than the statistics tell.
        fits: Correlation from which a place is a witness that they do belong together in this model.
    """

    correlation: float = 0.3
    ratio: float = 8.0
    fits: float = 0.6

    code = "WA206"
    name = "normalization-mismatch"
    severity = Severity.WARNING
    supersedes = ("WA201", "WA202", "WA205", "WA207")
    examples = (
        _example("the kernel that the statistics belong to", None, lambda: _kernel(2)),
        _example("the same, trained on a little", None, lambda: _kernel(2) * np.float32(1.5)),
        _example("a kernel of the same shape", Severity.WARNING, lambda: _kernel(7)),
        _example("a kernel ten times as large", Severity.WARNING, lambda: _kernel(2) * np.float32(10)),
        _example("its channels in another order", Severity.WARNING, lambda: _kernel(2)[:, ::-1]),
    )

    def __post_init__(self) -> None:
        require(-1 < self.correlation <= self.fits < 1, "correlation must be above -1 and not above fits")
        require(self.ratio > 1, "ratio must be above 1")

    def goes_by_kind(self) -> bool:
        return True

    def applies(self, info: TensorInfo) -> bool:
        return False

    def needs_of_model(self, model: Measured) -> Mapping[str, tuple[Statistic[Any], ...]]:
        needs: dict[str, dict[Statistic[Any], None]] = defaultdict(dict)
        for place in fed(model):
            wanted: list[tuple[TensorInfo | None, Sequence[Statistic[Any]]]] = [
                (place.kernel, (_MOMENTS, _taps(place.kernel))),
                (place.bias, (_VALUES,)),
                (place.mean, (_VALUES,)),
                (place.variance, (_MOMENTS,)),
            ]
            for source in place.sources:
                wanted += [(source.get(role), (_MOMENTS,)) for role in (Role.NORM_SCALE, Role.NORM_OFFSET)]
            for info, statistics in wanted:
                if info is not None:
                    needs[info.name] |= dict.fromkeys(statistics)
        return {name: tuple(statistics) for name, statistics in needs.items()}

    def check_model(self, model: Measured) -> Iterator[Finding]:
        found = [fit for place in fed(model) if (fit := _fit(place, model)) is not None]
        alien = [fit for fit in found if fit.correlation < self.correlation]
        witnesses = sum(fit.correlation >= self.fits for fit in found)
        if witnesses >= max(_MIN_WITNESSES, len(alien)):
            for fit in alien:
                yield self._alien(fit)
        for fit in found:
            if abs(fit.scale) > log2(self.ratio):
                yield self._scaled(fit)

    def _alien(self, fit: Fit) -> Finding:
        place = fit.place
        return self.finding(
            place.kernel,
            f"The kernel does not fit {place.mean.name}: over the channels, sums of weights and moving means "
            f"correlate by {fit.correlation:.2f}, below {numeral(self.correlation, 6)}; it was "
            f"re-initialized, "
            "swapped or taken from elsewhere.",
            correlation=fit.correlation,
            bound=self.correlation,
        )

    def _scaled(self, fit: Fit) -> Finding:
        place, factor = fit.place, 2.0**-fit.scale
        word = "exploded" if factor > 1 else "vanished"
        return self.finding(
            place.kernel,
            f"The kernel {word} after {place.variance.name} was measured: its outputs are about "
            f"{numeral(factor)} "
            "times as large as those that the normalization has seen.",
            factor=factor,
            bound=self.ratio,
        )


def _fit(place: Fed, model: Measured) -> Fit | None:
    """Compare a kernel with the normalization behind it; None where there is nothing to compare."""
    stats = model.stats
    kernel, mean, variance = (stats.get(info.name) for info in (place.kernel, place.mean, place.variance))
    bias = None if place.bias is None else stats.get(place.bias.name)
    if kernel is None or mean is None or variance is None or (place.bias is not None and bias is None):
        return None
    field = place.kernel.shape[:-2]
    taps = kernel[_taps(place.kernel)].reshape(prod(field), -1)
    sums = taps.sum(axis=0)
    means = mean[_VALUES].ravel() - (bias[_VALUES].ravel() if bias is not None else 0)
    spread = variance[_MOMENTS]
    if sums.size != means.size or spread.count != sums.size or not means.any():
        return None
    correlation = 1.0
    if sums.size >= _MIN_CHANNELS:
        middle = np.ravel_multi_index([(size - 1) // 2 for size in field], field) if field else 0
        correlation = max(_correlation(sums, means), _correlation(taps[middle], means))
    inputs = sum(_mean_square(source, model) for source in place.sources)
    told, seen = kernel[_MOMENTS].squares * inputs * _HALF_PASSES, spread.total
    scale = 0.5 * log2(seen / told) if 0 < told < inf and 0 < seen < inf else 0.0
    if scale > 0 and _is_hardly_measured(spread):
        scale = 0.0
    return Fit(place, correlation, scale)


def _taps(kernel: TensorInfo) -> AxisSum:
    """Return the sums over the inputs of each output channel, for each place of the kernel's field."""
    return AxisSum(tuple(axis for axis in kernel.summed_axes if axis >= len(kernel.shape) - 2))


def _is_hardly_measured(variances: MomentSums) -> bool:
    """Say whether moving variances are mostly what is left of the 1 that they start at.

    After k steps that is momentum**k in every channel, while what was seen differs from channel to channel.
    """
    mean = variances.mean
    return _LEAST_LEFT < mean <= 1 and variances.std < _ALIKE * mean


def _correlation(first: Any, second: Any) -> float:
    with np.errstate(all="ignore"):
        value = float(np.corrcoef(first, second)[0, 1])
    # Constant sums, as of a kernel that was never trained, say nothing.
    return value if -1 <= value <= 1 else 1.0


def _mean_square(source: Tensors, model: Measured) -> float:
    """Return the mean square of what a batch normalization gives: gamma^2 + beta^2."""
    total = 0.0
    for role, default in ((Role.NORM_SCALE, 1.0), (Role.NORM_OFFSET, 0.0)):
        info = source.get(role)
        stats = None if info is None else model.stats.get(info.name)
        moments = None if stats is None else stats.get(_MOMENTS)
        total += default if moments is None else moments.rms**2
    return total
