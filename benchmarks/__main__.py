"""Measures the audit on generated models and prints the results as tables of ratios."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from benchmarks.formats import ALL, DEFAULT
from benchmarks.measure import Memory, Speed, measure_memory, measure_speed, measure_startup
from benchmarks.projections import compare, comparison_table
from benchmarks.table import (
    PROJECTIONS,
    machine,
    memory_table,
    process_table,
    speed_table,
    startup_table,
    write_results,
)
from benchmarks.timing import CommandError, run_python, settle

DOCUMENT = Path(__file__).parent / "README.md"


@dataclass
class Results:
    """What was measured of models, by format, and for memory also by size in MB."""

    speed: dict[str, Speed] = field(default_factory=dict[str, Speed])
    memory: dict[str, dict[int, Memory]] = field(default_factory=dict[str, dict[int, Memory]])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks and return the exit code: 2 where they cannot run here, 3 where they failed."""
    options = _parse(arguments)
    if options.projections:
        return _compare_engines(options)
    sizes = sorted({options.size_mb, *options.memory_mb})
    if problem := _problem(options.dir, sizes[-1]):
        _say(problem)
        return 2
    try:
        with tempfile.TemporaryDirectory(prefix="weightaudit-benchmarks-", dir=options.dir) as folder:
            results = _measure_models(options, sizes, Path(folder))
        _say("start-up")
        startup = measure_startup(options.startup_rounds)
    except CommandError as error:
        _say(str(error))
        return 3
    sections = {
        f"Speed, {options.rounds} rounds": f"{speed_table(results.speed)}\n\n{process_table(results.speed)}",
        "Peak memory of the audit": memory_table(results.memory),
        f"Start-up, {options.startup_rounds} rounds": startup_table(startup),
    }
    text = "\n\n".join([machine(), *(f"### {title}\n\n{table}" for title, table in sections.items())])
    print(text)
    if options.write:
        write_results(DOCUMENT, text)
    return 0


def _compare_engines(options: argparse.Namespace) -> int:
    """Compare the engines that compute projections, and return the exit code."""
    if not find_spec("tensorflow"):
        _say("Install what is compared first: pip install '.[test]'")
        return 2
    try:
        results = compare(("tiny",) if options.quick else ("small", "resnet", "large"), options.rounds, _say)
    except CommandError as error:
        _say(str(error))
        return 3
    text = f"{datetime.now(UTC):%Y-%m-%d}, {machine()}\n\n{comparison_table(results)}"
    print(text)
    if options.write:
        write_results(DOCUMENT, text, PROJECTIONS)
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--size-mb", type=int, metavar="MB", help="model whose speed is measured [1024]")
    parser.add_argument("--memory-mb", type=_sizes, metavar="MB,...", help="for memory [100,1024,4096]")
    parser.add_argument("--rounds", type=int, metavar="N", help="repetitions of the speed figures [3]")
    parser.add_argument("--startup-rounds", type=int, default=9, metavar="N", help="the same of start-up [9]")
    parser.add_argument("--formats", type=_formats, metavar="NAME,...", help=f"of: {', '.join(ALL)}")
    parser.add_argument("--all", action="store_true", help="packed formats too, which take minutes to write")
    parser.add_argument("--projections", action="store_true", help="compare engines of projections instead")
    parser.add_argument("--quick", action="store_true", help="64 MB, one round: to see that it works")
    parser.add_argument("--dir", type=Path, metavar="FOLDER", help="where models are written")
    parser.add_argument("--write", action="store_true", help="put the tables into benchmarks/README.md")
    options = parser.parse_args(arguments)
    options.size_mb = options.size_mb or (64 if options.quick else 1024)
    options.memory_mb = options.memory_mb or ((16, 64) if options.quick else (100, 1024, 4096))
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.formats = options.formats or tuple(ALL if options.all else DEFAULT)
    if min(options.size_mb, *options.memory_mb, options.rounds, options.startup_rounds) < 1:
        parser.error("sizes and rounds must be positive")
    return options


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _formats(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := [name for name in names if name not in ALL]:
        raise argparse.ArgumentTypeError(f"there is no format {unknown[0]!r}; there are {', '.join(ALL)}")
    return names


def _problem(folder: Path | None, largest: int) -> str:
    """Return why the benchmarks cannot run here; empty if they can."""
    if not find_spec("tensorflow") or not entry_points(group="weightaudit.rules"):
        return "Install what is measured and what it is compared to first: pip install '.[test]'"
    place = folder or Path(tempfile.gettempdir())
    if not place.is_dir():
        return f"{place} is not a directory."
    # An archive is packed from a weights file beside it, and a model ends with a whole layer.
    needed = 2 * largest * 1_000_000 + (160 << 20)
    free = shutil.disk_usage(place).free
    _say(f"needs at most {needed / 1e9:.1f} GB of disk in {place}, where {free / 1e9:.1f} GB are free")
    return "" if free > needed else "Choose a place with more room with --dir, or smaller models."


def _measure_models(options: argparse.Namespace, sizes: Sequence[int], folder: Path) -> Results:
    results = Results()
    for kind in options.formats:
        for size in sizes:
            _say(f"{kind}, {size} MB: writing")
            with _model(kind, size, folder) as path:
                if size == options.size_mb:
                    _say(f"{kind}, {size} MB: speed")
                    results.speed[kind] = measure_speed(path, options.rounds)
                if size in options.memory_mb:
                    _say(f"{kind}, {size} MB: memory")
                    results.memory.setdefault(kind, {})[size] = measure_memory(path)
    return results


@contextmanager
def _model(kind: str, size: int, folder: Path) -> Generator[Path]:
    """Write a model in a process of its own, and remove it at the end."""
    home = folder / f"{kind}-{size}"
    home.mkdir()
    try:
        run = run_python("-m", "benchmarks.models", kind, str(size), str(home))
        settle(home)
        yield Path(run.output.splitlines()[-1])
    finally:
        shutil.rmtree(home)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
