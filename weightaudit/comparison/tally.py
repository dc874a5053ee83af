"""What is counted and added up of two tensors, block by block, and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite, nan, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from weightaudit.comparison.result import Difference

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from weightaudit.comparison.channels import ChannelTally
    from weightaudit.comparison.steps import Part
    from weightaudit.statistics.block import Scratch

    Wide = NDArray[np.float64]
    Mask = NDArray[np.bool_]

_ADDED = (
    "size", "elements", "squares_before", "squares_after", "squares_between", "products", "sign_flips",
    "zeros_before", "zeros_after", "nonfinite_before", "nonfinite_after", "nonfinite_new", "nonfinite_gone",
    "nonfinite_other",
)  # fmt: skip


@dataclass(slots=True)
class Tally:
    """Counts and sums over a stretch of two tensors; `Difference` says what each means.

    Sums of squares and of products are over numbers that are finite in both, in float64: their
    relative error is at most the count of numbers times 1.1e-16.
    """

    size: int = 0
    elements: int = 0
    squares_before: float = 0.0
    squares_after: float = 0.0
    squares_between: float = 0.0
    products: float = 0.0
    largest: float = 0.0
    place: int = -1
    before: float = 0.0
    after: float = 0.0
    sign_flips: int = 0
    zeros_before: int = 0
    zeros_after: int = 0
    nonfinite_before: int = 0
    nonfinite_after: int = 0
    nonfinite_new: int = 0
    nonfinite_gone: int = 0
    nonfinite_other: int = 0
    channels: ChannelTally | None = None

    def add(self, one: Part, other: Part, scratch: Scratch) -> None:
        """Take in the next numbers of both tensors.

        Args:
            one: Those of the first.
            other: The same ones of the second.
            scratch: Memory for what is computed on the way.
        """
        before, after = _wide(one, scratch, "before"), _wide(other, scratch, "after")
        differ = _differ(one, other)
        between = np.subtract(after, before, out=scratch.take("between", before.size, np.float64))
        self.size += before.size
        self.elements += _count(differ)
        self.zeros_before += _count(one.values == 0)
        self.zeros_after += _count(other.values == 0)
        self.sign_flips += _sign_flips(one.values, other.values)
        squares = _dot(between, between)
        places = None
        if not isfinite(squares):
            self._count_nonfinite(before, after, differ)
            finite = np.isfinite(before) & np.isfinite(after)
            self._add_channels((before, after, between), one.start, scratch, finite)
            places = np.flatnonzero(finite)
            before, after, between = before[places], after[places], between[places]
            squares = _dot(between, between)
        else:
            self._add_channels((before, after, between), one.start, scratch)
        self.squares_between += squares
        if self.channels is None:
            self.squares_before += _dot(before, before)
            self.squares_after += _dot(after, after)
        self.products += _dot(before, after)
        self._find_largest(before, after, between, one.start, places)

    def merge(self, other: Tally) -> None:
        """Take in the tally of the stretch that follows this one."""
        for name in _ADDED:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        if self.channels is not None and other.channels is not None:
            self.channels.merge(other.channels)
        if other.largest > self.largest:
            self.largest, self.place = other.largest, other.place
            self.before, self.after = other.before, other.after

    def finish(self, shape: tuple[int, ...], parts: int) -> Difference:
        """Return the result.

        Args:
            shape: Shape of both tensors as they are decoded.
            parts: Numbers in one element: 2 for complex types, else 1.
        """
        moved = self.place >= 0
        place = np.unravel_index(self.place // parts, shape) if moved else ()
        squares = self.squares_before, self.squares_after
        if self.channels is not None:
            # The sums of the channels are those of the whole, and one look at the numbers is less.
            squares = self.channels.squares()
        norm_before, norm_after = map(sqrt, squares)
        norms = norm_before * norm_after
        return Difference(
            size=self.size,
            elements=self.elements,
            relative=_ratio(sqrt(self.squares_between), norm_before),
            largest=self.largest,
            place=tuple(map(int, place)) if moved else None,
            before=self.before if moved else None,
            after=self.after if moved else None,
            sign_flips=self.sign_flips,
            zeros_before=self.zeros_before,
            zeros_after=self.zeros_after,
            nonfinite_before=self.nonfinite_before,
            nonfinite_after=self.nonfinite_after,
            nonfinite_new=self.nonfinite_new,
            nonfinite_gone=self.nonfinite_gone,
            nonfinite_other=self.nonfinite_other,
            cosine=_within_one(self.products / norms) if norms else nan,
            norm_before=norm_before,
            norm_after=norm_after,
            channels=None if self.channels is None else self.channels.finish(),
        )

    def _add_channels(
        self, arrays: tuple[Wide, Wide, Wide], start: int, scratch: Scratch, finite: Mask | None = None
    ) -> None:
        if self.channels is None:
            return
        if finite is not None:
            before, after, between = (np.where(finite, values, 0.0) for values in arrays)
            arrays = before, after, between
        self.channels.add(arrays, start, scratch)

    def _count_nonfinite(self, before: Wide, after: Wide, differ: Mask) -> None:
        bad_before, bad_after = ~np.isfinite(before), ~np.isfinite(after)
        self.nonfinite_before += _count(bad_before)
        self.nonfinite_after += _count(bad_after)
        self.nonfinite_new += _count(bad_after & ~bad_before)
        self.nonfinite_gone += _count(bad_before & ~bad_after)
        self.nonfinite_other += _count(bad_before & bad_after & differ)

    def _find_largest(
        self, before: Wide, after: Wide, between: Wide, start: int, places: NDArray[np.intp] | None
    ) -> None:
        if not between.size:
            return
        largest = max(float(between.max()), -float(between.min()))
        if largest > self.largest:
            index = int(np.abs(between).argmax())
            self.largest = largest
            self.place = start + (index if places is None else int(places[index]))
            self.before, self.after = float(before[index]), float(after[index])


def _wide(part: Part, scratch: Scratch, name: str) -> Wide:
    wide: Wide = scratch.take(name, part.values.size, np.float64)
    np.copyto(wide, part.values)
    return wide


def _differ(one: Part, other: Part) -> Mask:
    if one.bits is None or other.bits is None:
        before, after = one.values, other.values
        same: Mask = (before == after) | (np.isnan(before) & np.isnan(after))
        return ~same
    return np.not_equal(one.bits, other.bits)


def _sign_flips(before: NDArray[Any], after: NDArray[Any]) -> int:
    opposite = (before < 0) != (after < 0)
    if not opposite.any():
        return 0
    # A zero or a NaN is neither below nor above zero.
    return _count(opposite & ((before > 0) | (after > 0)) & ((before < 0) | (after < 0)))


def _dot(one: Wide, other: Wide) -> float:
    # Not np.dot: BLAS starts threads of its own, which fight with ours.
    return float(np.einsum("i,i->", one, other))


def _count(mask: Mask) -> int:
    return int(np.count_nonzero(mask))


def _ratio(change: float, norm: float) -> float:
    if norm:
        return change / norm
    return inf if change else 0.0


def _within_one(cosine: float) -> float:
    return max(-1.0, min(1.0, cosine)) if isfinite(cosine) else nan
