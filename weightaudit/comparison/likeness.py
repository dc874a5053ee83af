"""Pairs tensors whose numbers resemble each other: layers that were renamed, and then trained on.

What was trained on still has large numbers where it had large ones, and small ones where it had small
ones; two tensors that were initialized apart have nothing in common. So no order and no name is needed,
and what was exchanged or initialized again finds no partner, as it should.
"""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from math import sqrt, tanh
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.comparison.pairing import agree
from weightaudit.comparison.paths import leaf, owner
from weightaudit.comparison.result import Match
from weightaudit.dtypes import components
from weightaudit.engine.decoding import PlainDecoder
from weightaudit.engine.reading import read_pieces
from weightaudit.engine.threads import thread_count
from weightaudit.errors import ReadError
from weightaudit.tensor import MATRIX_ROLES, Role

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from weightaudit.checkpoint import Checkpoint
    from weightaudit.comparison.pairing import Pairing
    from weightaudit.tensor import TensorInfo

    Wide = NDArray[np.float64]
    Unit = tuple[TensorInfo, ...]

_SAMPLE = 1024
"""Numbers of a tensor that are looked at, from its middle: unrelated ones correlate by 0.03 of these."""

_LEAST = 0.5
"""Correlation from which on two tensors may be one; the cosine below which drift (WA601) is told."""

_DEVIATIONS = 5.0
"""How many standard deviations of Fisher's z a correlation of few numbers must be above nothing."""

_NUMBERS = 16
"""Fewest numbers that tell anything: the ranks of a few agree by chance."""

_CLEARER = 4.0
"""How many times nearer a partner must be than the next candidate, by 1 - correlation."""

_MOST = 256
"""Most tensors of a kind: each is compared with each, and a hostile file may have thousands."""


def matrices(infos: Iterable[TensorInfo]) -> list[Unit]:
    """Return kernels, embeddings and matrices of unknown role, each alone."""
    return [
        (info,)
        for info in infos
        if info.role in MATRIX_ROLES or (info.role is Role.UNKNOWN and len(info.shape) > 1)
    ]


def layers(infos: Iterable[TensorInfo]) -> list[Unit]:
    """Return layers, such as normalizations, each with all that is left of it."""
    found: dict[str, list[TensorInfo]] = defaultdict(list)
    for info in infos:
        found[owner(info)[1]].append(info)
    return [
        tuple(sorted(held, key=lambda info: (info.role, info.shape, leaf(info))))
        for layer, held in found.items()
        if layer
    ]


def single_tensors(infos: Iterable[TensorInfo]) -> list[Unit]:
    """Return tensors, each alone: in some exports all are of one layer, the model."""
    return [(info,) for info in infos]


def pair_alike(
    pairing: Pairing,
    models: tuple[Checkpoint, Checkpoint],
    units: Callable[[Iterable[TensorInfo]], list[Unit]],
    workers: int | None = None,
) -> None:
    """Pair what alone resembles each other.

    Args:
        pairing: What has been paired, and what is left.
        models: Both.
        units: Says which tensors are looked at together, or not at all.
        workers: Threads; by default one per usable CPU.
    """
    kinds: dict[Hashable, tuple[list[Unit], list[Unit]]] = defaultdict(lambda: ([], []))
    for number, side in enumerate((pairing.first, pairing.second)):
        for unit in units(info for info in side.values() if _tells(info)):
            kinds[tuple(info.shape for info in unit)][number].append(unit)
    found: list[tuple[Unit, Unit]] = []
    with ThreadPoolExecutor(thread_count(workers)) as pool:
        for both in kinds.values():
            if not 0 < min(map(len, both)) <= max(map(len, both)) <= _MOST:
                continue
            sketches = [
                list(pool.map(partial(_sketch, model), side))
                for model, side in zip(models, both, strict=True)
            ]
            found += ((both[0][here], both[1][there]) for here, there in _nearest(*sketches))
    for one, other in _consistent(pairing, found):
        for here, there in zip(one, other, strict=True):
            pairing.take(here, there, Match.LIKENESS)


