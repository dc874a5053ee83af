"""Projects tensors block by block, and keeps account of what that changes."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf, isfinite, prod, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.change import Change, Figures
from weightaudit.digests import little_endian
from weightaudit.dtypes import decode, itemsize
from weightaudit.engine.reading import read_pieces
from weightaudit.errors import RepairError, WeightauditError
from weightaudit.projections.grid import bits, encode
from weightaudit.statistics import Block, Extremes, Moments, NonFinite, Statistic, Zeros
from weightaudit.statistics.block import Scratch

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from numpy.typing import NDArray

    from weightaudit.catalog import Entry
    from weightaudit.checkpoint import Checkpoint
    from weightaudit.projections.base import Projection
    from weightaudit.repair.projectors import Projector
    from weightaudit.repair.selection import Assignment

BLOCK_BYTES = 8 << 20
"""Stored bytes that are projected at once, where a projection lets a tensor be cut into rows."""

STEP = 1 << 18
"""Elements that are compared at once, so that no mask or difference is as large as a tensor."""

_FIGURES: tuple[Statistic[Any], ...] = (Moments(), Extremes(), Zeros(), NonFinite())

ROUNDS = 4
"""How often projections that undo each other's work are repeated before it is an error."""


@dataclass(frozen=True, slots=True)
class Projected:
    """A stretch of a tensor, before and after its projections.

    Attributes:
        assignment: What is projected.
        first: Index of its first element.
        raw: Its new bytes, in the stored byte order.
        canonical: The same in little-endian order, as digests take them.
        before: Its values as they are.
        after: Its values as they will be.
    """

    assignment: Assignment
    first: int
    raw: NDArray[np.uint8]
    canonical: NDArray[np.uint8]
    before: NDArray[Any]
    after: NDArray[Any]


