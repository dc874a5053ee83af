"""Results as Markdown tables, and their place in a document."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.formats import ALL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.measure import Memory, Speed, Startup

BEGIN = "<!-- results: begin -->"
END = "<!-- results: end -->"
PROJECTIONS = ("<!-- projections: begin -->", "<!-- projections: end -->")


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table: the first column to the left, the others to the right."""
    widths = [max(2, *(len(row[column]) for row in (header, *rows))) for column in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * width if column == 0 else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    return "\n".join([line(header), line(rule), *(line(row) for row in rows)])


def speed_table(results: Mapping[str, Speed]) -> str:
    """Return the table of audits beside plain reads and the usual way."""
    threads = next(iter(results.values())).threads
    header = (
        "format",
        "MB",
        "tensors",
        "audit, GB/s",
        "read on 1 thread, GB/s",
        f"read on {threads}, GB/s",
        "audit / read on 1",
        f"audit / read on {threads}",
        "usual way, GB/s",
        "audit / usual way",
    )
    return markdown(header, [_speed_row(ALL[kind], speed) for kind, speed in results.items()])


def _speed_row(label: str, speed: Speed) -> tuple[str, ...]:
    def rate(time: str) -> str:
        return f"{speed.nbytes / speed.best(time) / 1e9:.2f}"

    return (
        label,
        f"{speed.nbytes / 1e6:.0f}",
        str(speed.tensors),
        rate("audit"),
        rate("read_one"),
        rate("read_all"),
        f"{speed.ratio('read_one', 'audit'):.2f}",
        f"{speed.ratio('read_all', 'audit'):.2f}",
        rate("usual"),
        f"{speed.ratio('usual', 'audit'):.1f}",
    )


def process_table(results: Mapping[str, Speed]) -> str:
    """Return the table of whole processes: imports, start and end included."""
    header = ("format", "`weightaudit check`, s", "its CPU, s", "usual way, s", "usual way / check")
    rows = [
        (
            ALL[kind],
            f"{speed.typical('check'):.2f}",
            f"{speed.typical('check_cpu'):.2f}",
            f"{speed.typical('usual_process'):.2f}",
            f"{speed.ratio('usual_process', 'check'):.1f}",
        )
        for kind, speed in results.items()
    ]
    return markdown(header, rows)


def memory_table(results: Mapping[str, Mapping[int, Memory]]) -> str:
    """Return the table of peak memory: formats by sizes in MB."""
    sizes = sorted({size for by_size in results.values() for size in by_size})
    header = ("format", *(f"{size} MB model" for size in sizes), "largest child")
    rows = [
        (
            ALL[kind],
            *(f"{by_size[size].own / 1e6:.0f} MB" for size in sizes),
            f"{max(memory.child for memory in by_size.values()) / 1e6:.0f} MB",
        )
        for kind, by_size in results.items()
    ]
    return markdown(header, rows)


def startup_table(results: Mapping[str, Startup]) -> str:
    """Return the table of start-up times."""
    header = ("first / second", "best, s", "median, s", "second, s", "ratio")
    rows = [
        (label, f"{one.best:.3f}", f"{one.typical:.3f}", f"{one.other:.3f}", f"{one.ratio:.2f}")
        for label, one in results.items()
    ]
    return markdown(header, rows)


def machine() -> str:
    """Return one sentence on what the figures were measured with."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "h5py", "tensorflow", "keras"))
    return f"{_processor()}; Python {platform.python_version()}, {packages}."


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.machine()


def write_results(document: Path, results: str, marks: tuple[str, str] = (BEGIN, END)) -> None:
    """Put the results between the two marker comments of a document.

    Raises:
        ValueError: The document lacks a marker.
    """
    text = document.read_text(encoding="utf-8")
    before, begin, rest = text.partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not begin or not end:
        raise ValueError(f"{document} lacks the comments {marks[0]} and {marks[1]}.")
    document.write_text(f"{before}{begin}\n\n{results}\n\n{end}{after}", encoding="utf-8")
