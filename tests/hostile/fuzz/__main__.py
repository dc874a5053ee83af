"""Fuzzes every parser for as long as is wished: ``python -m tests.hostile.fuzz [--minutes N] [TARGET...]``.

Inputs that fail are printed, each once per kind of failure, and kept in the folder that ``--keep`` names.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
import traceback
from pathlib import Path
from random import Random
from types import FrameType

from tests.hostile.fuzz.mutating import mutated
from tests.hostile.fuzz.targets import TARGETS, Target

_LONGEST = 5.0
"""Seconds of processor time for one input; more counts as a hang."""


class HangError(Exception):
    """An input took too long."""


def _hang(_number: int, _frame: FrameType | None) -> None:
    raise HangError


def fuzz(name: str, target: Target, seconds: float, seed: int, keep: Path | None) -> int:
    """Fuzz one parser, print what came of it, and return the number of kinds of failure."""
    drawn = Random(seed)  # noqa: S311 - damage, not secrets
    pool = list(target.seeds)
    tried = accepted = 0
    failures: dict[str, bytes] = {}
    longest = 0.0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        data = mutated(drawn.choice(pool), drawn)
        tried += 1
        started = time.process_time()
        signal.setitimer(signal.ITIMER_VIRTUAL, _LONGEST)
        try:
            accepted_now = target.attempt(data)
        except Exception as error:  # noqa: BLE001 - whatever escapes is what is looked for
            place = traceback.extract_tb(error.__traceback__)[-1]
            failures.setdefault(f"{type(error).__name__} in {Path(place.filename).name}:{place.lineno}", data)
            continue
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        longest = max(longest, time.process_time() - started)
        accepted += accepted_now
        # What is accepted in spite of its damage is a seed for more.
        if accepted_now and len(pool) < 500:
            pool.append(data)
    counts = f"{tried:>9} inputs, {accepted:>8} accepted, longest {longest:5.2f} s"
    print(f"{name:<14} {counts}, {len(failures)} failures", flush=True)  # noqa: T201 - a table
    for number, (kind, data) in enumerate(failures.items()):
        print(f"    {kind}: {data[:80]!r}")  # noqa: T201 - a table
        if keep:
            (keep / f"{name.replace(' ', '-')}-{number}").write_bytes(data)
    return len(failures)


def main() -> int:
    """Fuzz what the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="in all, shared by the parsers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for inputs that fail")
    parser.add_argument("target", nargs="*", choices=[*TARGETS, []], help="parsers; all by default")
    given = parser.parse_args()
    signal.signal(signal.SIGVTALRM, _hang)
    names = given.target or list(TARGETS)
    share = 60 * given.minutes / len(names)
    return 1 if sum(fuzz(name, TARGETS[name], share, given.seed, given.keep) for name in names) else 0


if __name__ == "__main__":
    sys.exit(main())
