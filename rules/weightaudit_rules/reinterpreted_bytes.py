"""WA123: tensors whose bytes are numbers only if they are read in another way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.rule import Example, Finding, Rule, Severity
from weightaudit.statistics import ByteLayout
from weightaudit_rules._examples import trained_kernel
from weightaudit_rules._options import require
from weightaudit_rules._roles import is_weight

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from weightaudit.statistics import Statistic, Stats
    from weightaudit.tensor import TensorInfo

_LAYOUT = ByteLayout()


def _pairs(dtype: str) -> NDArray[np.float32]:
    doubled = np.concatenate([trained_kernel(), trained_kernel()[::-1]]).reshape(-1)
    if dtype == "float16":
        return doubled.astype(np.float16).view(np.float32).reshape(64, 32)
    return (doubled.view(np.uint32) >> 16).astype(np.uint16).view(np.float32).reshape(64, 32)


@dataclass(frozen=True)
class ReinterpretedBytes(Rule):
    """The bytes of a tensor are weights only in the other byte order, or as numbers of 16 bits.

    Why it matters: a writer and a reader that disagree on the byte order, or on the type, turn every weight
    into another number, and nothing else in the file tells. Pairs of bfloat16 numbers even look like sound
    float32 weights: half of the kernel is there, in the wrong places.

    What is normal: weights have magnitudes from 2**-24 to 2**14 (float16: 2**-14 to 8), and the lower 16
    bits of float32 are as good as random.

    Formula: of the first 512 numbers, zeros left out. Other byte order: at least 90 % have a usual
    magnitude with their bytes swapped, and at most half as they are (float16: 97 %, 75 % and at least 32
    numbers, since most of its codes are usual magnitudes). Pairs: of at least 32 float32 numbers whose
    lower half is not zero, it is in 90 % a bfloat16 number of 2**-19 to 32 (by chance in 24 of 256), or a
    float16 number of 2**-11 to 8 (by chance in 14 of 32). By chance, 29 of 32 are float16 in 4e-8 of all
    tensors.

    Measured: of 96 tensors of real and trained models whose bytes were swapped, or replaced by pairs, 95 are
    told, by this rule or others; nothing is said of 327 models at hand that are left as they are.

    Known false positives: none were seen. Constants packed into floats by a custom layer could be.

    How to mend: convert the file again with the byte order or the type that it really has.

    Attributes:
        min_size: Numbers that a tensor has at least to be judged.
    """

    min_size: int = 8

    code = "WA123"
    name = "reinterpreted-bytes"
    severity = Severity.ERROR
    relies_on_role = False
    examples = (
        Example(title="a trained kernel", values=trained_kernel, severity=None),
        Example(
            title="a float16 kernel",
            values=lambda: trained_kernel().astype(np.float16),
            severity=None,
        ),
        Example(
            title="a kernel that was rounded to bfloat16",
            values=lambda: (trained_kernel().view(np.uint32) & 0xFFFF0000).view(np.float32),
            severity=None,
        ),
        Example(
            title="a kernel in the other byte order",
            values=lambda: trained_kernel().byteswap(),
            severity=Severity.ERROR,
        ),
        Example(
            title="a bias of float16 in the other byte order",
            values=lambda: trained_kernel()[:4].reshape(-1).astype(np.float16).byteswap(),
            severity=Severity.ERROR,
            info={"role": "bias"},
        ),
        Example(
            title="pairs of bfloat16 read as float32",
            values=lambda: _pairs("bfloat16"),
            severity=Severity.ERROR,
        ),
        Example(
            title="pairs of float16 read as float32",
            values=lambda: _pairs("float16"),
            severity=Severity.ERROR,
        ),
    )

    def __post_init__(self) -> None:
        require(self.min_size >= 4, "min_size must be at least 4")

    def goes_by_kind(self) -> bool:
        return True

    def applies(self, info: TensorInfo) -> bool:
        return is_weight(info) and info.quantization is None and info.size >= self.min_size

    def needs(self, info: TensorInfo) -> tuple[Statistic[Any], ...]:
        return (_LAYOUT,)

    def check(self, info: TensorInfo, stats: Stats) -> Iterator[Finding]:
        found = stats[_LAYOUT]
        if found.swapped:
            yield self.finding(
                info,
                f"In the other byte order {found.swapped:.1%} of its numbers have the magnitudes of weights, "
                f"as they are {found.usual:.1%}: it was written with the wrong byte order.",
                swapped=found.swapped,
                usual=found.usual,
            )
        for dtype, share in (("bfloat16", found.bfloat16_pairs), ("float16", found.float16_pairs)):
            if share:
                yield self.finding(
                    info,
                    f"The lower halves of {share:.1%} of its float32 numbers are {dtype} weights: "
                    f"two {dtype} numbers were taken for one of float32.",
                    share=share,
                )