def batches(assignments: Sequence[Assignment], projector: Projector) -> Iterator[tuple[Assignment, ...]]:
    """Put assignments together that a projector can take in one call: of one shape, type and treatment."""
    groups: dict[Any, list[Assignment]] = {}
    for assignment in assignments:
        kind = assignment.info.shape, assignment.info.dtype, assignment.projections
        groups.setdefault(kind, []).append(assignment)
    for group in groups.values():
        many = max(1, projector.batch_bytes // max(1, group[0].info.nbytes))
        for first in range(0, len(group), many):
            yield tuple(group[first : first + many])


def project(checkpoint: Checkpoint, batch: Sequence[Assignment], projector: Projector) -> Iterator[Projected]:
    """Yield what becomes of every assignment of a batch, stretch by stretch and in row-major order.

    Args:
        checkpoint: The model.
        batch: Targets of one shape, type and treatment.
        projector: Who computes.

    Raises:
        RepairError: The projections do not come to rest, or do not fit the tensor's shape.
        ReadError: A tensor cannot be read.
    """
    entries = [checkpoint.entry(assignment.info) for assignment in batch]
    for first, shape in _stretches(batch[0]):
        old = [_read(checkpoint, entry, first, prod(shape)) for entry in entries]
        before = [_decode(raw, entry).reshape(shape) for raw, entry in zip(old, entries, strict=True)]
        after = _settle(batch, before, projector)
        for at, assignment in enumerate(batch):
            raw = _merge(old[at], before[at], after[at], entries[at])
            canonical = little_endian(raw, entries[at])
            yield Projected(assignment, first, raw, canonical, before[at], after[at])


class Ledger:
    """Adds up what happens to one tensor, stretch by stretch."""

    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self._folds = [[one.start(assignment.info) for one in _FIGURES] for _ in range(2)]
        self._scratch = Scratch()
        self._digest = hashlib.sha256()
        self._elements = 0
        self._squares = 0.0
        self._largest = 0.0

    def add(self, piece: Projected) -> None:
        """Take in a stretch."""
        self._digest.update(piece.canonical.data)
        before, after = piece.before.ravel(), piece.after.ravel()
        for low in range(0, before.size, STEP):
            self._add(piece.first + low, before[low : low + STEP], after[low : low + STEP])

    def _add(self, first: int, before: NDArray[Any], after: NDArray[Any]) -> None:
        for values, folds in zip((before, after), self._folds, strict=True):
            block = Block(values, first, self._scratch)
            for fold in folds:
                fold.update(block)
        count = int(np.count_nonzero(bits(before) != bits(after)))
        if not count:
            return
        self._elements += count
        # No gathering of what changed: masks are many times slower than arithmetic on all of it.
        with np.errstate(invalid="ignore", over="ignore"):
            difference = np.subtract(after, before, dtype=np.float64)
            squares = float(np.einsum("i,i->", difference, difference))
            if not isfinite(squares):
                np.copyto(difference, 0.0, where=~np.isfinite(difference))
                squares = float(np.einsum("i,i->", difference, difference))
        self._squares += squares
        self._largest = max(self._largest, float(difference.max()), -float(difference.min()))

    def change(self) -> Change:
        """Return the account."""
        before, after = (_figures(folds) for folds in self._folds)
        return Change(
            tensor=self._assignment.info.name,
            projections=tuple(str(projection) for projection in self._assignment.projections),
            rules=self._assignment.rules,
            elements=self._elements,
            size=self._assignment.info.size,
            relative=_relative(sqrt(self._squares), before.l2),
            largest=self._largest,
            before=before,
            after=after,
            digest=self._digest.hexdigest(),
        )


def _relative(moved: float, norm: float) -> float:
    """Return how far a tensor moved as a share of its norm; Inf where the norm is none to compare with."""
    if not moved:
        return 0.0
    return moved / norm if 0 < norm < inf else inf


def _figures(folds: Sequence[Any]) -> Figures:
    moments, extremes, zeros, nonfinite = (fold.finish() for fold in folds)
    return Figures(moments.l2, extremes.minimum, extremes.maximum, zeros, nonfinite.total)


def _stretches(assignment: Assignment) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Yield (first element, shape) of the pieces that may be projected apart."""
    info = assignment.info
    if not info.size:
        return
    with _explained(assignment):
        splits = bool(info.shape) and all(one.splits(info.shape) for one in assignment.projections)
    if not splits:
        yield 0, info.shape
        return
    row = info.size // info.shape[0]
    rows = max(1, BLOCK_BYTES // (row * (info.nbytes // info.size)))
    for low in range(0, info.shape[0], rows):
        yield low * row, (min(rows, info.shape[0] - low), *info.shape[1:])


def _read(checkpoint: Checkpoint, entry: Entry, first: int, count: int) -> NDArray[np.uint8]:
    width = itemsize(entry.dtype)
    stretch = np.empty(count * width, np.uint8)
    for start, raw in read_pieces(checkpoint.files, entry, first, count):
        low = (start - first) * width
        stretch[low : low + raw.size] = raw
    return stretch


def _decode(raw: NDArray[np.uint8], entry: Entry) -> NDArray[Any]:
    values = decode(raw, entry.dtype, big_endian=entry.big_endian)
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _settle(
    batch: Sequence[Assignment], blocks: Sequence[NDArray[Any]], projector: Projector
) -> list[NDArray[Any]]:
    """Apply all projections in order, and those that an other one undid again, until all comply."""
    info, projections = batch[0].info, batch[0].projections
    current = list(blocks)
    lasting = [projection for projection in projections if not projection.is_step]
    with _explained(batch[0]):
        for round_ in range(ROUNDS):
            entering = current
            for projection in lasting if round_ else projections:
                current = projector.project(projection, current, info.dtype)
                _require_alike(projection, blocks, current)
            # Where none returned anything new, they have just said that all comply.
            if all(new is old for new, old in zip(current, entering, strict=True)) or all(
                one.complies(block, dtype=info.dtype) for one in lasting for block in current
            ):
                return current
    names = ", ".join(map(str, lasting))
    raise RepairError(f"{info.name} does not come to rest in {ROUNDS} rounds of {names}; leave one out.")


@contextmanager
def _explained(assignment: Assignment) -> Generator[None]:
    """Say of which tensor it is that a projection does not fit it, or crashes as one of a plugin may.

    Raises:
        RepairError: It does.
    """
    name, names = assignment.info.name, ", ".join(map(str, assignment.projections))
    try:
        yield
    except ValueError as error:
        shape = assignment.info.shape
        raise RepairError(f"{name} of shape {shape} cannot be projected with {names}: {error}.") from error
    except (WeightauditError, OSError, MemoryError):
        raise
    except Exception as error:
        raise RepairError(f"{name} cannot be projected: {names} crashed ({error!r}).") from error


def _require_alike(
    projection: Projection, blocks: Sequence[NDArray[Any]], projected: Sequence[NDArray[Any]]
) -> None:
    """Raise ValueError if a projection gives arrays of another shape or type than it got."""
    for before, after in zip(blocks, projected, strict=True):
        if (after.shape, after.dtype) != (before.shape, before.dtype):
            raise ValueError(
                f"{projection.name} makes {after.dtype} of shape {after.shape} of {before.dtype}, "
                "and must keep shape and type"
            )


def _merge(
    raw: NDArray[np.uint8], before: NDArray[Any], after: NDArray[Any], entry: Entry
) -> NDArray[np.uint8]:
    """Return the stored bytes with those of the changed elements exchanged, and no others."""
    if after is before:
        return raw
    if np.may_share_memory(raw, before):  # stored as numpy has it, so every bit of it is there
        return np.ascontiguousarray(after).reshape(-1).view(np.uint8)
    size = itemsize(entry.dtype)
    merged = raw.copy()
    old, new = before.ravel(), after.ravel()
    for low in range(0, old.size, STEP):
        part = new[low : low + STEP]
        encoded = encode(part, entry.dtype, big_endian=entry.big_endian).view(f"u{size}")
        changed = bits(old[low : low + STEP]) != bits(part)
        # What did not change keeps its stored bits: those of a NaN may not survive decoding.
        np.copyto(merged.view(f"u{size}")[low : low + STEP], encoded, where=changed)
    return merged
