"""WA122: pages of a kernel or an embedding that hold the numbers of another page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.rule import Example, Finding, Rule, Severity
from weightaudit.statistics import RepeatedPages
from weightaudit.tensor import Role
from weightaudit_rules._options import require
from weightaudit_rules._stored import index_of, is_plain_matrix

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from weightaudit.statistics import Statistic, Stats
    from weightaudit.tensor import TensorInfo

_REPEATS = RepeatedPages()
_PAGE = 4096


def _kernel(first: int = 0, size: int = 0, to: int = 0) -> NDArray[np.float32]:
    kernel = np.random.default_rng(1).normal(0, 0.1, (300, 48)).astype(np.float32)
    flat = kernel.reshape(-1)
    flat[to : to + size] = flat[first : first + size].copy()
    return kernel


@dataclass(frozen=True)
class RepeatedBlock(Rule):
    """A page of 4 KiB of a kernel or an embedding holds the numbers of another one.

    Why it matters: a block that was written twice, or a buffer that was not filled again before it was
    written, leaves two pages with the same bytes, and what belonged there is lost. All numbers look sound.

    What is normal: no two. Two pages of float32 are 1024 numbers that agree to the last bit; training never
    does that. Tables that were computed may have a period, and pruned or quantized ones many zeros; these
    are told apart by what surrounds the pages.

    Formula: pages are those of the file (offsets that are multiples of 4096), whole in one tensor; two are
    equal if all of their numbers are, the first and the last excepted. A page of one value, a page that is
    its own repetition (by one number or one row), and pages whose neighbours are equal on both sides do not
    count. Compared are pages within 2 MiB of each other, as a rule.

    Measured: 24 of 24 pages that were stored again in the place of the next one, in kernels of real and
    trained models, are told; nothing is said of 327 models at hand that are left as they are.

    Known false positives: rows of an embedding that were made alike and are as long as pages (a note, for
    embeddings); fixed tables.

    How to mend: copy or save the model again; or put the tensor back from another checkpoint
    (`weightaudit repair --project restore_from`).

    Attributes:
        most: Share of the pages of a tensor that may be repetitions; where there are more, it is a table.
    """

    most: float = 0.5

    code = "WA122"
    name = "repeated-block"
    severity = Severity.WARNING
    examples = (
        Example(title="a trained kernel", values=_kernel, severity=None),
        Example(
            title="a table with a period",
            values=lambda: np.tile(np.sin(np.arange(48, dtype=np.float32)), (300, 1)),
            severity=None,
        ),
        Example(
            title="a page that was written again in the place of the next one",
            values=lambda: _kernel(2048, 1024, to=3072),
            severity=Severity.WARNING,
        ),
        Example(
            title="two pages that were written again further on",
            values=lambda: _kernel(1024, 2048, to=8192),
            severity=Severity.WARNING,
        ),
        Example(
            title="an embedding with rows that are alike, as long as pages",
            values=lambda: np.repeat(
                np.random.default_rng(1).normal(0, 0.1, (12, 1024)).astype(np.float32),
                [1, 1, 2, *[1] * 9],
                axis=0,
            ),
            severity=Severity.NOTE,
            info={"role": "embedding", "layer_class": "Embedding"},
        ),
    )

    def __post_init__(self) -> None:
        require(0 < self.most <= 1, "most must be above 0 and at most 1")

    def goes_by_kind(self) -> bool:
        return True

    def applies(self, info: TensorInfo) -> bool:
        return is_plain_matrix(info) and info.nbytes >= 2 * _PAGE

    def needs(self, info: TensorInfo) -> tuple[Statistic[Any], ...]:
        return (_REPEATS,)

    def check(self, info: TensorInfo, stats: Stats) -> Iterator[Finding]:
        found = stats[_REPEATS]
        pages = info.nbytes // _PAGE
        if not found.count or found.count > max(1, self.most * pages):
            return
        yield self.finding(
            info,
            f"{found.count} of about {pages} pages of 4096 bytes repeat an earlier one: "
            f"the first, from index {index_of(info, found.place)} on, "
            f"holds the numbers from {index_of(info, found.source)} on.",
            Severity.NOTE if info.role is Role.EMBEDDING and _has_long_rows(info) else None,
            count=found.count,
            place=found.place,
            source=found.source,
        )


def _has_long_rows(info: TensorInfo) -> bool:
    return info.nbytes // info.shape[0] >= _PAGE
