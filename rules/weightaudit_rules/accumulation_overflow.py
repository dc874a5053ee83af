"""WA213: output channels whose sums a narrow accumulator cannot hold."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from weightaudit.numerals import numeral
from weightaudit.rule import Example, Finding, Rule, Severity
from weightaudit.statistics import AxisNorm
from weightaudit.tensor import Role
from weightaudit_rules._floats import FORMATS
from weightaudit_rules._noise import INT8_LARGEST
from weightaudit_rules._options import require
from weightaudit_rules._roles import is_weight
from weightaudit_rules._words import part

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from weightaudit.statistics import Statistic, Stats
    from weightaudit.tensor import TensorInfo

_INT32 = 2**31 - 1
_KERNELS = frozenset({Role.KERNEL, Role.RECURRENT_KERNEL})


def _kernel(scale: float, rows: int = 256) -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(0, scale, (rows, 4)).astype(np.float32)


@dataclass(frozen=True)
class AccumulationOverflow(Rule):
    """Sums over the inputs of an output channel can leave the range of a narrow accumulator.

    Why it matters: hardware that multiplies in float16 often adds up in float16 too, and what passes
    65504 on the way is infinite, although every weight and every input fits. Kernels in int8 are added
    up in int32.

    Formula: for inputs of magnitude X at most, an output is at most X times the sum of magnitudes of
    its channel (L1 norm), which inputs with the signs of the weights reach; for independent inputs of
    root mean square X it is about X times the root of the sum of squares (L2 norm). A warning if X
    times the largest L1 norm is beyond 65504, an error if X times the largest L2 norm is. For int32,
    codes are at most 127, so that a channel of codes q can reach 127 times the sum of |q|.

    What is normal: in real models the largest L1 norm of a channel is 0.2 to 914, so that inputs of
    71 and more were safe in all of them. An int32 accumulator can only overflow with more than
    133,144 inputs to a channel.

    Known false positives: inputs that are bounded, as behind a normalization or a sigmoid; give their
    magnitude as `input_scale`. What it misses: a bias, and inputs larger than assumed. Weights cannot
    tell how large activations are.

    How to mend: accumulate in float32, scale the layer down and its output up, or bound the norm
    (`weightaudit explain norm-bound`).

    Attributes:
        accumulator: The type that sums are kept in, float16 or int32 (for weights and inputs in int8);
            the rule is silent without it.
        input_scale: Largest magnitude, and root mean square, of inputs (X). Not used for int32, where
            inputs are codes of up to 127.
    """

    accumulator: Literal["float16", "int32"] | None = None
    input_scale: float = 16.0

    code = "WA213"
    name = "accumulation-overflow"
    severity = Severity.WARNING
    examples = (
        Example(
            title="a trained kernel",
            values=lambda: _kernel(0.1),
            severity=None,
            options={"accumulator": "float16"},
        ),
        Example(title="large weights, without a policy", values=lambda: _kernel(100.0), severity=None),
        Example(
            title="a kernel of 20, whose outputs pass 65504 for some inputs of 16",
            values=lambda: _kernel(20.0),
            severity=Severity.WARNING,
            options={"accumulator": "float16"},
        ),
        Example(
            title="a kernel of 300, whose outputs pass 65504 for most inputs of 16",
            values=lambda: _kernel(300.0),
            severity=Severity.ERROR,
            options={"accumulator": "float16"},
        ),
        Example(
            title="a kernel of 20, with inputs of 1 at most",
            values=lambda: _kernel(20.0),
            severity=None,
            options={"accumulator": "float16", "input_scale": 1.0},
        ),
        Example(
            title="150,000 equal weights, whose codes add up beyond int32",
            values=lambda: np.full((150_000, 1), 0.1, np.float32),
            severity=Severity.WARNING,
            options={"accumulator": "int32"},
        ),
    )

    def __post_init__(self) -> None:
        require(0 < self.input_scale < inf, "input_scale must be positive")

    def is_active(self) -> bool:
        return self.accumulator is not None

    def goes_by_kind(self) -> bool:
        return True

    def applies(self, info: TensorInfo) -> bool:
        return is_weight(info) and info.role in _KERNELS and bool(info.output_axes)

    def needs(self, info: TensorInfo) -> tuple[Statistic[Any], ...]:
        return (_norm(info, 1), _norm(info, inf if self.accumulator == "int32" else 2))

    def check(self, info: TensorInfo, stats: Stats) -> Iterator[Finding]:
        sums, others = (np.atleast_1d(stats[norm]) for norm in self.needs(info))
        if self.accumulator == "int32":
            # A channel of zeros has no step, and codes of zero.
            with np.errstate(over="ignore"):
                codes = sums * INT8_LARGEST / np.where(others > 0, others, inf)
            yield from self._judge(info, codes * INT8_LARGEST, None, _INT32, "codes of up to 127")
        else:
            with np.errstate(over="ignore"):  # what is too large for float64 is too large for float16
                reached, typical = sums * self.input_scale, others * self.input_scale
            limit = FORMATS["float16"].largest
            yield from self._judge(
                info, reached, typical, limit, f"inputs of up to {numeral(self.input_scale, 6)}"
            )

    def _judge(
        self,
        info: TensorInfo,
        reached: NDArray[np.float64],
        typical: NDArray[np.float64] | None,
        limit: float,
        inputs: str,
    ) -> Iterator[Finding]:
        count = int((reached > limit).sum())
        if not count:
            return
        worst = int(reached.argmax())
        index = ", ".join(str(int(place)) for place in np.unravel_index(worst, reached.shape))
        usual = 0.0 if typical is None else float(typical.max())
        channels = part(count, reached.size, "output channel", "can", "can")
        yield self.finding(
            info,
            f"With {inputs}, {channels} pass {numeral(limit, 6)}, where {self.accumulator} ends; "
            f"channel {index} can reach {numeral(reached.flat[worst], 4)}.",
            Severity.ERROR if usual > limit else None,
            count=count,
            channels=reached.size,
            reached=float(reached.flat[worst]),
            typical=usual,
            bound=float(limit),
        )


def _norm(info: TensorInfo, order: float) -> AxisNorm:
    """Return the norm of each output channel."""
    return AxisNorm(info.summed_axes, order)
