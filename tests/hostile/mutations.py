"""Damages copies of real models and audits them: ``python -m tests.hostile.mutations FOLDER [--count N]``.

Flipped bits, zeroed and swapped blocks, truncations. Printed is, of each model, how often damage was refused,
found, or not noticed; and how often damage of bytes under a checksum was not noticed, which must never be.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import FrameType
from typing import TYPE_CHECKING

import weightaudit
from tests.hostile.damaging import Range, damage, undo
from weightaudit.catalog import Extent, Flaw, Tiles
from weightaudit.checkpoint import open_checkpoint
from weightaudit.discover import discover
from weightaudit.errors import RuleError, WeightauditError
from weightaudit.formats.sstable import is_table
from weightaudit.formats.zip_archive import list_members

if TYPE_CHECKING:
    from collections.abc import Iterator

    from weightaudit.checkpoint import Checkpoint
    from weightaudit.source import LocalFile

_LONGEST = 5.0
"""Seconds of processor time for one audit; more counts as a hang."""

_FOOTER = 48
"""Bytes at the end of a table that are under no checksum: they say where its blocks are."""

_UNDAMAGED = frozenset({Flaw.ALIAS, Flaw.REACH})
"""What is said of models whose bytes are as they were written, too."""

_ZIP = b"PK\3\4"


class HangError(BaseException):
    """An audit took too long. No handler of errors in an audit may take it for one of its own."""


@dataclass(slots=True)
class Tally:
    """What came of the damages of one model, or of all.

    Attributes:
        counts: How often each outcome was seen.
        faults: A line for each outcome that must not be.
        longest: Seconds of processor time of the longest audit.
    """

    counts: Counter[str] = field(default_factory=Counter[str])
    faults: list[str] = field(default_factory=list[str])
    longest: float = 0.0

    def add(self, other: Tally) -> None:
        """Take in what came of another model."""
        self.counts += other.counts
        self.faults += other.faults
        self.longest = max(self.longest, other.longest)


Said = tuple[object, ...]
"""What an audit says of the container: why it failed, what it skipped, and which damage it saw."""


def protected(checkpoint: Checkpoint) -> dict[str, list[Range]]:
    """Return the ranges of bytes that are under a checksum, by file."""
    files = checkpoint.files
    found: dict[str, list[Range]] = {name: list(_sealed(files[files.open(name)])) for name in files.names}

    def add(extent: Extent) -> None:
        label = files[extent.file].label
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
    return found


def _sealed(file: LocalFile) -> Iterator[Range]:
    """Yield what a container has under checksums: a table but for its end, the members of an archive."""
    if is_table(file):
        yield 0, file.size - _FOOTER
    elif file.size > len(_ZIP) and file.read(0, len(_ZIP)) == _ZIP:
        for member in list_members(file).values():
            yield member.offset, member.offset + member.stored


def structure(checkpoint: Checkpoint) -> dict[str, list[Range]]:
    """Return the ranges of bytes that belong to no tensor, by file."""
    files = checkpoint.files
    taken: dict[str, list[Range]] = {}
    for info in checkpoint:
        storage = checkpoint.entry(info).storage
        tiles = [tile.extent for tile in storage.tiles] if isinstance(storage, Tiles) else []
        for extent in [storage] if isinstance(storage, Extent) else tiles:
            stretch = extent.offset, extent.offset + extent.nbytes
            taken.setdefault(files[extent.file].label, []).append(stretch)
    return {name: list(_between(taken.get(name, []), files[files.open(name)].size)) for name in files.names}


def _between(taken: list[Range], size: int) -> Iterator[Range]:
    end = 0
    for start, behind in [*sorted(taken), (size, size)]:
        if start > end:
            yield end, start
        end = max(end, behind)


def outcome(path: Path) -> tuple[str, Said]:
    """Audit a model; return what came of it in one word, and what was said of the container.

    Raises:
        RuleError: A rule crashed.
        HangError: It took too long.
    """
    signal.setitimer(signal.ITIMER_VIRTUAL, _LONGEST)
    try:
        (model,) = weightaudit.audit(path).models
    except RuleError:
        raise
    except WeightauditError as error:
        return "refused", (str(error),)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    said = (model.failure, *model.skipped, *(one for one in model.defects if one.flaw not in _UNDAMAGED))
    if any("tell its author" in str(one) for one in said):
        raise RuleError(str(said))
    if not model.is_complete:
        return "refused", said
    return ("found" if model.findings else "unnoticed"), said


def mutate(path: Path, count: int, seed: int, seconds: float = float("inf")) -> Tally:
    """Damage a model again and again, up to a number of times and for some seconds."""
    drawn = Random(seed)  # noqa: S311 - damage, not secrets
    with open_checkpoint(path) as checkpoint:
        ranges, places, root = protected(checkpoint), structure(checkpoint), checkpoint.files.root
    tally = Tally()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        shutil.copytree(root, copy)
        for file in (copy, *copy.rglob("*")):
            file.chmod(0o700)
        target = copy / path.resolve().relative_to(root)
        _, sound = outcome(target)
        end = time.monotonic() + seconds
        for number in range(count):
            if time.monotonic() > end:
                break
            name = drawn.choice(sorted(places))
            patches = damage(copy / name, drawn, places[name])
            under = any(patch.is_within(ranges.get(name, ())) for patch in patches)
            where = f"{name}, damage {number} at {[one.start for one in patches]}"
            _try(target, where, sound if under else None, tally)
            undo(copy / name, patches)
    return tally


def _try(target: Path, where: str, sound: Said | None, tally: Tally) -> None:
    """Audit a damaged model; `sound` is what was said of it before, if that may not be said again."""
    started = time.process_time()
    try:
        word, said = outcome(target)
        tally.counts[word] += 1
        if said == sound:
            tally.faults.append(f"{where}: under a checksum, silent")
    except (Exception, HangError) as error:  # noqa: BLE001 - whatever escapes is what is looked for
        tally.counts["failed"] += 1
        tally.faults.append(f"{where}: {type(error).__name__}: {error}")
    tally.counts["under a checksum"] += sound is not None
    tally.longest = max(tally.longest, time.process_time() - started)


def _small(folder: Path, most: int) -> Iterator[Path]:
    """Yield the models below a folder that can be opened and are at most so large."""
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
    parser.add_argument("--seconds", type=float, default=600.0, help="time for each model at most")
    parser.add_argument("--largest", type=int, default=16 << 20, help="bytes of a model at most")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    signal.signal(signal.SIGVTALRM, _hang)
    total, models = Tally(), 0
    for path in _small(given.folder, given.largest):
        tally = mutate(path, given.count, given.seed, given.seconds)
        total.add(tally)
        models += 1
        print(f"{path.relative_to(given.folder)!s:<60} {dict(tally.counts)}", flush=True)  # noqa: T201 - a table
        for fault in tally.faults[:5]:
            print(f"    FAULT: {fault}", flush=True)  # noqa: T201 - a table
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(  # noqa: T201 - a table
        f"{models} models, {dict(total.counts)}, {len(total.faults)} faults, "
        f"longest {total.longest:.2f} s, peak {peak} MiB"
    )
    return 1 if total.faults else 0


if __name__ == "__main__":
    sys.exit(main())
