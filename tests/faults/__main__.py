"""Lets one thing after the other go wrong in commands that write, and counts what came of it.

`python -m tests.faults` takes some moments of each command on each container, `--all` every one::

    python -m tests.faults --all --ways kill            # killed at each system call that changes a file
    python -m tests.faults --scenarios 'repair*' --ways space,error,terminate

It ends with 1 if a promise was broken; see `harness` for what is promised.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from tests.faults.commands import MATRIX, SIGNATURES
from tests.faults.harness import ForkServer, Trial
from tests.faults.ways import WAYS

_REST = ("check to a page", "write a baseline", "keep in the cache", *SIGNATURES)
_FEW = 4


def main() -> int:
    """Run what was asked for, print a line for each scenario and way, and return the exit code."""
    asked = _arguments()
    names = [name for name in (*MATRIX, *_REST) if any(fnmatchcase(name, glob) for glob in asked.scenarios)]
    total: Counter[str] = Counter()
    broken: list[str] = []
    with ForkServer() as server, tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        os.chmod(folder, 0o755)  # noqa: S103, PTH101 - runs of other users look into it
        for number, name in enumerate(names):
            trial = Trial(server, name, Path(folder, str(number)))
            for way in asked.ways:
                begin = time.monotonic()
                count = _count(server, trial, way, asked, broken)
                total += Counter({f"{way} {word}": runs for word, runs in count.items()})
                _say(f"{name}; {way}: {_said(count)}; {time.monotonic() - begin:.0f} s")
    _say(*(f"{runs:6} {word}" for word, runs in sorted(total.items())))
    _say(f"{total.total():6} in all, {len(broken)} promises broken", *broken)
    return bool(broken)


def _count(
    server: ForkServer, trial: Trial, way: str, asked: argparse.Namespace, broken: list[str]
) -> Counter[str]:
    count: Counter[str] = Counter()
    for fault in _some(list(WAYS[way].faults(server, trial)), asked.most):
        try:
            count[WAYS[way].suffer(server, trial, fault)] += 1
        except AssertionError as error:
            count["broken"] += 1
            broken.append(f"{trial.name}; {way}; {fault}: {' '.join(str(error).split())[:500]}")
    return count


def _some(faults: list[object], most: int) -> Iterator[object]:
    """Return so many of them, evenly spread, the first and the last among them."""
    count = min(most, len(faults)) if most else len(faults)
    gaps = max(1, count - 1)
    yield from (faults[number * (len(faults) - 1) // gaps] for number in range(count))


def _say(*lines: str) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.flush()


def _said(count: Counter[str]) -> str:
    return ", ".join(f"{runs} {word}" for word, runs in sorted(count.items())) or "nothing to do"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.faults", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--all", action="store_const", const=0, dest="most", help="all moments of each way")
    parser.add_argument("--most", type=int, default=_FEW, help=f"so many of them; {_FEW} by default")
    parser.add_argument("--scenarios", type=_words, default=["*"], help="globs, with commas")
    parser.add_argument("--ways", type=_words, default=list(WAYS), help=f"of {', '.join(WAYS)}")
    parser.add_argument("--folder", help="where the worlds are made")
    return parser.parse_args()


def _words(text: str) -> list[str]:
    return text.split(",")


if __name__ == "__main__":
    sys.exit(main())
