"""WA203: single values that are far beyond what their role allows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.numerals import numeral
from weightaudit.rule import Example, Finding, Rule, Severity
from weightaudit.statistics import Above
from weightaudit.tensor import Declared, Role
from weightaudit_rules._examples import trained_kernel
from weightaudit_rules._feeding import reads_inputs
from weightaudit_rules._initial import declared_constant
from weightaudit_rules._linear import is_linear
from weightaudit_rules._options import require
from weightaudit_rules._roles import is_weight
from weightaudit_rules._words import part

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from weightaudit.rule import Measured
    from weightaudit.statistics import Statistic, Stats
    from weightaudit.tensor import TensorInfo

_Bounds = tuple[tuple[Above, Severity], ...]
"""What is counted, and how bad it is; the worst comes first."""

_FAR = 10.0
# Statistics of raw inputs: a time in seconds is 1.7e9, and the variance has the square of the unit.
_STATISTICS = {Role.MOVING_MEAN: 1e10, Role.MOVING_VARIANCE: 1e20}
# An export keeps what a Normalization layer measured among the constants of its graph.
_DATA = _STATISTICS | {Role.CONSTANT: 1e20}

# In a model of one layer weights have units: of the target, for one of an input.
_IN_UNITS = frozenset({Role.KERNEL, Role.BIAS})
_UNITS = (1e20, 1e10)

_SCALED_INPUTS = {
    "class_name": "Sequential",
    "config": {
        "name": "model",
        "layers": [
            {"class_name": "InputLayer", "config": {"name": "features"}},
            {"class_name": "Masking", "config": {"name": "masking"}},
            {"class_name": "BatchNormalization", "config": {"name": "first"}},
        ],
    },
}


def _kernel(outlier: float | None = None) -> NDArray[np.float32]:
    kernel = trained_kernel()
    if outlier is not None:
        kernel[5, 7] = outlier
    return kernel


def _variance(largest: float) -> NDArray[np.float32]:
    variance = np.random.default_rng(2).uniform(1, 900, 64).astype(np.float32)
    variance[9] = largest
    return variance


@dataclass(frozen=True)
class ExtremeValue(Rule):
    """Single values are far beyond anything that training produces.

    Why it matters: one flipped exponent bit turns 0.1 into 1e37, one wrong byte order or offset
    does the same to many; and a layer with one such weight answers with it alone.

    What is normal: |w| below 200 in the kernels, biases, embeddings and norm scales of 1,847
    real files. Moving variances of BatchNormalization layers reach 6e5 where inputs are not
    scaled, so for moving statistics only values above `error` count, as warnings; and where more than
    half of them are above it, which is then the unit of the data (prices, seconds since 1970) and no
    fault of single values, only means from 1e10 and variances from 1e20. Where the mean and variance of
    raw data are kept, only those count: in Normalization, in BatchNormalization with nothing but layers
    without weights between it and the inputs, and, from 1e20, in constants of a graph, among which
    exports write what Normalization measured. Tensors whose role is not known are judged by `error`
    alone, as warnings. The weights of a linear regression (a single layer of up to four outputs) have
    units of the data: they are a warning from 1e10 and an error from 1e20. Where the model declares that a
    tensor starts at a constant, as the bias of an output may start at the mean of the targets, values up to
    ten times that constant are left in peace.

    Known false positives: constants that a custom layer stores as weights; an output bias that
    learned targets in the hundreds of thousands from a start at 0.

    How to mend: compare the value's neighbours; if it stands alone, fetch the file again or go
    back to another checkpoint; if inputs are not scaled, put a Normalization layer in front.

    Attributes:
        warning: Magnitude above which a weight is a warning.
        error: Magnitude above which it is an error.
    """

    warning: float = 1e3
    error: float = 1e6

    code = "WA203"
    name = "extreme-value"
    severity = Severity.ERROR
    supersedes = ("WA124", "WA402")
    examples = (
        Example(title="a trained kernel", values=_kernel, severity=None),
        Example(
            title="a constant of frequencies in Hz",
            values=lambda: np.linspace(20, 44_100, 300, dtype=np.float32),
            severity=None,
            info={"role": "constant"},
        ),
        Example(
            title="a constant in which an export keeps the variance of raw data",
            values=lambda: _variance(4.4e8),
            severity=None,
            info={"role": "constant"},
        ),
        Example(
            title="a constant of 3e37",
            values=lambda: _variance(3e37),
            severity=Severity.WARNING,
            info={"role": "constant"},
        ),
        Example(
            title="moving variances of a layer on raw inputs",
            values=lambda: _variance(3.1e5),
            severity=None,
            info={"role": "moving_variance", "layer_class": "BatchNormalization"},
        ),
        Example(
            title="the step counter of an optimizer",
            values=lambda: np.array(92490, np.float32),
            severity=None,
            info={"role": "counter"},
        ),
        Example(
            title="moving variances of a layer on raw inputs in the thousands",
            values=lambda: _variance(9e6) * 1e7,
            severity=None,
            info={"role": "moving_variance", "layer_class": "BatchNormalization"},
        ),
        Example(
            title="an output bias that was declared to start at the mean price",
            values=lambda: np.array([254_000], np.float32),
            severity=None,
            info={"role": "bias", "initializer": Declared("Constant", {"value": 250_000.0})},
        ),
        Example(title="one weight of 5000", values=lambda: _kernel(5000), severity=Severity.WARNING),
        Example(title="a flipped exponent bit", values=lambda: _kernel(-3.4e37), severity=Severity.ERROR),
        Example(
            title="a moving variance of 4e9",
            values=lambda: _variance(4e9),
            severity=Severity.WARNING,
            info={"role": "moving_variance", "layer_class": "BatchNormalization"},
        ),
        Example(
            title="a moving variance of 4e9 of an input that the first layer scales",
            values=lambda: _variance(4e9),
            severity=None,
            info={"role": "moving_variance", "layer_class": "BatchNormalization", "layer": "first"},
            config=_SCALED_INPUTS,
        ),
        Example(
            title="a variance of 3e37 of an input that the first layer scales",
            values=lambda: _variance(3e37),
            severity=Severity.WARNING,
            info={"role": "moving_variance", "layer_class": "BatchNormalization", "layer": "first"},
            config=_SCALED_INPUTS,
        ),
        Example(
            title="the variance of prices that a Normalization layer scales",
            values=lambda: _variance(4e9),
            severity=None,
            info={"role": "moving_variance", "layer_class": "Normalization"},
        ),
        Example(
            title="a variance of 3e37 in a Normalization layer",
            values=lambda: _variance(3e37),
            severity=Severity.WARNING,
            info={"role": "moving_variance", "layer_class": "Normalization"},
        ),
    )

    def __post_init__(self) -> None:
        require(0 < self.warning <= self.error, "warning must be above 0 and not above error")

    def goes_by_kind(self) -> bool:
        return True

    def applies(self, info: TensorInfo) -> bool:
        return is_weight(info)

    def needs(self, info: TensorInfo) -> tuple[Statistic[Any], ...]:
        return tuple(above for above, _ in self._bounds(info))

    def needs_of_model(self, model: Measured) -> Mapping[str, tuple[Statistic[Any], ...]]:
        if not is_linear(model):
            return {}
        of_units = tuple(above for above, _ in self._of_units)
        return {info.name: of_units for info in model.tensors if info.role in _IN_UNITS}

    def check_model(self, model: Measured) -> Iterator[Finding]:
        in_units = is_linear(model)
        for info in model.tensors:
            if info.name not in model.stats or not self.applies(info):
                continue
            if info.role in _STATISTICS:
                yield from self._of_statistics(info, model)
                continue
            bounds = self._of_units if in_units and info.role in _IN_UNITS else self._bounds(info)
            if all(above in model.stats[info.name] for above, _ in bounds):
                yield from self._judged(info, model.stats[info.name], bounds)

    def _of_statistics(self, info: TensorInfo, model: Measured) -> Iterator[Finding]:
        stats, bounds = model.stats[info.name], self._bounds(info)
        # A policy may have another bound for some tensors, or none: then nothing was counted above this one.
        if any(above not in stats for above, _ in bounds):
            return
        found = list(self._judged(info, stats, bounds))
        if found and reads_inputs(info.layer, model.topology):
            found = list(self._judged(info, stats, self._of_data[info.role]))
        yield from found

    def _judged(self, info: TensorInfo, stats: Stats, bounds: _Bounds) -> Iterator[Finding]:
        for above, severity in bounds:
            found, bound = stats[above], above.limit
            if not found.count or self._is_unit_of_data(info, found.count, bound):
                continue
            # Training does not carry a bias that starts at the mean of the targets far from there.
            if found.largest <= _FAR * declared_constant(info):
                return
            yield self.finding(
                info,
                f"{part(found.count, info.size, 'value', 'has', 'have')} a magnitude of "
                f"{numeral(bound, 6)} or more "
                f"(largest {numeral(found.largest)}).",
                severity,
                count=found.count,
                bound=bound,
                largest=found.largest,
            )
            return

    def _is_unit_of_data(self, info: TensorInfo, count: int, bound: float) -> bool:
        """Say whether so many values are large that it is the unit of raw data, not a fault of a few."""
        return info.role in _STATISTICS and bound == self.error and 2 * count > info.size

    @cached_property
    def _usual(self) -> _Bounds:
        return ((Above(self.error), Severity.ERROR), (Above(self.warning), Severity.WARNING))

    @cached_property
    def _of_units(self) -> _Bounds:
        error, warning = (
            max(limit, own) for limit, own in zip(_UNITS, (self.error, self.warning), strict=True)
        )
        return ((Above(error), Severity.ERROR), (Above(warning), Severity.WARNING))

    @cached_property
    def _lenient(self) -> _Bounds:
        return ((Above(self.error), Severity.WARNING),)

    @cached_property
    def _of_data(self) -> dict[Role, _Bounds]:
        limits = {role: Above(max(self.error, limit)) for role, limit in _DATA.items()}
        return {role: ((above, Severity.WARNING),) for role, above in limits.items()}

    def _bounds(self, info: TensorInfo) -> _Bounds:
        if info.role in _DATA:
            data = self._of_data[info.role]
            is_raw = info.role is Role.CONSTANT or info.layer_class == "Normalization"
            return data if is_raw else (*data, *self._lenient)
        if info.role is Role.UNKNOWN:
            return self._lenient
        return self._usual
