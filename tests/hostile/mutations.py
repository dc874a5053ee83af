"""Damages copies of real models and audits them: ``python -m tests.hostile.mutations FOLDER [--count N]``.

Flipped bits, zeroed and swapped blocks, truncations. Printed is, of each model, how often damage was refused,
found, or not noticed; and how often damage of bytes under a checksum was not noticed, which must never be.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import FrameType
from typing import TYPE_CHECKING

import weightaudit
from weightaudit.catalog import Extent, Flaw, Tiles
from weightaudit.checkpoint import open_checkpoint
from weightaudit.discover import discover
from weightaudit.errors import WeightauditError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from weightaudit.checkpoint import Checkpoint

_LONGEST = 5.0
"""Seconds of processor time for one audit; more counts as a hang."""

_FOOTER = 48
"""Bytes at the end of a table that are under no checksum: they say where its blocks are."""


class HangError(Exception):
    """An audit took too long."""


@dataclass(frozen=True, slots=True)
class Damage:
    """What was done to a file: bytes from `start` to `end` differ, or are gone."""

    start: int
    end: int


def damage(path: Path, drawn: Random) -> Damage:
    """Damage a file in place."""
    raw = bytearray(path.read_bytes())
    before = bytes(raw)
    kind = drawn.choice(("flip", "flip", "flips", "zeros", "swap", "cut"))
    place = drawn.randrange(len(raw))
    if kind == "cut":
        path.write_bytes(raw[:place])
        return Damage(place, len(raw))
    length = drawn.choice((16, 512, 4096))
    if kind == "zeros":
        raw[place : place + length] = bytes(len(raw[place : place + length]))
    elif kind == "swap":
        other = drawn.randrange(len(raw))
        one, two = sorted((place, other))
        length = min(length, two - one, len(raw) - two)
        raw[one : one + length], raw[two : two + length] = raw[two : two + length], raw[one : one + length]
    else:
        for _ in range(1 if kind == "flip" else 8):
            raw[place] ^= 1 << drawn.randrange(8)
            place = drawn.randrange(len(raw))
    path.write_bytes(raw)
    changed = [at for at, (old, new) in enumerate(zip(before, raw, strict=True)) if old != new]
    return Damage(changed[0], changed[-1] + 1) if changed else Damage(0, 0)


def protected(checkpoint: Checkpoint) -> dict[str, list[tuple[int, int]]]:
    """Return the ranges of bytes that are under a checksum, by file."""
    found: dict[str, list[tuple[int, int]]] = {}

    def add(extent: Extent) -> None:
        label = checkpoint.files[extent.file].label
        found.setdefault(label, []).append((extent.offset, extent.offset + extent.nbytes))

    for region in checkpoint.regions:
        add(region.extent)
    for info in checkpoint:
        entry = checkpoint.entry(info)
        if entry.checksum and isinstance(entry.storage, Extent):
            add(entry.storage)
        elif isinstance(entry.storage, Tiles):
            for tile in entry.storage.tiles:
                if "fletcher32" in tile.filters:
                    add(tile.extent)
    for name in checkpoint.files.names:
        if name.endswith(".index"):
            file = checkpoint.files[checkpoint.files.open(name)]
            found[name] = [(0, file.size - _FOOTER)]
    return found


def _is_under(ranges: list[tuple[int, int]], path: Path, before: bytes) -> bool:
    """Say whether a byte that differs lies in a range, or a range is cut off."""
    after = path.read_bytes()
    return any(before[start:end] != after[start:end] for start, end in ranges)


def outcome(path: Path) -> tuple[str, bool]:
    """Audit a model; return what came of it in one word, and whether damage of the container was told."""
    signal.setitimer(signal.ITIMER_VIRTUAL, _LONGEST)
    try:
        report = weightaudit.audit(path)
    except WeightauditError:
        return "refused", True
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    (model,) = report.models
    told = not model.is_complete or any(defect.flaw is not Flaw.ALIAS for defect in model.defects)
    if not model.is_complete:
        return "refused", told
    return ("found" if model.findings else "unnoticed"), told


def mutate(path: Path, count: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Damage a model again and again; return how often what came of it, and what must not be."""
    drawn = Random(seed)  # noqa: S311 - damage, not secrets
    with open_checkpoint(path) as checkpoint:
        ranges, root = protected(checkpoint), checkpoint.files.root
        names = checkpoint.files.names
    counts: Counter[str] = Counter()
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(root, copy)
        for file in copy.rglob("*"):
            file.chmod(0o700)
        target = copy / path.resolve().relative_to(root)
        for number in range(count):
            name = drawn.choice(names)
            before = (copy / name).read_bytes()
            if not before:
                continue
            done = damage(copy / name, drawn)
            under = _is_under(ranges.get(name, []), copy / name, before)
            try:
                word, told = outcome(target)
            except Exception as error:  # noqa: BLE001 - whatever escapes is what is looked for
                word, told = "failed", True
                faults.append(f"{name}, damage {number} at {done.start}: {type(error).__name__}: {error}")
            counts[word] += 1
            counts["under a checksum"] += under
            if under and not told:
                faults.append(
                    f"{name}, damage {number} at {done.start} to {done.end}: under a checksum, silent"
                )
            (copy / name).write_bytes(before)
    return counts, faults


def _small(folder: Path, most: int) -> Iterator[Path]:
    """Yield the models below a folder that are at most so large."""
    for target in discover([str(folder)]):
        try:
            with open_checkpoint(target.path) as checkpoint:
                files = checkpoint.files
                if sum(files[files.open(name)].size for name in files.names) <= most:
                    yield target.path
        except WeightauditError:
            continue


def _hang(_number: int, _frame: FrameType | None) -> None:
    raise HangError


def main() -> int:
    """Print a line for each model, and totals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=200, help="damages of each model")
    parser.add_argument("--largest", type=int, default=1_000_000, help="bytes of a model at most")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    signal.signal(signal.SIGVTALRM, _hang)
    total: Counter[str] = Counter()
    faults = 0
    for path in _small(given.folder, given.largest):
        counts, wrong = mutate(path, given.count, given.seed)
        total += counts
        faults += len(wrong)
        print(f"{path.relative_to(given.folder)!s:<60} {dict(counts)}", flush=True)  # noqa: T201 - a table
        for fault in wrong[:5]:
            print(f"    FAULT: {fault}")  # noqa: T201 - a table
    print(f"{dict(total)}, {faults} faults")  # noqa: T201 - a table
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
