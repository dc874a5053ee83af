"""Makes and audits every hostile input, and prints what came of each: ``python -m tests.hostile [WORD...]``.

With words, only inputs with one of them in their names. Exit code 1 if any fault is found.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.hostile.cases import CASES
from tests.hostile.running import run


def main() -> int:
    """Print a line for each input, and totals."""
    words = sys.argv[1:]
    chosen = [case for case in CASES if not words or any(word in case.name for word in words)]
    faults = 0
    most = [0.0, 0.0, 0]
    print(f"{'input':<66} {'came of it':<10} {'exit':>4} {'CPU s':>6} {'wall s':>6} {'MB':>4}")  # noqa: T201 - a table
    for case in chosen:
        with tempfile.TemporaryDirectory() as folder:
            result = run(case, Path(folder))
            wrong = list(result.faults(case))
        figures = f"{result.status:>4} {result.cpu:>6.2f} {result.wall:>6.2f} {result.peak / 1e6:>4.0f}"
        print(f"{case.name:<66} {case.outcome:<10} {figures}", flush=True)  # noqa: T201 - a table
        most = [max(pair) for pair in zip(most, (result.cpu, result.wall, result.peak), strict=True)]
        for fault in wrong:
            faults += 1
            print(f"    FAULT: {fault}\n{result.report[:600]}{result.errors[:600]}")  # noqa: T201 - a table
    print(  # noqa: T201 - a table
        f"{len(chosen)} inputs, {faults} faults; at most {most[0]:.2f} s of processor time, "
        f"{most[1]:.2f} s in all, {most[2] / 1e6:.0f} MB"
    )
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
