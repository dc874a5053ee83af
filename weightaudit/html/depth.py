"""The model along its depth: what each layer, or each few of very many layers, looks like from afar.

Histograms of a layer's weights are joined, and their quantiles taken, in powers of two: a quantile is exact
up to the width of a bin, a quarter of a power of two, and none lies beyond the largest weight.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from math import ceil, isfinite, log2
from typing import TYPE_CHECKING

import numpy as np

from weightaudit.statistics.magnitudes import STEPS
from weightaudit.tensor import MATRIX_ROLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from weightaudit.portrait import Portrait
    from weightaudit.report import ModelReport
    from weightaudit.tensor import TensorInfo

MOST = 400
"""Columns of a picture, which is as many as a screen can show apart."""
QUANTILES = (0.0, 0.05, 0.5, 0.95, 1.0)
"""Shares of a layer's weights, by magnitude, zeros left out."""

F16_OVERFLOW = 65520.0
"""Least magnitude that becomes infinite in float16, which rounds what is below it to 65504."""
F16_NORMAL, F16_LEAST = -14, -25
"""Powers of two: float16 loses digits below the first; from the second down, it holds nothing but zero."""


@dataclass(frozen=True, slots=True)
class Column:
    """A layer, or a few that follow each other.

    Attributes:
        label: Name of the layer, or of the first and the last.
        layer_class: Its class; empty if there are several, or it is not known.
        layers: How many layers it stands for.
        tensors: Places of its tensors in the model; those without numbers and the optimizer's left out.
        quantiles: Magnitudes of its weights at `QUANTILES`, as powers of two; None if none was measured.
        others: Root mean squares of its other tensors, as powers of two.
        sparsity: Share of its weights that is zero; None if it has none.
        lossy: Share of the numbers other than zero that float16 holds with fewer digits, or not at all.
        overflow: Numbers that are infinite in float16.
        nonfinite: Numbers that are NaN or infinite already.
        severities: How many findings there are, by the label of the severity.
    """

    label: str
    layer_class: str
    layers: int
    tensors: Sequence[int]
    quantiles: tuple[float, ...] | None
    others: Sequence[float]
    sparsity: float | None
    lossy: float | None
    overflow: int
    nonfinite: int
    severities: Counter[str]


def columns(model: ModelReport, seen: Mapping[int, Portrait], most: int = MOST) -> list[Column]:
    """Return the layers of a model in order, joined so that there are not more than `most`.

    Args:
        model: The model.
        seen: Its `portraits`; layers without any are left out, and so is bookkeeping.
        most: Columns that there may be.
    """
    layers: dict[str, list[int]] = {}
    for index, info in enumerate(model.tensors):
        if index in seen and not info.is_bookkeeping:
            layers.setdefault(info.layer or info.name, []).append(index)
    findings: dict[str | None, Counter[str]] = {}
    for finding in model.findings:
        findings.setdefault(finding.tensor, Counter())[finding.severity.label] += 1
    names = list(layers)
    step = max(1, ceil(len(names) / most))
    parts = (names[start : start + step] for start in range(0, len(names), step))
    return [
        _column(
            part,
            [(index, model.tensors[index], seen[index]) for name in part for index in layers[name]],
            findings,
        )
        for part in parts
    ]


def _column(
    names: Sequence[str],
    seen: Sequence[tuple[int, TensorInfo, Portrait]],
    findings: dict[str | None, Counter[str]],
) -> Column:
    weights = [one for _, info, one in seen if info.role in MATRIX_ROLES]
    others = [one.rms for _, info, one in seen if info.role not in MATRIX_ROLES]
    classes = {info.layer_class for _, info, _ in seen}
    size = sum(one.size for one in weights)
    return Column(
        label=names[0] if len(names) == 1 else f"{names[0]} \N{HORIZONTAL ELLIPSIS} {names[-1]}",
        layer_class=classes.pop() if len(classes) == 1 else "",
        layers=len(names),
        tensors=[index for index, _, _ in seen],
        quantiles=_quantiles(weights),
        others=[log2(rms) for rms in others if 0 < rms < np.inf],
        sparsity=sum(one.zeros for one in weights) / size if size else None,
        lossy=_lossy(one for _, info, one in seen if info.is_floating),
        overflow=sum(overflowing(info, one) for _, info, one in seen),
        nonfinite=sum(one.nonfinite for _, _, one in seen),
        severities=sum((findings.get(info.name, Counter()) for _, info, _ in seen), Counter[str]()),
    )


def overflowing(info: TensorInfo, one: Portrait) -> int:
    """Return how many finite numbers of a tensor are infinite in float16.

    The bin around the limit is told from the largest number alone, so a few may be missing, but never all.
    """
    if not info.is_floating or not isfinite(one.peak) or one.peak < F16_OVERFLOW:
        return 0
    found = one.histogram
    beyond = 0 if found is None else _from(found.positive, found.lowest, 16) + _from(
        found.negative, found.lowest, 16
    )  # fmt: skip
    return max(1, beyond)


def _from(counts: Sequence[int], lowest: int, exponent: int) -> int:
    """Return how many numbers lie in the bins from a power of two on."""
    return sum(counts[max(0, exponent * STEPS - lowest) :])


def _lossy(seen: Iterable[Portrait]) -> float | None:
    """Return the share of numbers other than zero that are too small for float16's full precision."""
    small = total = 0
    for one in seen:
        if one.histogram is not None:
            both = one.histogram.positive, one.histogram.negative
            total += one.histogram.nonzero
            small += one.histogram.nonzero - sum(
                _from(each, one.histogram.lowest, F16_NORMAL) for each in both
            )
    return small / total if total else None


def _quantiles(weights: Sequence[Portrait]) -> tuple[float, ...] | None:
    found = [one.histogram for one in weights if one.histogram is not None and one.histogram.positive]
    if not found:
        return None
    low = min(one.lowest for one in found)
    counts: NDArray[np.int64] = np.zeros(max(one.lowest + len(one.positive) for one in found) - low, np.int64)
    for one in found:
        start = one.lowest - low
        counts[start : start + len(one.positive)] += np.add(one.positive, one.negative)
    # A share is reached inside of a bin; its place there is taken in proportion, by logarithm.
    reached: NDArray[np.float64] = np.concatenate([np.zeros(1), np.cumsum(counts, dtype=np.float64)])
    bins: NDArray[np.float64] = np.arange(len(reached), dtype=np.float64)
    wanted: NDArray[np.float64] = np.array(QUANTILES, dtype=np.float64) * reached[-1]
    places: NDArray[np.float64] = (low + np.interp(wanted, reached, bins)) / STEPS
    largest = log2(max(one.peak for one in weights if one.peak > 0))
    places = np.minimum(places, largest)
    places[-1] = largest
    return tuple(places.tolist())
