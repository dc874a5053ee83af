"""Damages a file of a model in place and makes it whole again, without a copy of all of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from random import Random

KINDS = ("flip", "flip", "flips", "zeros", "swap", "cut")
_BLOCKS = (16, 512, 4096)

Range = tuple[int, int]
"""Begin and end of a stretch of a file, in bytes."""


@dataclass(frozen=True, slots=True)
class Patch:
    """A stretch of a file that differs now.

    Attributes:
        start: Where it begins, in bytes.
        before: What it held.
        after: What it holds; shorter if the file was cut off there.
    """

    start: int
    before: bytes
    after: bytes

    def is_within(self, ranges: Sequence[Range]) -> bool:
        """Say whether a byte that differs, or is gone, lies in one of the ranges."""
        end = self.start + len(self.before)
        for first, last in ranges:
            low, high = max(first, self.start) - self.start, min(last, end) - self.start
            if low < high and self.before[low:high] != self.after[low:high]:
                return True
        return False


def damage(path: Path, drawn: Random, structure: Sequence[Range] = ()) -> tuple[Patch, ...]:
    """Damage a file in place.

    Args:
        path: The file; one without bytes stays as it is.
        drawn: What decides where and how.
        structure: Stretches that no tensor has. Half of the damages begin in one of them, since they are
            a small part of most files, and the part that is parsed.

    Returns:
        What differs now, no byte twice; nothing if the damage happened to change nothing.
    """
    with path.open("r+b") as file:
        size = file.seek(0, 2)
        if not size:
            return ()
        patches = tuple(
            patch for patch in _drawn(file, size, drawn, structure) if patch.before != patch.after
        )
        for patch in patches:
            file.seek(patch.start)
            file.write(patch.after)
            if len(patch.after) < len(patch.before):
                file.truncate()
    return patches


def undo(path: Path, patches: Sequence[Patch]) -> None:
    """Make a file what it was before it was damaged."""
    with path.open("r+b") as file:
        for patch in patches:
            file.seek(patch.start)
            file.write(patch.before)


def _drawn(file: BinaryIO, size: int, drawn: Random, structure: Sequence[Range]) -> list[Patch]:
    kind, place = drawn.choice(KINDS), _place(size, drawn, structure)
    if kind == "cut":
        return [Patch(place, _read(file, place, size), b"")]
    if kind in {"flip", "flips"}:
        further = [_place(size, drawn, structure) for _ in range(7 if kind == "flips" else 0)]
        return [_flipped(file, one, drawn) for one in sorted({place, *further})]
    length = drawn.choice(_BLOCKS)
    if kind == "zeros":
        before = _read(file, place, min(place + length, size))
        return [Patch(place, before, bytes(len(before)))]
    one, two = sorted((place, _place(size, drawn, structure)))
    length = min(length, two - one, size - two)
    former, latter = _read(file, one, one + length), _read(file, two, two + length)
    return [Patch(one, former, latter), Patch(two, latter, former)]


def _place(size: int, drawn: Random, structure: Sequence[Range]) -> int:
    if structure and drawn.random() < 0.5:
        return drawn.randrange(*drawn.choice(structure))
    return drawn.randrange(size)


def _flipped(file: BinaryIO, place: int, drawn: Random) -> Patch:
    before = _read(file, place, place + 1)
    return Patch(place, before, bytes([before[0] ^ 1 << drawn.randrange(8)]))


def _read(file: BinaryIO, start: int, end: int) -> bytes:
    file.seek(start)
    return file.read(end - start)
