"""Measures the audit on generated models, beside what it cannot be faster than and beside the usual ways."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from benchmarks import projections, statistics
from benchmarks.formats import ALL
from benchmarks.parsing import names_among
from benchmarks.results import Results, setting
from benchmarks.sections import GIANT_MB, ON_REQUEST, SECTIONS, Bench, Plan, run
from benchmarks.table import PROJECTIONS, STATISTICS, machine, report, write_results
from benchmarks.timing import CommandError, run_python

HOME = Path(__file__).parent
DOCUMENT = HOME / "README.md"
NUMBERS = HOME / "results.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks and return the exit code: 2 where they cannot run here, 3 where they failed."""
    options = _parse(arguments)
    if options.projections or options.statistics:
        return _compare_engines(options)
    plan = _plan(options)
    if problem := _problem(options, plan.largest):
        _say(problem)
        return 2
    results = Results(setting())
    try:
        with tempfile.TemporaryDirectory(prefix="weightaudit-benchmarks-", dir=options.dir) as folder:
            run(Bench(plan, Path(folder), results, _say))
    except CommandError as error:
        _say(str(error))
        return 3
    text = report(results)
    print(text)
    return _write(results, text) if options.write else 0


def _write(results: Results, text: str) -> int:
    """Write the tables, the numbers and the pictures beside this file, and return the exit code."""
    write_results(DOCUMENT, text)
    NUMBERS.write_text(results.json(), encoding="utf-8")
    try:
        # In a process of its own: what this one imports would count as memory of what it measures.
        run_python("-m", "benchmarks.plot", str(NUMBERS), str(HOME))
    except CommandError as error:
        _say(str(error))
        return 3
    return 0


def _compare_engines(options: argparse.Namespace) -> int:
    """Compare the engines that compute projections or statistics, and return the exit code."""
    if not find_spec("tensorflow"):
        _say("Install what is compared first: pip install '.[test]'")
        return 2
    try:
        table = _projections_table(options) if options.projections else _statistics_table(options)
    except CommandError as error:
        _say(str(error))
        return 3
    text = f"{datetime.now(UTC):%Y-%m-%d}, {machine()}\n\n{table}"
    print(text)
    if options.write:
        write_results(DOCUMENT, text, PROJECTIONS if options.projections else STATISTICS)
    return 0


def _projections_table(options: argparse.Namespace) -> str:
    work = ("tiny",) if options.quick else ("small", "resnet", "large")
    return projections.comparison_table(
        projections.compare(work, options.rounds or (1 if options.quick else 3), _say)
    )


def _statistics_table(options: argparse.Namespace) -> str:
    work = ("tiny", "spectral-tiny") if options.quick else (*statistics.PLAIN, *statistics.SPECTRAL)
    return statistics.statistics_tables(
        statistics.compare(work, options.rounds or (1 if options.quick else 3), _say)
    )


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--size-mb", type=int, metavar="MB", help="size of the large models [4096]")
    parser.add_argument(
        "--memory-mb", type=_sizes, metavar="MB,...", help="measure memory at these sizes too"
    )
    parser.add_argument("--tensors", type=int, metavar="N", help="how many small tensors [100000]")
    parser.add_argument("--rounds", type=int, metavar="N", help="repetitions [5; of engines 3]")
    parser.add_argument("--formats", type=names_among(ALL), default=tuple(ALL), metavar="NAME,...")
    parser.add_argument(
        "--only", type=names_among(SECTIONS), metavar="NAME,...", help=f"of: {', '.join(SECTIONS)}"
    )
    parser.add_argument("--others", action="store_true", help="install other tools, and compare with them")
    parser.add_argument("--projections", action="store_true", help="compare engines of projections instead")
    parser.add_argument("--statistics", action="store_true", help="compare engines of statistics instead")
    parser.add_argument("--quick", action="store_true", help="64 MB, one round: to see that it works")
    parser.add_argument("--dir", type=Path, metavar="FOLDER", help="where models are written")
    parser.add_argument("--write", action="store_true", help="write tables, numbers and pictures here")
    options = parser.parse_args(arguments)
    given = [options.size_mb, options.tensors, options.rounds, *(options.memory_mb or ())]
    if any(number is not None and number < 1 for number in given):
        parser.error("sizes and rounds must be positive")
    return options


def _plan(options: argparse.Namespace) -> Plan:
    default = [name for name in SECTIONS if name not in ON_REQUEST]
    wished = {"memory": bool(options.memory_mb), "others": options.others}
    sections = options.only or (*default, *(name for name, wish in wished.items() if wish))
    return Plan(
        sections,
        options.formats,
        options.size_mb or (64 if options.quick else 4096),
        options.memory_mb or (),
        options.tensors or (2_000 if options.quick else 100_000),
        options.rounds or (1 if options.quick else 5),
    )


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _problem(options: argparse.Namespace, largest: int) -> str:
    """Return why the benchmarks cannot run here; empty if they can."""
    if not find_spec("tensorflow") or not entry_points(group="weightaudit.rules"):
        return "Install what is measured and what it is compared to first: pip install '.[bench]'"
    if options.write and not find_spec("matplotlib"):
        return "Install what draws the pictures first: pip install '.[bench]'"
    place = options.dir or Path(tempfile.gettempdir())
    if not place.is_dir():
        return f"{place} is not a directory."
    # An archive is packed from a weights file beside it, and a model ends with a whole layer.
    needed = 2 * largest * 1_000_000 + (160 << 20) + (200 << 20) * (largest >= GIANT_MB)
    free = shutil.disk_usage(place).free
    _say(f"needs at most {needed / 1e9:.1f} GB of disk in {place}, where {free / 1e9:.1f} GB are free")
    return "" if free > needed else "Choose a place with more room with --dir, or smaller models."


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
