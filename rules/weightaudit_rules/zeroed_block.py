"""WA121: stretches of zeros in kernels and embeddings that otherwise have few."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.dtypes import itemsize
from weightaudit.rule import Example, Finding, Rule, Severity
from weightaudit.statistics import ZeroStretches
from weightaudit.statistics.zero_gaps import LongestZeros
from weightaudit_rules._options import require
from weightaudit_rules._pruned import PAGE, missing_among_zeros
from weightaudit_rules._stored import index_of, is_plain_matrix

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from weightaudit.statistics import Statistic, Stats, ZeroRuns
    from weightaudit.tensor import TensorInfo

_RUNS = ZeroStretches()
_GAPS = LongestZeros()


def _kernel(first: int = 0, last: int = 0, *, stride: int = 1) -> NDArray[np.float32]:
    kernel = np.random.default_rng(1).normal(0, 0.1, (300, 48)).astype(np.float32)
    kernel.reshape(-1)[first:last:stride] = 0
    return kernel


def _blocks() -> NDArray[np.float32]:
    kept = np.random.default_rng(2).random((25, 4)) < 0.4
    kept[-1, -1] = False
    return _kernel() * np.repeat(np.repeat(kept, 12, axis=0), 12, axis=1)


def _masked() -> NDArray[np.float32]:
    kernel = _kernel()[:288].reshape(3, 3, 32, 48).copy()
    kernel.reshape(9, -1)[5:] = 0
    return kernel


@dataclass(frozen=True)
class ZeroedBlock(Rule):
    """A stretch of a kernel or an embedding is zero, and its borders are not those of rows.

    Why it matters: a page that was never written, a hole in a sparse file and a transfer that broke off all
    read as zeros. The model loads, and a part of the layer is gone.

    What is normal: zeros that pruning scatters, rows of zeros for inputs that carry nothing or for words
    that do not occur, channels that died. In memory a row is the last axis; channels are single zeros that
    lie apart. Convolutions that must not look ahead keep the taps behind their centre at zero (masks A and B,
    van den Oord et al. 2016): zeros that reach to the end from the middle tap on, or from the next, are
    taken for that in kernels with two or three axes of an odd number of taps.

    Formula: the runs of at least 8 zeros in the order in which numbers are stored, if single zeros are at
    most one in a hundred. A finding is (1) a run that covers whole pages of 4096 bytes of the file and
    nothing else; (2) a run of at least `min_bytes` that begins or ends within a row; (3) a run up to the
    end of the tensor that begins within a row; (4) the only run, up to the end, of at least two rows and
    `min_tail` of the tensor. Where rows are as long as pages, or tensors have only one row, (1) says
    nothing. More than `holes` runs that begin or end within a row are a pattern, such as blocks that were
    pruned or the mask of an autoregressive layer, of which only (4) may say something.

    In pruned tensors, where single zeros are common, a run has to be longer than chance makes it: with a
    share p of other zeros among n numbers, L such that n * p**L is one in a thousand; and, since blocks
    may have been pruned, than twice the next one and twice 64 numbers. Such a run is told if (1) more of it
    than L lies outside of whole rows, (2) it is whole pages but for what chance adds, or (3) it reaches to
    the end, over two rows and `min_tail`.

    Measured: of 288 pages and tails filled with zeros in kernels of real, trained and pruned models, 285 are
    told. Nothing is said of 109 models at hand that are left as they are. Of 2,607 kernels of noise with
    masks of 12 shapes of blocks and six shares, triangles and degrees, 17 are accused, all of which have
    a few blocks only; 115 were before `holes`.

    Known false positives: filters and tables that were computed, such as windows with zeros at their ends;
    embeddings whose last words were never used and start at zero.

    How to mend: copy or save the model again; or put the tensor back from another checkpoint
    (`weightaudit repair --project restore_from`).

    Attributes:
        min_bytes: Bytes that a run has at least if neither end of it is a border of pages.
        min_tail: Share of a tensor that a run of whole rows at its end has at least.
        max_tail: Share that it has at most: with more, the rows before it are those in use, as in weights of
            categories.
        holes: Runs that begin or end within a row, up to which they are holes and no pattern.
    """

    min_bytes: int = 1024
    min_tail: float = 0.05
    max_tail: float = 0.75
    holes: int = 8

    code = "WA121"
    name = "zeroed-block"
    severity = Severity.WARNING
    examples = (
        Example(title="a trained kernel", values=_kernel, severity=None),
        Example(title="inputs that carry nothing", values=lambda: _kernel(48 * 30, 48 * 70), severity=None),
        Example(title="a dead channel", values=lambda: _kernel(5, 300 * 48, stride=48), severity=None),
        Example(
            title="blocks of 12 times 12 that were pruned, the last among them", values=_blocks, severity=None
        ),
        Example(title="a convolution that must not look ahead", values=_masked, severity=None),
        Example(
            title="a page of 4 KiB that was never written",
            values=lambda: _kernel(2048, 3072),
            severity=Severity.WARNING,
        ),
        Example(
            title="the last tenth missing",
            values=lambda: _kernel(12970, 14400),
            severity=Severity.WARNING,
        ),
        Example(
            title="the last half missing, from the beginning of a row",
            values=lambda: _kernel(7200, 14400),
            severity=Severity.WARNING,
        ),
    )

    def __post_init__(self) -> None:
        require(self.min_bytes >= 64, "min_bytes must be at least 64")
        require(self.holes >= 1, "holes must be at least 1")
        require(
            0 < self.min_tail <= self.max_tail <= 1,
            "min_tail and max_tail must lie in order above 0, up to 1",
        )

    def goes_by_kind(self) -> bool:
        return True

    def applies(self, info: TensorInfo) -> bool:
        return is_plain_matrix(info) and info.size >= 64

    def needs(self, info: TensorInfo) -> tuple[Statistic[Any], ...]:
        return (_RUNS, _GAPS)

    def check(self, info: TensorInfo, stats: Stats) -> Iterator[Finding]:
        runs, gaps = stats[_RUNS], stats[_GAPS]
        if info.size in {runs.longest, gaps.longest} or _is_masked(info, runs):
            return
        # Where single zeros are common, runs have to be longer than chance makes them.
        found = (
            self._worst(info, runs)
            if runs.runs
            else missing_among_zeros(info, gaps, self.min_tail, self.max_tail)
        )
        if found is None:
            return
        place, length, why = found
        yield self.finding(
            info,
            f"{length} of {info.size} numbers in a row are zero, "
            f"from index {index_of(info, place)} on: {why}.",
            length=length,
            place=place,
            zeros=runs.zeros or gaps.zeros,
        )

    def _worst(self, info: TensorInfo, runs: ZeroRuns) -> tuple[int, int, str] | None:
        """Return place and length of a run that no row explains, and why; None if there is none."""
        size = itemsize(info.dtype)
        row = info.shape[-1]
        is_hole = runs.broken <= self.holes
        if is_hole and runs.paged and row * size <= PAGE // 4:
            return runs.paged_place, runs.paged, "whole pages of the file, and nothing else"
        is_long = runs.longest * size >= self.min_bytes
        if is_hole and is_long and _is_within_rows(runs.place, runs.longest, row):
            return runs.place, runs.longest, "they begin or end within a row"
        begin = info.size - runs.tail
        is_missing = (is_hole and begin % row != 0) or (
            runs.runs == 1
            and max(2 * row, self.min_tail * info.size) <= runs.tail <= self.max_tail * info.size
        )
        return (begin, runs.tail, "the end of the tensor is missing") if runs.tail and is_missing else None


def _is_masked(info: TensorInfo, runs: ZeroRuns) -> bool:
    """Say whether the only zeros are the taps behind the centre of a kernel, the centre included or not.

    In one dimension such kernels are padded on one side instead, and a third of three taps may well be lost.
    """
    field, size = info.shape[:-2], prod(info.shape[-2:])
    if runs.runs != 1 or not runs.tail or len(field) < 2 or not all(length % 2 for length in field):
        return False
    return (info.size - runs.tail) in {prod(field) // 2 * size, (prod(field) // 2 + 1) * size}


def _is_within_rows(place: int, length: int, row: int) -> bool:
    return place % row != 0 or (place + length) % row != 0