def _tells(info: TensorInfo) -> bool:
    return not info.is_bookkeeping and info.is_numeric and components(info.dtype) == 1


def _sketch(model: Checkpoint, unit: Unit) -> Wide:
    """Return the ranks of some numbers of each tensor, each tensor's with mean 0 and variance 1.

    Ranks, because one large number would decide a correlation of the numbers themselves. Tensors of
    one value, and those that cannot be read, are zeros: they resemble nothing.
    """
    return np.concatenate([_ranks(_numbers(model, info)) for info in unit])


def _numbers(model: Checkpoint, info: TensorInfo) -> NDArray[Any]:
    entry = model.entry(info)
    size = min(info.size, _SAMPLE)
    numbers = np.zeros(size)
    try:
        for first, raw in read_pieces(model.files, entry, start := (info.size - size) // 2, size):
            for place, values in PlainDecoder(info, entry).blocks(first, raw, _SAMPLE):
                numbers[place - start : place - start + values.size] = np.nan_to_num(values)
    except ReadError:
        # Whoever reads the whole of it says why not.
        return np.zeros(size)
    return numbers


def _ranks(numbers: NDArray[Any]) -> Wide:
    """Return ranks with mean 0 and variance 1, equal ones for equal numbers: zeros must not count up."""
    _, places, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    ranks: Wide = (np.cumsum(counts) - (counts - 1) / 2)[places]
    ranks -= ranks.mean() if ranks.size else 0.0
    deviation = sqrt(float(np.einsum("i,i->", ranks, ranks)) / max(1, ranks.size))
    return ranks / deviation if deviation else ranks


def _nearest(first: Sequence[Wide], second: Sequence[Wide]) -> Iterator[tuple[int, int]]:
    """Yield indices of sketches that resemble each other, and no other one nearly as much.

    Of n unrelated numbers, the artanh of the correlation has a standard deviation of 1 / sqrt(n - 3)
    (R. A. Fisher, 1921; of ranks it is 3 percent more).
    """
    one, other = np.stack(first), np.stack(second)
    counts = [np.count_nonzero(sketches, axis=1) for sketches in (one, other)]
    scale = np.sqrt(np.outer(*(np.maximum(1, count) for count in counts)))
    # Not a product of matrices by BLAS, which starts threads of its own.
    likeness = np.einsum("ik,jk->ij", one, other) / scale
    for here, row in enumerate(likeness):
        there = int(row.argmax())
        numbers = int(min(counts[0][here], counts[1][there]))
        if numbers < _NUMBERS or row[there] < max(_LEAST, tanh(_DEVIATIONS / sqrt(numbers - 3))):
            continue
        rivals = np.concatenate([np.delete(row, there), np.delete(likeness[:, there], here)])
        if not rivals.size or _CLEARER * (1 - row[there]) < 1 - rivals.max():
            yield here, there


def _consistent(pairing: Pairing, found: Sequence[tuple[Unit, Unit]]) -> Iterator[tuple[Unit, Unit]]:
    """Yield pairs whose tensors can be one, and whose layers are not both joined with a third as well.

    One layer may be joined with several: where no file names the layers, the model stands for all.
    """
    owners = [(owner(one[0])[1], owner(other[0])[1]) for one, other in found]
    known = [*owners, *((owner(pair.first)[1], owner(pair.second)[1]) for pair in pairing.pairs)]
    partners: tuple[dict[str, set[str]], ...] = (defaultdict(set), defaultdict(set))
    for here, there in known:
        partners[0][here].add(there)
        partners[1][there].add(here)
    for (one, other), (here, there) in zip(found, owners, strict=True):
        if min(len(partners[0][here]), len(partners[1][there])) == 1 and all(map(agree, one, other)):
            yield one, other
