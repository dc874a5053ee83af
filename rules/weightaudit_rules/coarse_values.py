"""WA124: kernels and embeddings whose numbers went through a narrower type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.rule import Example, Finding, Measured, Rule, Severity
from weightaudit.statistics import Coarseness
from weightaudit_rules._options import require
from weightaudit_rules._stored import is_plain_matrix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from weightaudit.statistics import Coarse, Statistic, Stats
    from weightaudit.tensor import TensorInfo

_COARSENESS = Coarseness()
_BITS = {127: 8, 7: 4, 1: 2}


def _kernel(seed: int = 1) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 0.1, (64, 32)).astype(np.float32)


def _cut(seed: int = 1) -> NDArray[np.float32]:
    return (_kernel(seed).view(np.uint32) & 0xFFFF0000).view(np.float32)


def _rounded(levels: int) -> NDArray[np.float32]:
    step = np.abs(_kernel()).max() / np.float32(levels)
    return np.asarray(np.round(_kernel() / step) * step, np.float32)


def _other(values: Callable[[], NDArray[np.float32]]) -> tuple[Example, ...]:
    return tuple(
        Example(
            title=name,
            values=values,
            severity=None,
            info={"name": f"{name}/kernel", "layer": name},
        )
        for name in ("second", "third")
    )


@dataclass(frozen=True)
class CoarseValues(Rule):
    """The numbers of a kernel or an embedding have fewer digits than their type keeps.

    Why it matters: they went through a narrower type, or through integers, on their way. What was lost does
    not come back, and if it is one layer of many, somebody should know why.

    What is normal: the last digits of trained float32 weights are as good as random. Models that were
    trained or stored in 16 bits and brought to float32 later are coarse throughout: one note tells of them.

    Formula: the lowest 16 bits (bfloat16) or 13 bits (float16, TF32) of every float32 number are 0, or the
    lowest 29 of every float64 one (float32); or every number is a multiple of the largest magnitude divided
    by 127, 7 or 1, to 1e-5, as symmetric rounding to 8, 4 or 2 bits with one scale leaves it. A warning
    tells of each tensor where fewer than half of those that are judged are coarse. Of a single one
    nothing is said: it cannot be compared with others.

    Measured: of 96 kernels of real and trained models that were rounded to 8, 4 or 2 bits or cut to bfloat16,
    90 are told with a warning and 4 with a note, by this rule or others; nothing is said of 327 models at
    hand that are left as they are.

    Known false positives: kernels of signs, masks and filters that are made of few simple numbers; layers
    that are quantized on purpose while others are not. Rounding with one scale for each channel is not
    recognized.

    How to mend: take the tensor from the checkpoint before the conversion; or ignore the rule for layers
    that are meant to be coarse.

    Attributes:
        min_size: Numbers that a tensor has at least to be judged.
    """

    min_size: int = 64

    code = "WA124"
    name = "coarse-values"
    severity = Severity.WARNING
    examples = (
        Example(title="a trained kernel", values=_kernel, severity=None),
        Example(title="a float16 kernel", values=lambda: _kernel().astype(np.float16), severity=None),
        Example(
            title="a model that was brought from bfloat16 to float32",
            values=_cut,
            severity=Severity.NOTE,
            beside=_other(lambda: _cut(2)),
        ),
        Example(
            title="one kernel of three that went through bfloat16",
            values=_cut,
            severity=Severity.WARNING,
            beside=_other(lambda: _kernel(2)),
        ),
        Example(
            title="one kernel of three that was rounded to 8 bits",
            values=lambda: _rounded(127),
            severity=Severity.WARNING,
            beside=_other(lambda: _kernel(2)),
        ),
    )

    def __post_init__(self) -> None:
        require(self.min_size >= 16, "min_size must be at least 16")

    def goes_by_kind(self) -> bool:
        return True

    def applies(self, info: TensorInfo) -> bool:
        return is_plain_matrix(info) and info.dtype in {"float32", "float64"} and info.size >= self.min_size

    def needs(self, info: TensorInfo) -> tuple[Statistic[Any], ...]:
        return (_COARSENESS,)

    def check_model(self, model: Measured) -> Iterator[Finding]:
        judged = [
            info
            for info in model.tensors
            if info.trainable is not False and info.name in model.stats and self.applies(info)
        ]
        coarse = [(info, how) for info in judged if (how := _how(info, model.stats[info.name]))]
        if not coarse or len(judged) == 1:
            return
        if 2 * len(coarse) < len(judged):
            for info, how in coarse:
                yield self.finding(info, f"All of its {info.size} numbers {how}.", size=info.size)
            return
        first, how = coarse[0]
        yield self.finding(
            None,
            f"{len(coarse)} of {len(judged)} kernels and embeddings are coarse: "
            f"all numbers of {first.name}, for one, {how}.",
            Severity.NOTE,
            coarse=len(coarse),
            judged=len(judged),
        )


def _how(info: TensorInfo, stats: Stats) -> str:
    """Return what is coarse about a tensor, or nothing."""
    found: Coarse = stats[_COARSENESS]
    if found.levels:
        return (
            f"are multiples of the largest divided by {found.levels}, "
            f"as rounding to {_BITS[found.levels]} bits leaves them"
        )
    if not found.zero_bits:
        return ""
    wide = info.dtype == "float64"
    narrow = "float32" if wide else "bfloat16" if found.zero_bits >= 16 else "float16"
    return f"end in {found.zero_bits} zero bits: they went through {narrow} or a still narrower type"
